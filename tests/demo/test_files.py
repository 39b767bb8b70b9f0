from pathlib import Path

import h5py
import numpy as np
import openslide
import pytest

from hage_transfer.config import PatchSetSettings, SectionsSettings, SlideSetSettings
from hage_transfer.data.labels import read_labels
from hage_transfer.data.patches import read_patch_set
from hage_transfer.data.sections import read_sections
from hage_transfer.demo import files as demo_files
from hage_transfer.demo.patches import write_patches
from hage_transfer.demo.programs import SYMBOLS
from hage_transfer.demo.sections import write_sections
from hage_transfer.demo.slides import write_slides
from hage_transfer.errors import ConfigError
from hage_transfer.slides.reader import image_size_px


def bytes_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_write_sections_is_read_by_the_her2st_reader_without_mismatch(tmp_path: Path) -> None:
    write_sections(tmp_path, seed=0, names=("B1", "C1"), side_px=1600)
    sections = read_sections(SectionsSettings(root=tmp_path, spot_spacing_um=75))
    assert [section.uns["section"]["patient"] for section in sections] == ["B", "C"]
    for section in sections:
        facts = section.uns["section"]
        assert facts["mpp_um_per_px"] == pytest.approx(0.5, rel=0.01)
        assert not any(facts["mismatches"].values())
        assert tuple(section.var_names) == SYMBOLS
        width, height = image_size_px(Path(facts["image_path"]))
        assert np.all(section.obsm["spatial"] >= 112)
        assert np.all(section.obsm["spatial"] <= np.array([width, height]) - 112)


def test_write_sections_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_sections(tmp_path / folder, seed=4, names=("B1",), side_px=1000)
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")


def test_write_patches_is_read_by_the_pcam_reader(tmp_path: Path) -> None:
    write_patches(tmp_path, seed=0, splits={"train": 1, "valid": 1, "test": 1}, per_slide=20)
    patches = read_patch_set(PatchSetSettings(layout="pcam", root=tmp_path))
    assert len(patches) > 30
    assert set(patches.labels.tolist()) == {"0", "1"}
    assert len(set(patches.groups.tolist())) == 3
    assert next(iter(patches.images())).shape == (96, 96, 3)


def test_write_patches_killed_before_the_end_completes_with_the_same_patches(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    options = {"seed": 1, "splits": {"train": 1, "test": 1}, "per_slide": 8}
    for folder in (whole, broken):
        write_patches(folder, **options)
    stem = "camelyonpatch_level_2_split_test"
    (broken / f"{stem}_meta.csv").unlink()  # what a kill between two files leaves
    (broken / f"{stem}_y.h5").unlink()
    write_patches(broken, **options)
    for split in ("train", "test"):
        for name in ("x", "y"):
            paths = [folder / f"camelyonpatch_level_2_split_{split}_{name}.h5" for folder in (whole, broken)]
            first, second = (h5py.File(path)[name][...] for path in paths)
            assert np.array_equal(first, second)


def test_write_slides_are_pyramids_of_known_resolution_with_labels(tmp_path: Path) -> None:
    write_slides(tmp_path, seed=0, n_slides=4, side_px=1024)
    settings = SlideSetSettings(root=tmp_path, labels=tmp_path / "labels.csv")
    labels = read_labels(settings.labels)
    assert labels.labels.tolist() == ["quiet", "quiet", "activated", "activated"]
    assert len(set(labels.groups.tolist())) == 2
    for name in labels.keys:
        with openslide.OpenSlide(str(tmp_path / f"{name}.tif")) as slide:
            assert slide.level_count == 2
            assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5)


def test_write_demo_files_of_another_seed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("write_sections", "write_patches", "write_slides"):
        monkeypatch.setattr(demo_files, name, lambda *_args, **_options: None)
    demo_files.write_demo_files(tmp_path, seed=0)
    demo_files.write_demo_files(tmp_path, seed=0)
    with pytest.raises(ConfigError, match="another out="):
        demo_files.write_demo_files(tmp_path, seed=1)
