"""Space Ranger sections that lie in one folder under prefixes, as GEO holds them."""

import pytest

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections, section_names
from hage_transfer.errors import DataError


@pytest.fixture
def images(tmp_path, made):
    """Writes a section for each prefix and some images into one folder, and reads which image is whose."""

    def images(prefixes, names):
        for prefix in prefixes:
            made().h5(tmp_path / f"{prefix}filtered_feature_bc_matrix.h5")
            made().spatial(tmp_path, prefix=prefix, form="tissue_positions_list.csv")
        for name in names:
            made().image(tmp_path / name)
        read = read_sections(SectionsSettings(layout="space_ranger", root=tmp_path))
        return {s.uns["section"]["name"]: s.uns["section"]["image_path"].rpartition("/")[2] for s in read}

    return images


def test_an_image_is_of_the_section_with_the_longest_prefix(images):
    assert images(["P1_", "P1_rep2_"], ["P1_image.png", "P1_rep2_image.png"]) == {
        "P1": "P1_image.png",
        "P1_rep2": "P1_rep2_image.png",
    }


def test_a_section_without_an_image_takes_no_other_ones(images):
    assert images(["P1_", "P1_rep2_"], ["P1_rep2_image.png"]) == {"P1": "", "P1_rep2": "P1_rep2_image.png"}


@pytest.mark.parametrize("ending", ["png", "ome.tif", "PNG"])
def test_an_image_may_be_called_as_its_section_and_no_more(images, ending):
    names = [f"GSM1_P1.{ending}", f"GSM1_P10.{ending}"]
    assert images(["GSM1_P1_", "GSM1_P10_"], names) == {"GSM1_P1": names[0], "GSM1_P10": names[1]}


def test_of_two_images_with_a_prefix_the_remedy_that_is_named_helps(images):
    with pytest.raises(DataError, match=r"2 images \(P1_a\.png, P1_b\.png\).*name the full-resolution one P1_image\."):
        images(["P1_", "P2_"], ["P1_a.png", "P1_b.png"])
    assert images([], ["P1_image.png"])["P1"] == "P1_image.png"


@pytest.mark.parametrize("others", [[], ["P2_"]])
def test_a_gzipped_matrix_is_refused_naming_it_and_the_remedy(images, tmp_path, others):
    (tmp_path / "P1_filtered_feature_bc_matrix.h5.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"P1_filtered_feature_bc_matrix\.h5\.gz: .*gunzip"):
        images(others, [])
    assert "P1" in images(["P1_"], [])  # unpacked beside it


@pytest.mark.parametrize("lost", ["barcodes.tsv", "features.tsv"])
@pytest.mark.parametrize(("folder", "prefix"), [("S1/filtered_feature_bc_matrix", ""), ("", "GSM1_P1_")])
def test_a_matrix_without_its_lists_is_refused_naming_what_is_missing(tmp_path, made, folder, prefix, lost):
    made().mtx(tmp_path / folder, prefix=prefix)
    (tmp_path / folder / f"{prefix}{lost}.gz").unlink()
    with pytest.raises(DataError, match=rf"{prefix}matrix\.mtx\.gz: {prefix}{lost}.* not beside it.*put them there"):
        section_names(SectionsSettings(layout="space_ranger", root=tmp_path))


def test_a_matrix_that_is_not_whole_is_in_nobodys_way_where_another_is_there(tmp_path, made):
    made().mtx(tmp_path / "S1" / "raw_feature_bc_matrix")
    (tmp_path / "S1" / "raw_feature_bc_matrix" / "barcodes.tsv.gz").unlink()
    made().h5(tmp_path / "S1" / "filtered_feature_bc_matrix.h5")
    assert section_names(SectionsSettings(layout="space_ranger", root=tmp_path)) == ["S1"]


@pytest.mark.parametrize("place", ["", "S1", "S1/binned_outputs", "S1/binned_outputs/square_008um"])
def test_an_image_above_the_folders_of_visium_hd_sections_is_none_of_theirs(tmp_path, made, place):
    for name in ("S1", "S2"):
        bins = tmp_path / name / "binned_outputs" / "square_008um"
        made(pitch_px=16.0, square=True).h5(bins / "filtered_feature_bc_matrix.h5")
        made(pitch_px=16.0, square=True).spatial(bins / "spatial", bin_size_um=8.0, spot_diameter_fullres=16.0)
    made(pitch_px=16.0, square=True).image(tmp_path / place / "he.png")
    read = read_sections(SectionsSettings(layout="space_ranger", root=tmp_path))
    assert [bool(section.uns["section"]["image_path"]) for section in read] == [bool(place), False]
