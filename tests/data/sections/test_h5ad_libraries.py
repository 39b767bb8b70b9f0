"""Which spots of an h5ad file are a section, and what the entries of ``uns["spatial"]`` say of them."""

import anndata as ad
import numpy as np
import pytest
from PIL import Image

from hage_transfer.errors import DataError


def study(made, *, column="library_id", uns=True):
    parts = []
    for name, pitch in (("libA", 200.0), ("libB", 100.0)):
        part = made(pitch_px=pitch).anndata()
        part.uns["spatial"] = {name: part.uns["spatial"]["lib"]} if uns else {}
        parts.append(part)
    return ad.concat(parts, label=column, keys=["libA", "libB"], uns_merge="unique", index_unique="-")


@pytest.mark.parametrize("column", ["library_id", "sample"])
def test_libraries_that_a_file_tells_apart_are_sections_with_their_own_scale(read, made, column):
    found = read(study(made, column=column))
    assert [section.uns["section"]["name"] for section in found] == ["libA", "libB"]
    assert [section.n_obs for section in found] == [20, 20]
    assert [section.uns["section"]["mpp_um_per_px"] for section in found] == pytest.approx([0.5, 1.0], rel=0.01)
    assert len({section.uns["section"]["patient"] for section in found}) == 2


def test_libraries_with_one_image_for_all_are_refused(read, made, tmp_path):
    (tmp_path / "d").mkdir()
    Image.new("RGB", (1500, 1000)).save(tmp_path / "d" / "S1.png")
    with pytest.raises(DataError, match=r"S1\.h5ad: holds several libraries .*S1\.png is one image"):
        read(study(made))


@pytest.mark.parametrize("libraries", [True, False])
@pytest.mark.parametrize("is_single", [True, np.bool_(True), None])
def test_the_flag_of_cellxgene_is_no_library(read, made, libraries, is_single):
    section = made().anndata()
    section.uns["spatial"] = {**(section.uns["spatial"] if libraries else {}), "is_single": is_single or "yes"}
    (found,) = read(section)
    assert np.isnan(found.uns["section"]["mpp_um_per_px"]) == (not libraries)


@pytest.mark.parametrize("column", ["section", "library_id", ""])
def test_several_sections_that_cellxgene_flags_want_a_column(read, made, column):
    section = made().anndata()
    section.uns["spatial"]["is_single"] = False
    if column:
        section.obs[column] = ["lib"] * 20
        assert len(read(section)) == 1
        return
    with pytest.raises(DataError, match=r'S1\.h5ad: .*is_single.* is False.*give obs\["section"\]'):
        read(section)


@pytest.mark.parametrize("kind", ["no column", "no uns", "other names"])
def test_libraries_that_a_file_does_not_tell_apart_are_refused(read, made, kind):
    both = study(made, uns=kind != "no uns")
    if kind == "no column":
        del both.obs["library_id"]
    if kind == "other names":
        both.obs["library_id"] = both.obs["library_id"].astype(str).replace({"libA": "x", "libB": "y"})
    with pytest.raises(DataError, match=r"S1\.h5ad: .*2 libraries"):
        read(both)


@pytest.mark.parametrize("library", ["square_016um", "brain_square_016um"])
@pytest.mark.parametrize("facts", [{"spot_diameter_fullres": 32.0}, {}, {"bin_size_um": 16.0}])
def test_bins_of_visium_hd_are_known_by_the_name_of_their_library(read, made, library, facts):
    section = made(pitch_px=32.0, square=True).anndata()
    section.uns["spatial"] = {library: {"scalefactors": facts}}
    (found,) = read(section)
    assert found.uns["section"]["spot_diameter_um"] == 16
    assert found.uns["section"]["mpp_um_per_px"] == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("column", ["sample", "orig.ident", "Library_ID", "Section", "batch"])
def test_a_column_that_may_name_sections_and_is_not_read_is_said_once(read, made, column, caplog):
    section = made().anndata()
    section.obs[column] = ["a"] * 10 + ["b"] * 10
    assert len(read(section)) == 1
    assert caplog.text.count(f'obs["{column}"] tells 2 groups of spots apart (a, b) and is not read') == 1


@pytest.mark.parametrize("values", [["a"] * 20, ["a"] * 10 + ["nan"] * 10])
def test_a_column_of_one_name_is_nothing_to_say(read, made, values, caplog):
    section = made().anndata()
    section.obs["sample"] = values
    read(section)
    assert "is not read" not in caplog.text


def test_scale_factors_without_a_library_around_them_are_read(read, made):
    section = made().anndata()
    for name in ("array_row", "array_col"):
        section.obs[name] = made().table[name].to_numpy()
    section.uns["spatial"] = {"images": {}, "scalefactors": {"spot_diameter_fullres": 130.0}}
    (found,) = read(section)
    assert found.uns["section"]["mpp_um_per_px"] == pytest.approx(0.5, rel=0.01)
