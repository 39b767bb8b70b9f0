from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import tifffile
import torch
import yaml
from feature_meta import feature_meta

from hage_transfer.cli.main import run
from hage_transfer.config import PatchSetSettings, SlideSetSettings
from hage_transfer.data.feature_file import read_features, write_features
from hage_transfer.data.feature_layouts import find_feature_files, open_features
from hage_transfer.encode.layouts import ToolLayout
from hage_transfer.encode.status import StatusBook
from hage_transfer.errors import ConfigError


@pytest.fixture
def recipe(tmp_path):
    """Recipe of two small slides of 1 um/px, tiles of 128 px every 96."""
    (tmp_path / "slides").mkdir()
    for seed, name in enumerate(("a", "b")):
        grain = np.random.default_rng(seed).integers(-40, 40, (400, 420, 1))
        image = np.clip(np.array([200, 110, 165]) + grain, 0, 255).astype(np.uint8)
        tifffile.imwrite(
            tmp_path / "slides" / f"{name}.tif", image, tile=(128, 128), photometric="rgb", metadata=None,
            resolution=(1e4, 1e4), resolutionunit="CENTIMETER",
        )  # fmt: skip
    (tmp_path / "table.csv").write_text("slide\na\nb\n", encoding="utf-8")
    data = {
        "layout": "slides", "root": str(tmp_path / "slides"), "labels": str(tmp_path / "table.csv"),
        "mpp_um_per_px": 1.0, "tile_px": 128, "stride_px": 96,
    }  # fmt: skip
    encoder = {"batch_size": 4, "runtime": "torch"}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({"data": data, "features": str(tmp_path / "f"), "encoder": encoder}))
    return path


def test_encode_slides_writes_clams_folders_beside_its_own_files(recipe, tmp_path):
    assert run(["encode", "slides", str(recipe), "--layout", "clam"]) == 0
    own = read_features(tmp_path / "f" / "features" / "a.h5")
    with h5py.File(tmp_path / "f" / "clam" / "h5_files" / "a.h5") as file:
        np.testing.assert_array_equal(file["features"][:], own.features)
        np.testing.assert_array_equal(file["coords"][:], own.coords)
    with h5py.File(tmp_path / "f" / "clam" / "patches" / "a.h5") as file:
        assert (file["coords"].attrs["patch_size"], file["coords"].attrs["patch_level"]) == (128, 0)
    tensor = torch.load(tmp_path / "f" / "clam" / "pt_files" / "b.pt", weights_only=True)
    np.testing.assert_array_equal(tensor.numpy(), read_features(tmp_path / "f" / "features" / "b.h5").features)


def test_encode_slides_writes_tridents_folders_of_the_tiles_magnification_and_overlap(recipe, tmp_path):
    assert run(["encode", "slides", str(recipe), "--layout", "trident"]) == 0
    own = read_features(tmp_path / "f" / "features" / "b.h5")
    with h5py.File(tmp_path / "f" / "trident" / "10x_128px_32px_overlap" / "patches" / "b_patches.h5") as file:
        recorded = dict(file["coords"].attrs)
        np.testing.assert_array_equal(file["coords"][:], own.coords)
    assert recorded["level0_magnification"] == recorded["target_magnification"] == 10
    assert (recorded["level0_width"], recorded["level0_height"]) == (420, 400)
    assert (recorded["patch_size"], recorded["patch_size_level0"], recorded["overlap"]) == (128, 128, 32)
    found = find_feature_files(tmp_path / "f" / "trident")
    np.testing.assert_array_equal(open_features(found["b"]).read().features, own.features)


def test_encode_slides_adds_a_layout_to_slides_that_are_encoded_and_keeps_what_is_there(recipe, tmp_path):
    assert run(["encode", "slides", str(recipe)]) == 0
    before = (tmp_path / "f" / "features" / "a.h5").stat().st_mtime_ns
    assert run(["encode", "slides", str(recipe), "--layout", "clam"]) == 0
    assert (tmp_path / "f" / "features" / "a.h5").stat().st_mtime_ns == before
    written = tmp_path / "f" / "clam" / "h5_files" / "a.h5"
    first = written.stat().st_mtime_ns
    (tmp_path / "f" / "clam" / "h5_files" / "b.h5").unlink()
    assert run(["encode", "slides", str(recipe), "--layout", "clam"]) == 0
    assert written.stat().st_mtime_ns == first
    assert (tmp_path / "f" / "clam" / "h5_files" / "b.h5").exists()


def test_workers_that_end_together_write_a_layout_one_after_the_other(tmp_path):
    meta = feature_meta(
        "a",
        encoder_sha256="x",
        encoder_licence="x",
        patch_size_px=128,
        patch_size_level0_px=128,
        mpp_um_per_px=1.0,
        config_sha256="x",
    )
    path, folder = tmp_path / "f" / "a.h5", tmp_path / "out"
    write_features(path, np.ones((2000, 64), np.float32), meta, coords=np.zeros((2000, 2), np.int64))
    data = SlideSetSettings(labels="none.csv")

    def write(_):
        ToolLayout("clam").write(data, [path], folder, book=StatusBook(folder, ()), overwrite=True)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(24)))
    found = {one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()}
    assert found == {"clam/patches/a.h5", "clam/pt_files/a.pt", "clam/h5_files/a.h5"}
    assert not (folder / "locks").exists()


def test_layout_trident_takes_the_magnification_that_is_said():
    data = SlideSetSettings(labels="t.csv", tile_level0_px=256)
    assert ToolLayout("trident", 40.0).grid(data).target_magnification == 40.0
    with pytest.raises(ConfigError, match="magnification="):
        ToolLayout("trident").grid(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (SlideSetSettings(labels="t.csv", tile_px=128, stride_px=256), "stride_px 256 leaves gaps"),
        (PatchSetSettings(layout="folder", root="r"), "data.layout is folder"),
    ],
)
def test_layout_that_such_tiles_do_not_have_is_refused(data, message):
    with pytest.raises(ConfigError, match=message):
        ToolLayout("trident").grid(data)
