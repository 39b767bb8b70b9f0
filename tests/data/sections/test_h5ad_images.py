"""Which image beside an h5ad file is its section's."""

import pytest
from PIL import Image

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections
from hage_transfer.errors import DataError


@pytest.fixture
def image_of(tmp_path, made):
    """Writes a section and images beside it, and reads which of them is taken."""

    def image_of(*names, noted=None):
        section = made().anndata()
        if noted:
            section.uns["section"] = {"image_path": noted}
        section.write_h5ad(tmp_path / "S1.h5ad")
        for name in names:
            made().image(tmp_path / name)
        (read,) = read_sections(SectionsSettings(layout="anndata", root=tmp_path))
        return read.uns["section"]["image_path"].rpartition("/")[2]

    return image_of


@pytest.mark.parametrize("names", [("S1.png", "S1.tif"), ("S1.tif", "S1.TIF"), ("S1.jpg", "S1.ome.tif")])
def test_two_images_of_one_name_are_refused_naming_both(image_of, names):
    with pytest.raises(DataError, match=r"S1\.h5ad: 2 images are called as section S1.*image_path") as refused:
        image_of(*names)
    assert all(f"/{name}" in str(refused.value) for name in names)
    assert image_of(noted=names[1]) == names[1]


@pytest.mark.parametrize("name", ["S1.ome.tif", "S1.OME.TIF", "S1.TIF", "S1.JPG", "S1.tiff"])
def test_an_image_is_found_whatever_its_ending(image_of, name):
    assert image_of(name) == name


@pytest.mark.parametrize("other", ["S1_mask.png", "S1.thumbnail.png", "S10.png", "S1.txt.png"])
def test_an_image_of_another_name_is_in_nobodys_way(image_of, other):
    assert image_of("S1.tif", other) == "S1.tif"


def test_images_in_two_folders_of_hest_are_refused_naming_both(write_format, made):
    root = write_format("hest")
    made().image(root / "st" / "S1.png")
    with pytest.raises(DataError, match=r"st/S1\.png, .*wsis/S1\.tif"):
        read_sections(SectionsSettings(layout="hest", root=root))


@pytest.mark.parametrize(("dpi", "known"), [((50800, 25400), False), ((50800, 50000), False), ((50800, 25400), True)])
def test_pixels_that_are_not_square_are_refused_where_they_alone_tell_the_resolution(tmp_path, made, dpi, known):
    section = made().anndata()
    if not known:
        del section.uns["spatial"]
    section.write_h5ad(tmp_path / "S1.h5ad")
    Image.new("RGB", made().size_px).save(tmp_path / "S1.tif", dpi=dpi)
    settings = SectionsSettings(layout="anndata", root=tmp_path)
    if known or dpi[1] == 50000:
        assert read_sections(settings)[0].uns["section"]["mpp_um_per_px"] == pytest.approx(0.5, rel=0.02)
        return
    with pytest.raises(DataError, match=r"S1\.tif: 0\.5 by 1 um per px by .*, so its pixels are not square"):
        read_sections(settings)
    given = SectionsSettings(layout="anndata", root=tmp_path, mpp_um_per_px=0.5)
    assert read_sections(given)[0].uns["section"]["mpp_um_per_px"] == 0.5


@pytest.mark.parametrize(
    ("name", "said"), [("s1.png", True), ("S1_HE.tif", True), ("S10.png", False), ("other.png", False)]
)
def test_an_image_that_is_called_almost_as_its_section_is_said(tmp_path, made, name, said, caplog):
    made().anndata().write_h5ad(tmp_path / "S1.h5ad")
    Image.new("RGB", made().size_px).save(tmp_path / name)
    (section,) = read_sections(SectionsSettings(layout="anndata", root=tmp_path))
    assert section.uns["section"]["image_path"] == ""
    assert (f"section S1 has no image called S1.<ending>, and there is {name}" in caplog.text) == said
