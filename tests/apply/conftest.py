"""A run of bags and one of patches, small enough for a moment, and new units for their classifiers."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from feature_meta import feature_meta
from huggingface_hub.utils import filter_repo_objects

import hage_transfer as ht
from hage_transfer.apply import labelled, valued_cohort
from hage_transfer.data.feature_file import write_features
from hage_transfer.models import checkpoint, sharing

WIDTH = 8


def _write_bags(folder: Path, names: list[str], *, seed: int = 0, shift: float = 0.0, **changes: object) -> Path:
    """Every second bag hides a few tiles that the others lack."""
    generator = np.random.default_rng(seed)
    for number, name in enumerate(names):
        rows = generator.normal(size=(int(generator.integers(8, 20)), WIDTH)).astype(np.float32) + shift
        rows[:2, :2] += 4.0 * (number % 2)
        coords = np.stack([np.arange(len(rows)) * 224, np.zeros(len(rows), dtype=int)], axis=1)
        write_features(folder / f"{name}.h5", rows, feature_meta(name, **changes), coords=coords)
    return folder


def _bag_labels(names: list[str]) -> pd.DataFrame:
    labels = [("normal", "tumour")[number % 2] for number in range(len(names))]
    return pd.DataFrame({"slide": names, "label": labels, "group": [f"p{number // 2}" for number in range(len(names))]})


@dataclass(frozen=True)
class Made:
    root: Path
    config: dict
    run: ht.Results

    def moved(self, to: Path, source: str = "frozen") -> Path:
        """Its classifier directory alone, elsewhere."""
        return Path(shutil.copytree(self.run.folder / "classifier" / source, to))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A MIL run of 24 bags, two trials, with models of all patients."""
    root = tmp_path_factory.mktemp("made")
    names = [f"s{number}" for number in range(24)]
    _write_bags(root / "bags", names)
    _bag_labels(names).to_csv(root / "labels.csv", index=False)
    config = {
        "data": {"layout": "features", "root": root / "bags", "labels": root / "labels.csv"},
        "split": {"folds": 3},
        "model": {"hidden_dim": 8, "attention_dim": 4},
        "train": {"epochs": 4, "validation": 0, "repeats": 2, "final": True, "learning_rate": 0.02},
    }
    return Made(root, config, ht.mil(config, out=root / "run"))


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals of calibration from a few draws: what is asked of them does not hang on how many there are."""
    monkeypatch.setattr(valued_cohort, "_RESAMPLES", 29)
    monkeypatch.setattr(labelled, "_FIT_RESAMPLES", 29)


@pytest.fixture(scope="session")
def write_bags():
    """Writes bags into a folder, every second of them a tumour; other attributes as keywords."""
    return _write_bags


@pytest.fixture(scope="session")
def bag_labels():
    """Labels of such bags, two of each patient."""
    return _bag_labels


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub that is a folder: uploads keep what their patterns allow, downloads are links as in the hub's cache."""
    stored = tmp_path / "stored"

    class Api:
        def __init__(self, token: str) -> None: ...

        def create_repo(self, repo_id, **_):
            return f"https://hub/{repo_id}"

        def repo_info(self, repo_id):
            return type("Info", (), {"private": True})

        def upload_folder(self, *, repo_id, folder_path, allow_patterns, **_):
            every = [
                path.relative_to(folder_path).as_posix() for path in Path(folder_path).rglob("*") if path.is_file()
            ]
            for name in filter_repo_objects(every, allow_patterns=allow_patterns):
                place = stored / repo_id / name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(folder_path) / name, place)

    def download(name, *, allow_patterns, **_):
        snapshot = tmp_path / "cache" / name
        every = [path.relative_to(stored / name).as_posix() for path in (stored / name).rglob("*") if path.is_file()]
        for one in filter_repo_objects(every, allow_patterns=allow_patterns):
            (snapshot / one).parent.mkdir(parents=True, exist_ok=True)
            (snapshot / one).unlink(missing_ok=True)
            (snapshot / one).symlink_to(stored / name / one)
        return str(snapshot)

    monkeypatch.setattr(sharing.huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(sharing.huggingface_hub, "get_token", lambda: "hf_x")
    monkeypatch.setattr(checkpoint.huggingface_hub, "snapshot_download", download)
    return stored
