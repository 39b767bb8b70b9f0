"""Tiny patches and bags for the door's functions."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from feature_meta import feature_meta
from PIL import Image
from sketching import sketching

from hage_transfer.data.feature_file import write_features


class MeanColour:
    """An encoder of a user's own."""

    name, width, input_px, licence, sha256 = "mean-colour", 6, 224, "CC0-1.0", "0" * 64

    def __call__(self, images: np.ndarray) -> np.ndarray:
        pixels = images.reshape(len(images), -1, 3).astype("float32") / 255
        return np.concatenate([pixels.mean(1), pixels.std(1)], axis=1)


@dataclass(frozen=True)
class Small:
    """Data of every kind in one folder, and the keys of configs that run on it in a moment."""

    root: Path
    manifest: pd.DataFrame
    labels: pd.DataFrame

    @property
    def probe(self) -> dict:
        return {"data": {"root": self.root / "images"}, "features": self.root / "patches", "split": {"folds": 2}}

    @property
    def mil(self) -> dict:
        return {
            "data": {"layout": "features", "root": self.root / "bags", "labels": self.root / "labels.csv"},
            "split": {"folds": 2},
            "model": {"hidden_dim": 4, "attention_dim": 4},
            "train": {"epochs": 1, "min_epochs": 0, "validation": 0},
        }


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    patches, slides = [], []
    for number in range(8):
        Image.new("RGB", (32, 32), (20 * number, 90, 160)).save(tmp_path / "images" / f"p{number}.png")
        patches.append((f"p{number}.png", "ab"[number % 2], f"g{number // 2}"))
        meta = feature_meta(
            f"s{number}", encoder_sha256="abc", patch_size_px=16, patch_size_level0_px=16, config_sha256="hash"
        )
        rows = rng.normal(size=(3, 5)).astype(np.float32)
        write_features(tmp_path / "bags" / f"s{number}.h5", rows, meta, coords=np.arange(6).reshape(3, 2))
        slides.append((f"s{number}", number % 2, f"g{number}"))
    manifest = pd.DataFrame(patches, columns=["path", "label", "group"])
    labels = pd.DataFrame(slides, columns=["slide", "label", "group"])
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    labels.to_csv(tmp_path / "labels.csv", index=False)
    return Small(tmp_path, manifest, labels)


@pytest.fixture
def mean_colour() -> MeanColour:
    return MeanColour()


@pytest.fixture(autouse=True, scope="module")
def pages_without_figures() -> Iterator[None]:
    """Runs leave pages, whose figures are looked at in tests/report."""
    with sketching():
        yield
