"""Synthetic slides: a positive one hides a few tiles that no negative one has."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from feature_meta import feature_meta

from hage_transfer.data.feature_file import write_features
from hage_transfer.data.labels import LabelTable
from hage_transfer.mil.bags import open_bags


def _write_slide(folder, slide, features, **changes):
    coords = np.stack([np.arange(len(features)) * 224, np.zeros(len(features))], axis=1).astype(np.int64)
    write_features(folder / f"{slide}.h5", features.astype(np.float32), feature_meta(slide, **changes), coords=coords)


def _make_slides(folder, *, n_slides=60, shuffled=False, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.array(["normal", "tumour"])[np.arange(n_slides) % 2]
    for number, label in enumerate(labels):
        features = generator.normal(size=(int(generator.integers(8, 20)), 8))
        if label == "tumour":
            features[:2, :2] += 4.0
        _write_slide(folder, f"s{number}", features)
    if shuffled:
        labels = generator.permutation(labels)
    return LabelTable(
        keys=np.array([f"s{i}" for i in range(n_slides)]),
        labels=labels,
        groups=np.array([f"p{i // 2}" for i in range(n_slides)]),
        key_column="slide",
    )


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides") / "features"
    return folder, _make_slides(folder)


@pytest.fixture
def slides(tmp_path, made_once):
    """A copy of one's own: copied, sixty files cost a tenth of writing them."""
    made, labels = made_once
    return Path(shutil.copytree(made, tmp_path / "features")), replace(labels)


@pytest.fixture
def some_slides(tmp_path, made_once):
    """The first twelve, copied: what is true of a file or a folder is seen in a few."""
    made, labels = made_once
    few, folder = labels.take(np.arange(12)), tmp_path / "features"
    folder.mkdir()
    for slide in few.keys:
        shutil.copyfile(made / f"{slide}.h5", folder / f"{slide}.h5")
    return folder, few


@pytest.fixture(scope="session")
def opened(made_once):
    """The bags of all sixty, which stay in memory, and their labels: for tests that change neither."""
    return open_bags(*made_once), made_once[1]


@pytest.fixture(scope="session")
def write_slide():
    """Writes one slide's features into a folder; other attributes as keywords."""
    return _write_slide


@pytest.fixture
def make_slides():
    """Writes slides into a folder and gives their labels; ``shuffled`` labels say nothing of the slides."""
    return _make_slides


@pytest.fixture(autouse=True)
def one_thread():
    """Small products on several threads cost more than they save, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
