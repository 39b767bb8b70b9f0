"""Where a run's pixels are, by layout, and how large its tiles are on them."""

from contextlib import nullcontext

import h5py
import numpy as np
import pytest
from PIL import Image

from hage_transfer.config import FeatureSetSettings, PatchSetSettings, SlideSetSettings
from hage_transfer.data.feature_file import FeatureMeta
from hage_transfer.data.feature_layouts import open_features
from hage_transfer.errors import DataError
from hage_transfer.explain.images import level0_mpp, refuse_other_scan, slide_images, tile_places
from hage_transfer.slides.reader import open_slide


@pytest.fixture
def root(tmp_path):
    for name in ("a_good1.png", "a_bad2.png"):
        Image.new("RGB", (300, 200), "white").save(tmp_path / name)
    return tmp_path


def meta(**changes):
    values = {"patch_size_px": 64, "patch_size_level0_px": 64, "mpp_um_per_px": None}
    facts = {"source": "s", "encoder": "embedded", "encoder_sha256": "a" * 64, "encoder_licence": "Apache-2.0"}
    return FeatureMeta(**facts | values | changes, precision="float32", config_sha256="settings")


def test_images_of_a_pattern_are_found_by_the_bags_name(root):
    data = PatchSetSettings(layout="pattern", root=root, pattern=r"a_(?P<label>[a-z]+)\d\.png", tile_px=64)
    found = slide_images(data, None, ["a_good1", "gone"])
    assert found["a_good1"].path == root / "a_good1.png"
    assert found["gone"].path is None
    assert "slide gone: no image" in found["gone"].reason


def test_slides_of_a_table_have_its_resolution(root):
    (root / "labels.csv").write_text("slide,label,mpp\na_good1.png,x,0.4\na_bad2,y,\n")
    data = SlideSetSettings(root=root, labels=root / "labels.csv", slide_mpp_um_per_px=0.7)
    found = slide_images(data, None, ["a_good1", "a_bad2"])
    assert found["a_good1"].path == root / "a_good1.png"
    assert (found["a_good1"].own_mpp_um_per_px, found["a_bad2"].own_mpp_um_per_px) == (0.4, None)
    assert found["a_bad2"].fallback_mpp_um_per_px == 0.7


def test_feature_files_have_images_only_in_a_folder_that_is_given(root):
    data = FeatureSetSettings(root=root, labels=root / "labels.csv")
    assert slide_images(data, None, ["a_good1"]) == {"a_good1": None}
    assert slide_images(data, root, ["a_good1"])["a_good1"].path == root / "a_good1.png"


def test_tiles_have_their_unrounded_size_where_the_slide_says_its_resolution(root):
    coords = np.array([[0, 0], [110, 0]])
    with open_slide(root / "a_good1.png", own_mpp_um_per_px=0.2527) as slide:
        facts = meta(patch_size_px=56, patch_size_level0_px=111, mpp_um_per_px=0.5)
        assert tile_places(coords, facts, slide).size_px == pytest.approx((56 * 0.5 / 0.2527,) * 2)
        other = meta(patch_size_px=56, patch_size_level0_px=90, mpp_um_per_px=0.5)  # cut at another resolution
        assert tile_places(coords, other, slide).size_px == (90, 90)
        assert level0_mpp(facts, slide) == pytest.approx(0.2527)


def test_the_resolution_of_level_0_follows_from_the_features_without_a_slide():
    assert level0_mpp(meta(patch_size_px=56, patch_size_level0_px=112, mpp_um_per_px=0.5), None) == 0.25
    assert level0_mpp(meta(), None) is None


def test_tiles_without_a_size_are_refused():
    with pytest.raises(DataError, match="how large a tile is"):
        tile_places(np.zeros((1, 2), dtype=np.int64), meta(patch_size_level0_px=0), None)


def test_tiles_outside_the_slide_are_refused(root):
    with open_slide(root / "a_good1.png", needs_resolution=False) as slide:
        inside = np.array([[slide.width_px - 1, slide.height_px - 1]])
        assert len(tile_places(inside, meta(), slide).corners_px) == 1
        with pytest.raises(DataError, match=r"1 of 2 tiles lie outside .*a_good1.png.* level-0 px"):
            tile_places(np.vstack([inside, inside + 1]), meta(), slide)


@pytest.mark.parametrize(("width", "is_refused"), [(300, False), (301, False), (1200, True), ("wide", False)])
def test_a_slide_of_another_size_than_trident_recorded_is_refused(root, width, is_refused):
    with h5py.File(root / "a_good1.h5", "w") as file:
        file["features"], file["coords"] = np.ones((1, 4), np.float32), np.zeros((1, 2), int)
        file["coords"].attrs.update({"level0_width": width, "level0_height": 200})
    said = (
        pytest.raises(DataError, match=r"a slide of 1200 x 200 px.*a_good1\.png has 300 x 200") if is_refused else None
    )
    with open_slide(root / "a_good1.png", needs_resolution=False) as slide, said or nullcontext():
        refuse_other_scan(open_features(root / "a_good1.h5"), slide)
