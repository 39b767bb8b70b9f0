"""A small, right data set of every kind, for tests that run whole commands."""

import gzip
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from feature_meta import feature_meta
from PIL import Image
from sketching import sketching

from hage_transfer.data.feature_file import write_features
from hage_transfer.data.feature_journal import FeatureJournal

GENES = [f"GENE{number}" for number in range(30)]
SECTIONS = ("A2", "B1")
SIDE = 6


class Bench:
    """A small, right data set of every kind in one folder, or a copy of one; each test spoils one thing in it."""

    def __init__(self, root: Path, made: Path | None = None) -> None:
        self.root = root
        self.st, self.images, self.bags = root / "st", root / "images", root / "bags"
        rows = [(f"s{number}", "ab"[number % 2], f"g{number}") for number in range(8)]
        self.labels = pd.DataFrame(rows, columns=["slide", "label", "group"])
        if made is None:
            self._sections()
            self._patches()
            self._bags()
        else:
            shutil.copytree(made, root, dirs_exist_ok=True)
        self.config("pretrain", self.pretrain())
        self.config("probe", self.probe())
        self.config("mil", self.mil())

    def config(self, name: str, tree: dict) -> None:
        """Writes a recipe."""
        (self.root / f"{name}.yaml").write_text(yaml.safe_dump(tree))

    def pretrain(self) -> dict:
        return {
            "data": {"root": str(self.st), "spot_spacing_um": 20},
            "features": str(self.root / "features"),
            "patch": {"size_px": 16},
            "genes": {"panel": str(self.root / "panel.txt"), "embedding_dim": 4},
            "model": {"embed_dim": 8, "n_heads": 2},
            "clusters": {"k1": 3},
            "train": {"epochs": 1},
            "trials": 1,
        }

    def probe(self) -> dict:
        return {
            "data": {"layout": "manifest", "root": str(self.images), "manifest": str(self.images / "manifest.csv")},
            "features": str(self.root / "patches"),
        }

    def mil(self) -> dict:
        return {
            "data": {"layout": "features", "root": str(self.bags), "labels": str(self.root / "labels.csv")},
            "split": {"folds": 2, "by_group": True},
            "train": {"epochs": 1, "min_epochs": 0, "validation": 0},
        }

    def _sections(self) -> None:
        rng = np.random.default_rng(0)
        x, y = (part.ravel() + 1 for part in np.meshgrid(np.arange(SIDE), np.arange(SIDE)))
        for folder in ("ST-cnts", "ST-spotfiles"):
            (self.st / folder).mkdir(parents=True)
        for name in SECTIONS:
            spots = [f"{a}x{b}" for a, b in zip(x, y, strict=True)]
            self.write_counts(name, pd.DataFrame(rng.poisson(3, (len(x), len(GENES))), index=spots, columns=GENES))
            pixels = {"pixel_x": 20.0 * x, "pixel_y": 20.0 * y}
            self.write_spots(name, pd.DataFrame({"x": x, "y": y, "new_x": x, "new_y": y, **pixels, "selected": 1}))
            image = self.st / "ST-imgs" / name[0] / name / "image.jpg"
            image.parent.mkdir(parents=True)
            Image.new("RGB", (160, 160), "white").save(image)
            meta = feature_meta(
                name,
                encoder_sha256="abc",
                patch_size_px=16,
                patch_size_level0_px=16,
                mpp_um_per_px=None,
                config_sha256="hash",
            )
            rows = rng.normal(size=(len(x), 5)).astype(np.float32)
            write_features(self.root / "features" / f"{name}.h5", rows, meta, keys=spots)
        (self.root / "panel.txt").write_text("\n".join(GENES))

    def counts_path(self, name: str) -> Path:
        return self.st / "ST-cnts" / f"{name}.tsv.gz"

    def spots_path(self, name: str) -> Path:
        return self.st / "ST-spotfiles" / f"{name}_selection.tsv"

    def write_counts(self, name: str, table: pd.DataFrame) -> None:
        with gzip.open(self.counts_path(name), "wt") as file:
            table.to_csv(file, sep="\t")

    def read_counts(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.counts_path(name), sep="\t", index_col=0)

    def write_spots(self, name: str, table: pd.DataFrame) -> None:
        table.to_csv(self.spots_path(name), sep="\t", index=False)

    def _patches(self) -> None:
        self.images.mkdir()
        rows = []
        for number in range(8):
            Image.new("RGB", (32, 32), (20 * number, 90, 160)).save(self.images / f"p{number}.png")
            rows.append((f"p{number}.png", "ab"[number % 2], f"g{number // 2}"))
        pd.DataFrame(rows, columns=["path", "label", "group"]).to_csv(self.images / "manifest.csv", index=False)

    def _bags(self) -> None:
        rng = np.random.default_rng(0)
        for number in range(8):
            meta = feature_meta(
                f"s{number}", encoder_sha256="abc", patch_size_px=16, patch_size_level0_px=16, config_sha256="hash"
            )
            coords = np.arange(6).reshape(3, 2)
            write_features(self.bags / f"s{number}.h5", rng.normal(size=(3, 5)).astype(np.float32), meta, coords=coords)
        self.labels.to_csv(self.root / "labels.csv", index=False)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Bench(tmp_path_factory.mktemp("bench")).root


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_once: Path) -> Bench:
    monkeypatch.chdir(tmp_path)
    return Bench(tmp_path, made_once)


@pytest.fixture
def stopped_at_third_batch(monkeypatch):
    """A context in which encoding is interrupted as it keeps its third batch of rows; it demands that it was."""

    @contextmanager
    def stopped():
        really, calls = FeatureJournal.append, []

        def stop_at_third(journal, rows):
            if len(calls) == 2:
                raise KeyboardInterrupt
            calls.append(len(rows))
            really(journal, rows)

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(FeatureJournal, "append", stop_at_third)
            yield

    return stopped


@pytest.fixture(autouse=True, scope="module")
def pages_without_figures() -> Iterator[None]:
    """Runs leave pages, whose figures are looked at in tests/report."""
    with sketching():
        yield
