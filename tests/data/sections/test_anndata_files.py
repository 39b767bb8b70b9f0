import math

import anndata as ad
import numpy as np
import pytest
from PIL import Image

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections, section_names
from hage_transfer.errors import DataError

COORDS = [(5, 6), (15, 6), (25, 6)]


def settings(root, **more):
    return SectionsSettings(layout="anndata", root=root, **more)


@pytest.fixture
def written(tmp_path, make_section):
    """A section in the one form, written beside its image."""
    Image.new("RGB", (40, 30)).save(tmp_path / "he.png")
    section = make_section([[1, 0], [2, 3], [0, 4]], name="C4", coords=COORDS, image="he.png", mpp=0.5)
    section.uns["section"]["mismatches"] = {"spots_without_counts": 3}
    section.write_h5ad(tmp_path / "C4.h5ad")
    return tmp_path / "C4.h5ad", section


def test_anndata_of_the_one_form_round_trips(written):
    path, wanted = written
    (section,) = read_sections(settings(path))
    np.testing.assert_array_equal(section.X.toarray(), wanted.X.toarray())
    np.testing.assert_array_equal(section.obsm["spatial"], wanted.obsm["spatial"])
    assert list(section.obs_names) == list(wanted.obs_names)
    assert section.uns["section"] == {
        **wanted.uns["section"],
        "image_path": str(path.parent / "he.png"),
        "mpp_source": 'uns["section"]',
        "mpp_candidates": {'uns["section"]': 0.5},
        "spot_diameter_um": pytest.approx(math.nan, nan_ok=True),
    }


def test_anndata_sections_of_her2st_round_trip(her2st_root, tmp_path):
    (wanted,) = read_sections(SectionsSettings(root=her2st_root, sections=("A2",)))
    wanted.write_h5ad(tmp_path / "any.h5ad")
    (section,) = read_sections(settings(tmp_path / "any.h5ad"))
    for key in ("name", "patient", "image_path", "mpp_um_per_px", "mpp_source", "spot_diameter_um", "mismatches"):
        assert section.uns["section"][key] == wanted.uns["section"][key]
    np.testing.assert_array_equal(section.X.toarray(), wanted.X.toarray())


def test_anndata_without_names_takes_them_from_the_file(written):
    path, section = written
    del section.uns["section"], section.obs["section"], section.obs["patient"]
    section.write_h5ad(path.with_name("mine.h5ad"))
    (read,) = read_sections(settings(path.parent, sections=("mine",)))
    assert (read.uns["section"]["name"], read.uns["section"]["patient"]) == ("mine", "mine")
    assert read.uns["section"]["image_path"] == ""
    assert math.isnan(read.uns["section"]["mpp_um_per_px"])
    assert read.uns["section"]["mpp_source"] == ""


def test_anndata_takes_the_image_named_as_the_section(written):
    path, section = written
    del section.uns["section"]
    section.write_h5ad(path)
    (path.parent / "he.png").rename(path.parent / "C4.png")
    (read,) = read_sections(settings(path))
    assert read.uns["section"]["image_path"] == str(path.parent / "C4.png")


def test_anndata_file_of_several_sections_is_split(tmp_path, make_section):
    parts = [make_section(np.full((2, 2), n), name=f"{p}1", coords=COORDS[:2]) for n, p in enumerate("XY", start=1)]
    both = ad.concat(parts, index_unique="-")
    both.write_h5ad(tmp_path / "both.h5ad")
    assert section_names(settings(tmp_path)) == ["X1", "Y1"]
    first, second = read_sections(settings(tmp_path))
    assert (first.X.toarray() == 1).all()
    assert (second.X.toarray() == 2).all()
    assert set(second.obs["patient"]) == {"Y"}


def test_anndata_takes_the_counts_layer_where_x_is_normalised(written):
    path, section = written
    section.layers["counts"] = section.X.copy()
    section.X = section.X * 0.5
    section.write_h5ad(path)
    (read,) = read_sections(settings(path))
    np.testing.assert_array_equal(read.X.toarray(), section.layers["counts"].toarray())


def test_anndata_refuses_normalised_counts(written):
    path, section = written
    section.X = section.X * 0.5
    section.write_h5ad(path)
    with pytest.raises(DataError, match=r"2 counts are negative, fractional.*first 0\.5 at spot 0x1, gene G0"):
        read_sections(settings(path))


def test_anndata_refuses_a_file_without_positions(written):
    path, section = written
    del section.obsm["spatial"]
    section.write_h5ad(path)
    with pytest.raises(DataError, match=r'no obsm\["spatial"\]'):
        read_sections(settings(path))


def test_anndata_refuses_positions_of_another_shape(written):
    path, section = written
    section.obsm["spatial"] = np.zeros((3, 3))
    section.write_h5ad(path)
    with pytest.raises(DataError, match=r"is \(spot, 2\) numbers, this is float64 of \(3, 3\)"):
        read_sections(settings(path))


def test_anndata_refuses_a_spot_without_position(written):
    path, section = written
    section.obsm["spatial"][1, 0] = np.nan
    section.write_h5ad(path)
    with pytest.raises(DataError, match="1 spots have no position, the first 1x1"):
        read_sections(settings(path))


def test_anndata_refuses_one_section_in_two_files(written):
    path, section = written
    section.write_h5ad(path.with_name("copy.h5ad"))
    with pytest.raises(DataError, match="section C4 is also in"):
        section_names(settings(path.parent))


def test_anndata_refuses_a_gene_twice(written):
    path, section = written
    section.var_names = ["GRB7", "GRB7"]
    section.write_h5ad(path)
    with pytest.raises(DataError, match="gene GRB7 listed more than once"):
        read_sections(settings(path))


def test_anndata_refuses_an_image_that_is_not_there(written):
    path, _ = written
    (path.parent / "he.png").unlink()
    with pytest.raises(DataError, match=r"he\.png, which is not there"):
        read_sections(settings(path))


def test_anndata_refuses_a_file_that_is_none(tmp_path):
    (tmp_path / "a.h5ad").write_text("junk")
    with pytest.raises(DataError, match=r"a\.h5ad: cannot be read as AnnData"):
        read_sections(settings(tmp_path))
