import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hage_transfer.data import spot_patches
from hage_transfer.data.spot_patches import iter_spot_patches, patch_size_level0_px
from hage_transfer.errors import DataError
from hage_transfer.slides.image_source import ImageSource
from hage_transfer.slides.tiff_segments import TiffSegments


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A 90 x 70 px image whose red is x, green is y."""
    pixels = np.zeros((70, 90, 3), dtype=np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(90), np.arange(70)[:, None]
    path = tmp_path_factory.mktemp("image") / "he.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def spots_at(make_section, image):
    def make(*coords, **more):
        return make_section(np.ones((len(coords), 1)), coords=coords, **{"image": image, **more})

    return make


def test_spot_patches_are_uint8_rgb_in_the_order_of_spots(spots_at):
    patches = list(iter_spot_patches(spots_at((50, 40), (30, 20)), size_px=8))
    assert [patch.shape for patch in patches] == [(8, 8, 3)] * 2
    assert patches[0].dtype == np.uint8
    assert [patch[4, 4, :2].tolist() for patch in patches] == [[50, 40], [30, 20]]


@pytest.mark.parametrize("ahead", [1, 100, 2**20])
def test_spot_patches_begin_at_a_spot_and_keep_their_order(spots_at, ahead, monkeypatch):
    monkeypatch.setattr("hage_transfer.data.spot_patches._AHEAD_BYTES", ahead)
    coords = [(50, 40), (30, 20), (60, 21), (31, 55), (70, 12)]
    patches = list(iter_spot_patches(spots_at(*coords), size_px=4, first=1))
    assert [tuple(patch[2, 2, :2].tolist()) for patch in patches] == coords[1:]


def test_the_image_is_closed_before_its_last_patches_are_handed_out(spots_at, monkeypatch):
    closed = []
    monkeypatch.setattr(ImageSource, "close", lambda self, close=ImageSource.close: closed.append(1) or close(self))
    patches = iter_spot_patches(spots_at((50, 40), (30, 20)), size_px=8)
    assert next(patches)[4, 4, :2].tolist() == [50, 40]
    assert closed
    assert next(patches)[4, 4, :2].tolist() == [30, 20]


@given(x=st.integers(20, 69), y=st.integers(20, 49), size=st.integers(1, 40))
def test_spot_patch_is_centred_on_its_spot(spots_at, x, y, size):
    (patch,) = iter_spot_patches(spots_at((x, y)), size_px=size)
    # An even side has its spot at the corner of the four middle pixels, an odd one in the middle pixel.
    assert patch[size // 2, size // 2, :2].tolist() == [x, y]
    assert patch[0, 0, :2].tolist() == [x - size // 2, y - size // 2]


@given(x=st.floats(0, 89.99), y=st.floats(0, 69.99), size=st.integers(1, 200))
def test_spot_patch_over_the_edge_is_white_outside_and_true_inside(spots_at, x, y, size):
    (patch,) = iter_spot_patches(spots_at((x, y)), size_px=size)
    left, top = (int(np.floor(c - size / 2 + 0.5)) for c in (x, y))
    xs, ys = np.arange(left, left + size), np.arange(top, top + size)
    inside = ((ys >= 0) & (ys < 70))[:, None] & ((xs >= 0) & (xs < 90))[None, :]
    assert (patch[~inside] == 255).all()
    wanted = np.stack(np.broadcast_arrays(xs[None, :], ys[:, None]), axis=-1)
    assert (patch[inside][:, :2] == wanted[inside]).all()


def test_spot_patches_over_the_edge_are_counted(spots_at, caplog):
    with caplog.at_level("INFO"):
        list(iter_spot_patches(spots_at((1, 1), (40, 30), (89, 69)), size_px=16))
    assert "2 of 3 patches reach over the image's edge" in caplog.text


def test_spot_patch_resampled_sees_a_wider_square(spots_at):
    section = spots_at((45, 35), mpp=0.5)
    (patch,) = iter_spot_patches(section, size_px=16, mpp_um_per_px=1.0)
    assert patch.shape == (16, 16, 3)
    assert patch_size_level0_px(section, size_px=16, mpp_um_per_px=1.0) == 32
    # Red is x in level-0 pixels: from 29 to 61, two apart.
    np.testing.assert_allclose(np.diff(patch[8, 2:-2, 0].astype(int)), 2, atol=1)
    assert abs(int(patch[8, 8, 0]) - 45) <= 2


def test_spot_patch_without_resampling_is_level_0_pixels(spots_at):
    assert patch_size_level0_px(spots_at((45, 35)), size_px=16) == 16


def test_spot_patches_need_a_resolution_to_resample(spots_at):
    with pytest.raises(DataError, match=r"give it as data\.mpp_um_per_px"):
        list(iter_spot_patches(spots_at((45, 35)), size_px=16, mpp_um_per_px=1.0))


def test_spot_patches_refuse_a_spot_outside_the_image(spots_at):
    with pytest.raises(DataError, match=r"spot 1x1 of section A2 at \(90, 10\) lies outside the image of 90 x 70 px"):
        list(iter_spot_patches(spots_at((45, 35), (90, 10)), size_px=16))


def test_spot_patches_refuse_a_section_without_image(spots_at):
    with pytest.raises(DataError, match="section A2 has no image"):
        list(iter_spot_patches(spots_at((45, 35), image=""), size_px=16))


def test_spot_patches_of_a_slide_are_its_pixels(spots_at, real_data):
    path = real_data / "slides" / "CMU-1-Small-Region.svs"
    (patch,) = iter_spot_patches(spots_at((1000, 1500), image=path, mpp=0.499), size_px=64)
    with openslide.OpenSlide(str(path)) as slide:
        wanted = np.asarray(slide.read_region((968, 1468), 0, (64, 64)).convert("RGB"))
    np.testing.assert_array_equal(patch, wanted)


def test_spot_patch_over_a_slides_edge_is_white_outside(spots_at, real_data):
    path = real_data / "slides" / "CMU-1-Small-Region.svs"
    (patch,) = iter_spot_patches(spots_at((0, 0), image=path, mpp=0.499), size_px=32)
    assert (patch[:16] == 255).all()
    assert (patch[:, :16] == 255).all()
    assert (patch[16:, 16:] < 255).any()


def test_an_image_in_compressed_strips_is_decoded_once_whatever_the_window(make_section, tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "he.tif", np.zeros((256, 64, 3), np.uint8), compression="zlib", rowsperstrip=4)
    monkeypatch.setattr(spot_patches, "_AHEAD_BYTES", 1)
    decoded, whole = [], TiffSegments.samples
    monkeypatch.setattr(TiffSegments, "samples", lambda self, page, at: decoded.append(at) or whole(self, page, at))
    coords = [(32, y) for y in (250, 10, 130, 60, 200, 20)]
    list(iter_spot_patches(make_section(np.ones((6, 1)), coords=coords, image=tmp_path / "he.tif"), size_px=8))
    assert len(decoded) == len(set(decoded)) > 0
