import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from hage_transfer.errors import DataError
from hage_transfer.slides.reader import find_slide, open_slide, recorded_mpp
from hage_transfer.slides.tiles import TileGrid, grid_coords, iter_tiles, tile_tissue
from hage_transfer.slides.tissue import TissueMask, find_tissue, tissue_mask

WIDTH, HEIGHT, MPP = 2048, 1536, 0.25


def position_image():
    """Red is x / 8, green is y / 8: any pixel says where it is, to 8 px."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x / 8, y / 8, np.full_like(x, 40)], axis=-1).astype(np.uint8)


def write_pyramid(path, image, *, mpp=MPP, levels=3):
    resolution = None if mpp is None else (1e4 / mpp, 1e4 / mpp)
    with tifffile.TiffWriter(path) as tiff:
        for level in range(levels):
            factor = 2**level
            height, width = image.shape[0] // factor, image.shape[1] // factor
            small = image.reshape(height, factor, width, factor, 3).mean(axis=(1, 3)).round().astype(np.uint8)
            options = {} if resolution is None else {
                "resolution": tuple(value / factor for value in resolution), "resolutionunit": "CENTIMETER",
            }  # fmt: skip
            tiff.write(small, tile=(256, 256), photometric="rgb", subfiletype=int(level > 0), **options)
    return path


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory):
    return write_pyramid(tmp_path_factory.mktemp("slides") / "position.tif", position_image())


def test_slide_reads_size_levels_and_mpp(pyramid):
    with open_slide(pyramid) as slide:
        assert (slide.width_px, slide.height_px, slide.mpp_um_per_px) == (WIDTH, HEIGHT, MPP)
        assert slide.level_downsamples == (1, 2, 4)
        assert slide.name == "position"


@pytest.mark.parametrize(("mpp", "level"), [(0.25, 0), (0.4, 0), (0.5, 1), (0.9, 1), (1.0, 2), (3.0, 2), (0.1, 0)])
def test_level_for_is_the_nearest_finer_level(pyramid, mpp, level):
    with open_slide(pyramid) as slide:
        assert slide.level_for(mpp / MPP) == level


@pytest.mark.parametrize("mpp", [0.25, 0.4, 0.5, 0.65, 1.0, 1.3])
def test_tiles_show_the_place_that_their_coordinates_name(pyramid, mpp):
    size = 64 * mpp / MPP
    with open_slide(pyramid) as slide:
        coords = grid_coords(WIDTH, HEIGHT, size_level0_px=size, step_level0_px=size)
        tiles = list(iter_tiles(slide, TileGrid(coords, size, 64)))
    centres = (np.arange(64) + 0.5) * mpp / MPP
    for (x, y), tile in zip(coords, tiles, strict=True):
        # a value steps every 8 px and is floored: half a step below, and rounding at each level
        # (edges left out: beyond the tile the kernel sees nothing)
        np.testing.assert_allclose(tile[32, 2:-2, 0], ((x + centres) / 8 - 0.5)[2:-2], atol=1.3)
        np.testing.assert_allclose(tile[2:-2, 32, 1], ((y + centres) / 8 - 0.5)[2:-2], atol=1.3)


def test_tile_at_native_resolution_is_untouched(pyramid):
    with open_slide(pyramid) as slide:
        tile = slide.read_square(300, 500, size_level0_px=64, out_px=64)
    np.testing.assert_array_equal(tile, position_image()[500:564, 300:364])


@given(
    width=st.integers(1, 5000), height=st.integers(1, 5000), tile=st.integers(1, 600),
    step=st.integers(1, 600), scale=st.floats(0.3, 8),
)  # fmt: skip
def test_grid_coords_stay_inside_and_miss_no_place(width, height, tile, step, scale):
    size, step_level0 = tile * scale, max(step * scale, 20)
    coords = grid_coords(width, height, size_level0_px=size, step_level0_px=step_level0)
    assert (coords >= 0).all()
    assert (coords + size <= [width + 1e-3, height + 1e-3]).all()
    for axis, length in enumerate((width, height)):
        starts = np.unique(coords[:, axis])
        if len(starts):
            assert starts[0] == 0
            assert length - (starts[-1] + size) < step_level0 + 1
            assert (np.abs(np.diff(starts) - step_level0) <= 1).all()


def test_slide_without_resolution_names_the_remedy(tmp_path):
    path = write_pyramid(tmp_path / "bare.tif", position_image(), mpp=None, levels=1)
    with (
        pytest.raises(DataError, match=r"bare\.tif: records no resolution.*data\.slide_mpp_um_per_px"),
        open_slide(path),
    ):
        pass
    with open_slide(path, mpp_um_per_px=0.4) as slide:
        assert slide.mpp_um_per_px == 0.4


def test_recorded_resolution_goes_before_the_user_s(pyramid):
    with open_slide(pyramid, mpp_um_per_px=0.9) as slide:
        assert slide.mpp_um_per_px == MPP


@pytest.mark.parametrize(
    ("properties", "mpp"),
    [
        ({"openslide.mpp-x": "0.5", "openslide.mpp-y": "0.5"}, 0.5),
        ({"tiff.XResolution": "40000", "tiff.YResolution": "40000", "tiff.ResolutionUnit": "centimeter"}, 0.25),
        ({"tiff.XResolution": "50800", "tiff.ResolutionUnit": "inch"}, 0.5),
        ({"tiff.XResolution": "72", "tiff.ResolutionUnit": "inch"}, None),
        ({"openslide.mpp-x": "0"}, None),
        ({"openslide.mpp-x": "unknown"}, None),
        ({"tiff.XResolution": "40000"}, None),
    ],
)
def test_recorded_mpp_reads_units_and_refuses_the_implausible(properties, mpp):
    assert recorded_mpp(properties) == (mpp if mpp is None else pytest.approx(mpp))


@pytest.mark.parametrize("content", [None, b"not a slide"])
def test_open_slide_names_a_file_that_is_none(tmp_path, content):
    path = tmp_path / "s.svs"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"s\.svs: "), open_slide(path):
        pass


def test_find_slide_takes_names_with_and_without_ending(tmp_path):
    for name in ("a.b.svs", "c.svs", "c.tif", "d.txt"):
        (tmp_path / name).touch()
    assert find_slide(tmp_path, "a.b").name == find_slide(tmp_path, "a.b.svs").name == "a.b.svs"
    with pytest.raises(DataError, match=r"c: several files, c\.svs, c\.tif"):
        find_slide(tmp_path, "c")
    with pytest.raises(DataError, match="d: no such file"):
        find_slide(tmp_path, "d")


def glass_with_tissue():
    image = np.full((400, 400, 3), 240, np.uint8)
    image += np.random.default_rng(0).integers(0, 4, image.shape, dtype=np.uint8)
    image[100:300, 50:250] = (190, 90, 150)
    image[180:184, 150:154] = 242  # a pore
    image[350:353, 350:353] = (190, 90, 150)  # dust
    return image


def test_tissue_mask_is_the_tissue_without_dust_and_pores():
    mask = tissue_mask(glass_with_tissue(), mpp_um_per_px=8)
    wanted = np.zeros((400, 400), bool)
    wanted[100:300, 50:250] = True
    assert (mask != wanted).sum() < 40  # rounded corners
    assert mask[182, 152]
    assert not mask[351, 351]


def test_tissue_mask_of_glass_is_empty():
    glass = 240 + np.random.default_rng(0).integers(0, 5, (200, 200, 3), dtype=np.uint8)
    assert not tissue_mask(glass, mpp_um_per_px=8).any()


@given(seed=st.integers(0, 1000), scale=st.integers(1, 9))
def test_tissue_share_equals_the_mean_of_the_mask(seed, scale):
    rng = np.random.default_rng(seed)
    mask = rng.random((20, 30)) < 0.5
    coords = np.array([[scale * rng.integers(0, 20), scale * rng.integers(0, 10)] for _ in range(5)])
    found = TissueMask(mask, scale, scale).share(coords, size_level0_px=10 * scale)
    wanted = [mask[y : y + 10, x : x + 10].mean() for x, y in coords // scale]
    np.testing.assert_allclose(found, wanted)


def test_tile_tissue_keeps_tiles_by_their_share(pyramid):
    mask = np.zeros((HEIGHT // 32, WIDTH // 32), bool)
    mask[:8, :6] = True  # 192 x 256 px of level 0
    with open_slide(pyramid) as slide:
        kept = [
            tile_tissue(
                slide, TissueMask(mask, 32, 32), tile_px=64, stride_px=64, mpp_um_per_px=0.5, min_tissue=least
            ).coords.tolist()
            for least in (0.0, 0.5, 0.6)
        ]
    assert kept[0] == kept[1] == [[0, 0], [128, 0], [0, 128], [128, 128]]
    assert kept[2] == [[0, 0], [0, 128]]


def test_tile_tissue_of_an_empty_slide_is_an_error(pyramid):
    empty = TissueMask(np.zeros((48, 64), bool), 32, 32)
    with open_slide(pyramid) as slide, pytest.raises(DataError, match=r"none of 768 tiles of 64 px at 0\.25 um/px"):
        tile_tissue(slide, empty, tile_px=64, stride_px=64, mpp_um_per_px=0.25, min_tissue=0.25)


def test_cmu_real_slide_gives_tissue_tiles(real_data):
    with open_slide(real_data / "slides" / "CMU-1-Small-Region.svs") as slide:
        tissue = find_tissue(slide)
        grid = tile_tissue(slide, tissue, tile_px=224, stride_px=224, mpp_um_per_px=0.5, min_tissue=0.25)
        tiles = np.stack(list(iter_tiles(slide, grid)))
    assert 0.2 < tissue.mask.mean() < 0.5
    assert 30 < len(tiles) < 70
    assert (tiles.mean(axis=(1, 2, 3)) < 225).all()


def test_tcga_real_slide_needs_the_user_s_resolution(real_data):
    path = real_data / "slides" / "tcga-cr-7395-01a-01-ts1.svs"
    with pytest.raises(DataError, match="records no resolution"), open_slide(path):
        pass
    with open_slide(path, mpp_um_per_px=0.5) as slide:
        assert find_tissue(slide).mask.mean() > 0.4
