"""Identical and unreadable images of a patch set."""

import numpy as np
import pytest
from PIL import Image

from hage_transfer.config import PatchSetSettings
from hage_transfer.data.image_hashes import check_pixels
from hage_transfer.data.patches import read_patch_set


@pytest.fixture
def images(tmp_path):
    """Six images of three patients; p0 and p3 are the same picture in two forms, p4 and p5 the same of one patient."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(6)]
    pictures[3], pictures[5] = pictures[0], pictures[4]
    lines = ["path,label,group"]
    for number, picture in enumerate(pictures):
        name = f"p{number}.{'bmp' if number == 3 else 'png'}"
        Image.fromarray(picture).save(tmp_path / name)
        lines.append(f"{name},{'ab'[number % 2]},patient_{number // 2}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return PatchSetSettings(root=tmp_path, manifest=tmp_path / "manifest.csv")


@pytest.mark.parametrize("n_threads", [1, 3])
def test_check_pixels_find_one_picture_in_two_files_of_two_patients(images, n_threads):
    checked = check_pixels(read_patch_set(images), n_threads=n_threads)
    found = [(one.rows, one.across_groups, one.across_labels) for one in checked.duplicates]
    assert found == [((0, 3), True, True), ((4, 5), False, True)]


def test_check_pixels_tell_pictures_of_other_shape_apart(images):
    flat = Image.fromarray(np.zeros((8, 32, 3), np.uint8))
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(images.root / "p1.png")
    flat.save(images.root / "p2.png")
    checked = check_pixels(read_patch_set(images))
    assert [one.rows for one in checked.duplicates] == [(0, 3), (4, 5)]
    assert checked.constant == (1, 2)


def test_check_pixels_name_an_image_that_breaks_off_and_read_the_rest(images):
    path = images.root / "p1.png"
    path.write_bytes(path.read_bytes()[:400])
    checked = check_pixels(read_patch_set(images))
    assert list(checked.unreadable) == ["p1.png"]
    assert "damaged" in checked.unreadable["p1.png"]
    assert [one.rows for one in checked.duplicates] == [(0, 3), (4, 5)]


def test_check_pixels_compare_tiles(images):
    twice = np.tile(np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8), (2, 2, 1))
    Image.fromarray(twice).save(images.root / "p1.png")
    checked = check_pixels(read_patch_set(images.model_copy(update={"tile_px": 8})))
    within = next(one for one in checked.duplicates if len(one.rows) == 4)
    assert within.rows == (4, 5, 6, 7)
    assert not within.across_groups
