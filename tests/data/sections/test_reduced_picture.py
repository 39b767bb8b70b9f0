import numpy as np
import pytest
from PIL import Image

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections
from hage_transfer.data.sections.reduced_picture import as_picture, refuse_turned
from hage_transfer.errors import DataError
from hage_transfer.slides.reader import open_picture

TURNS = {
    "turned by a half": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "mirrored left to right": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "mirrored top to bottom": lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    "turned by a quarter, clockwise": lambda image: image.transpose(Image.Transpose.ROTATE_270),
    "turned by a quarter, anticlockwise": lambda image: image.transpose(Image.Transpose.ROTATE_90),
}


def picture(width=1200, height=1200):
    """Bright to the right, red below, and a dark corner."""
    y, x = np.mgrid[:height, :width]
    red, green = 60 + 150 * y // height, 80 + 140 * x // width
    pixels = np.stack([red, green, np.full_like(red, 170)], axis=2).astype(np.uint8)
    pixels[: height // 5, : width // 3] = 20
    return Image.fromarray(pixels)


@pytest.fixture
def placed(tmp_path, made):
    """Writes a section of Space Ranger or an h5ad whose reduced copy is of the picture given, and reads it."""

    def place(image, of, *, layout="space_ranger", **options):
        section, copy = made(), of.resize((of.width // 4, of.height // 4), Image.Resampling.BOX)
        if layout == "space_ranger":
            section.h5(tmp_path / "S1" / "filtered_feature_bc_matrix.h5")
            section.spatial(tmp_path / "S1" / "spatial", tissue_hires_scalef=0.25)
            copy.save(tmp_path / "S1" / "spatial" / "tissue_hires_image.png")
            image.save(tmp_path / "S1" / "image.png", **options)
        else:
            found, factors = section.anndata(), {"tissue_hires_scalef": 0.25, "spot_diameter_fullres": 130.0}
            found.uns["spatial"] = {"lib": {"images": {"hires": np.asarray(copy) / 255}, "scalefactors": factors}}
            found.write_h5ad(tmp_path / "S1.h5ad")
            image.save(tmp_path / "S1.png", **options)
        return read_sections(SectionsSettings(layout=layout, root=tmp_path))[0]

    return place


@pytest.mark.parametrize("layout", ["space_ranger", "anndata"])
def test_an_image_that_its_reduced_copy_shows_is_read(placed, layout, caplog):
    assert placed(picture(), picture(), layout=layout).n_obs == 20
    assert "does not show" not in caplog.text


@pytest.mark.parametrize("layout", ["space_ranger", "anndata"])
@pytest.mark.parametrize("turn", TURNS)
def test_an_image_turned_or_mirrored_against_its_copy_is_refused(placed, layout, turn):
    with pytest.raises(DataError, match=rf"(image|S1)\.png: is {turn} against .*hires"):
        placed(TURNS[turn](picture()), picture(), layout=layout)


def test_a_turn_that_changes_the_sides_is_refused_by_them(placed):
    upright = picture(1200, 1400)
    with pytest.raises(DataError, match=r"image\.png: 1400 x 1200 px, .* of 1200 x 1400 px: it is turned by a quarter"):
        placed(TURNS["turned by a quarter, clockwise"](upright), upright)


def test_an_orientation_tag_that_turns_the_image_against_its_copy_is_told(placed):
    tag = Image.Exif()
    tag[274] = 3
    with pytest.raises(DataError, match=r"turned by a half .*turned as its orientation tag says"):
        placed(picture(), picture(), exif=tag)


@pytest.mark.parametrize("other", ["blank", "another"])
def test_an_image_of_something_else_is_said(placed, other, caplog):
    noise = np.random.default_rng(0).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    image = Image.new("RGB", (1200, 1200), "white") if other == "blank" else Image.fromarray(noise).resize((1200, 1200))
    assert placed(image, picture()).n_obs == 20
    assert "image.png: does not show what tissue_hires_image.png does" in caplog.text


def test_a_damaged_copy_is_said_and_not_held_against_the_image(tmp_path, made, caplog):
    section = made()
    section.h5(tmp_path / "S1" / "filtered_feature_bc_matrix.h5")
    section.spatial(tmp_path / "S1" / "spatial", tissue_hires_scalef=0.25)
    picture().save(tmp_path / "S1" / "image.png")
    copy = tmp_path / "S1" / "spatial" / "tissue_hires_image.png"
    picture(300, 300).save(copy)
    copy.write_bytes(copy.read_bytes()[:-200])
    assert read_sections(SectionsSettings(layout="space_ranger", root=tmp_path))[0].n_obs == 20
    assert "tissue_hires_image.png: damaged image" in caplog.text
    assert "so the image is not held against it" in caplog.text


@pytest.mark.parametrize(
    "name", ["tissue_hires_image.jpg", "GSM1_tissue_lowres_image.tif", "detected_tissue_image.png"]
)
def test_reduced_copies_are_no_image_whatever_their_ending(tmp_path, made, name):
    section = made()
    section.h5(tmp_path / "S1" / "filtered_feature_bc_matrix.h5")
    section.spatial(tmp_path / "S1" / "spatial")
    picture().save(tmp_path / "S1" / name)
    (found,) = read_sections(SectionsSettings(layout="space_ranger", root=tmp_path))
    assert found.uns["section"]["image_path"] == ""


@pytest.mark.parametrize("kind", ["u1", "f4", "f8"])
def test_pictures_of_bytes_and_of_shares_are_the_same(kind):
    values = np.array([[[0, 255, 51]]], kind)
    assert as_picture(values if kind == "u1" else values / 255).tolist() == [[[0, 255, 51]]]
    assert as_picture(np.full((1, 1, 4), np.nan, "f4")).tolist() == [[[0, 0, 0]]]


@pytest.mark.parametrize("shape", [(2, 2), (3, 50, 60), (0, 0, 3)])
def test_what_is_no_picture_is_none(shape):
    assert as_picture(np.zeros(shape, "u1")) is None
    assert as_picture(np.zeros((2, 2, 3), "u2")) is None


def test_a_copy_too_small_to_look_at_says_nothing(tmp_path):
    picture(1200, 1200).save(tmp_path / "image.png")
    turned = np.asarray(picture(20, 20))[::-1]
    with open_picture(tmp_path / "image.png") as image:
        refuse_turned(image, turned, "the copy")
