import cv2
import numpy as np
import pytest

from hage_transfer.config import SlideSetSettings, TissueSettings
from hage_transfer.slides.auto_tissue import tissue_mask
from hage_transfer.slides.clam_tissue import PRESETS, ClamParameters, clam_mask, clam_parameters
from hage_transfer.slides.pen_marks import pen_mask
from hage_transfer.slides.reader import open_slide
from hage_transfer.slides.tiles import cut_tiles
from hage_transfer.slides.tissue import find_tissue

INKS = {"blue": (30, 60, 170), "green": (30, 130, 60), "red": (215, 30, 40), "black": (35, 35, 40)}
BOX = (100, 300, 50, 250)


def block():
    wanted = np.zeros((400, 400), bool)
    wanted[BOX[0] : BOX[1], BOX[2] : BOX[3]] = True
    return wanted


def test_tissue_mask_is_the_tissue_without_dust_and_pores(stained):
    image = stained(400, 400, box=BOX)
    image[180:184, 150:154] = 242  # a pore
    image[350:353, 350:353] = (190, 90, 150)  # dust
    mask = tissue_mask(image, mpp_um_per_px=8)
    assert (mask ^ block()).sum() < 0.02 * block().sum()
    assert mask[182, 152]
    assert not mask[340:360, 340:360].any()


def test_tissue_mask_keeps_a_large_hole(stained):
    image = stained(400, 400, box=BOX)
    image[170:230, 120:180] = stained(60, 60)
    mask = tissue_mask(image, mpp_um_per_px=8)
    assert not mask[180:220, 130:170].any()
    assert tissue_mask(image, mpp_um_per_px=8, min_hole_um2=1e6)[180:220, 130:170].all()


def test_tissue_mask_removes_pieces_below_the_least_area(stained):
    image = stained(400, 400, box=(100, 130, 100, 130))  # 240 um square: 57,600 um2
    assert tissue_mask(image, mpp_um_per_px=8, min_piece_um2=50_000).any()
    assert not tissue_mask(image, mpp_um_per_px=8, min_piece_um2=100_000).any()


@pytest.mark.parametrize("colour", [(240, 240, 240), (225, 208, 226), (236, 232, 205)])
def test_tissue_mask_of_glass_is_empty_whatever_its_colour(colour):
    noise = np.random.default_rng(0).integers(-3, 4, (300, 300, 3))
    assert not tissue_mask(np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8), mpp_um_per_px=8).any()


def test_tissue_mask_leaves_out_blush_shadow_and_the_coverslip_s_edge(stained):
    image = stained(400, 400).astype(float)
    y, x = np.mgrid[:400, :400]
    blush = np.exp(-((x - 300) ** 2 + (y - 300) ** 2) / 5000)[..., None]
    image -= blush * np.array([5, 35, 15])  # eosin that ran out of the tissue
    image -= 25 * np.exp(-((x - 80) ** 2 + (y - 330) ** 2) / 300)[..., None]  # a bubble out of focus
    image[:, 20:23] -= 60  # edge of the coverslip
    assert not tissue_mask(np.clip(image, 0, 255).astype(np.uint8), mpp_um_per_px=8).any()


def test_tissue_mask_of_tissue_alone_is_everything(stained):
    image = stained(300, 300, box=(0, 300, 0, 300))
    image[:, 150:] = np.clip(image[:, 150:].astype(int) + 35, 0, 255)  # a pale half is not the other half's glass
    assert tissue_mask(image, mpp_um_per_px=8).all()


@pytest.mark.parametrize("ink", INKS)
def test_pen_marks_on_glass_and_on_tissue_are_found(stained, ink):
    image = stained(400, 400, box=BOX)
    stroke = np.zeros((400, 400), np.uint8)
    cv2.polylines(stroke, [np.array([[20, 40], [200, 200], [380, 360]])], False, 1, 14)
    image[stroke == 1] = INKS[ink]
    pen = pen_mask(image, mpp_um_per_px=8)
    assert pen[stroke == 1].mean() > 0.98
    assert pen[stroke == 0].mean() < 0.04  # its rim
    tissue = tissue_mask(image, mpp_um_per_px=8, pen=pen)
    assert not tissue[stroke == 1].any()
    assert tissue[block() & (cv2.dilate(stroke, np.ones((21, 21), np.uint8)) == 0)].mean() > 0.97
    assert not tissue[310:, 300:].any()


@pytest.mark.parametrize("ink", INKS)
def test_pen_marks_painted_on_a_real_slide_are_left_out(real_data, ink):
    with open_slide(real_data / "slides" / "CMU-1-Small-Region.svs") as slide:
        image = np.ascontiguousarray(slide.thumbnail(downsample=8 / slide.mpp_um_per_px, max_px=4096))
    clean = tissue_mask(image, mpp_um_per_px=8)
    assert not pen_mask(image, mpp_um_per_px=8).any()
    stroke = np.zeros(image.shape[:2], np.uint8)
    cv2.line(stroke, (5, 170), (130, 20), 1, 9)
    image[stroke == 1] = np.clip(0.15 * image[stroke == 1] + 0.85 * np.array(INKS[ink]), 0, 255)
    image = cv2.GaussianBlur(image, (3, 3), 0)
    pen = pen_mask(image, mpp_um_per_px=8)
    mask = tissue_mask(image, mpp_um_per_px=8, pen=pen)
    assert pen[stroke == 1].mean() > 0.95
    assert mask[stroke == 1].mean() < 0.01
    away = cv2.dilate(stroke, np.ones((19, 19), np.uint8)) == 0
    assert (mask[away] == clean[away]).mean() > 0.98


@pytest.mark.parametrize("section", ["B/B4", "C/C3"])
def test_real_sections_have_no_ink_and_their_blush_is_glass(real_data, section):
    (path,) = (real_data / "her2st" / "data" / "ST-imgs" / section).glob("*.jpg")
    with open_slide(path, mpp_um_per_px=0.78) as slide:
        tissue = find_tissue(slide)
    assert not tissue.pen.any()
    assert 0.16 < tissue.mask.mean() < 0.29
    if section == "C/C3":
        height, width = tissue.mask.shape
        blush = tissue.mask[int(0.35 * height) : int(0.5 * height), int(0.73 * width) : int(0.9 * width)]
        assert not blush.any()


def test_real_slides_give_tissue_tiles(real_data):
    with open_slide(real_data / "slides" / "CMU-1-Small-Region.svs") as slide:
        tissue = find_tissue(slide)
        grid = cut_tiles(slide, tissue, SlideSetSettings(labels="l.csv"))
    assert 0.3 < tissue.mask.mean() < 0.5
    assert 50 < len(grid) < 70
    with open_slide(real_data / "slides" / "tcga-cr-7395-01a-01-ts1.svs", mpp_um_per_px=0.5) as slide:
        assert 0.6 < find_tissue(slide).mask.mean() < 0.7


def test_clam_presets_are_those_of_clam():
    assert PRESETS["tcga"] == ClamParameters(
        sthresh=8, mthresh=7, close=4, use_otsu=False, a_t=16, a_h=4, max_n_holes=8
    )
    assert PRESETS["biopsy"] == ClamParameters(
        sthresh=15, mthresh=11, close=2, use_otsu=False, a_t=1, a_h=1, max_n_holes=2
    )
    assert PRESETS["resection"] == ClamParameters(
        sthresh=15, mthresh=11, close=4, use_otsu=False, a_t=100, a_h=16, max_n_holes=8
    )
    assert clam_parameters(TissueSettings(method="clam", preset="biopsy", a_t=3)).a_t == 3


def clam_image():
    image = np.full((300, 300, 3), 240, np.uint8)
    image[50:250, 50:250] = (200, 110, 165)
    for k in range(3):
        image[70 + 50 * k : 100 + 50 * k, 80:110] = 240  # three holes, 30 px
    image[270:285, 270:285] = (200, 110, 165)  # 15 px
    return image


def test_clam_keeps_the_largest_holes_and_drops_small_pieces():
    # one pixel is 64 x 64 at level 0: 512^2 is 64 px here
    def mask(**parameters):
        return clam_mask(clam_image(), ClamParameters(**({"close": 0} | parameters)), px_area_level0=64.0**2)

    assert mask(a_t=1, a_h=1)[277, 277]
    assert not mask(a_t=4, a_h=1)[277, 277]
    holes = [not mask(a_t=4, a_h=1, max_n_holes=k)[60:240, 60:240].all() for k in (0, 1)]
    assert holes == [False, True]
    assert (~mask(a_t=4, a_h=1)[60:240, 60:240]).sum() == pytest.approx(3 * 900, rel=0.05)
    assert mask(a_t=4, a_h=20)[60:240, 60:240].all()


def test_clam_finds_tissue_at_the_level_nearest_to_a_64th(real_data):
    settings = TissueSettings(method="clam", preset="tcga", a_t=1)
    with open_slide(real_data / "slides" / "tcga-cr-7395-01a-01-ts1.svs", needs_resolution=False) as slide:
        tissue = find_tissue(slide, settings)
    assert tissue.level0_px_per_px_x == pytest.approx(2.0, rel=1e-3)
    assert 0.6 < tissue.mask.mean() < 0.75
