"""Writers of feature files as CLAM and TRIDENT write them."""

import h5py
import numpy as np
import pytest
import torch
from feature_meta import feature_meta

from hage_transfer.data.feature_file import write_features

ROWS = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
COORDS = np.stack([np.arange(7) * 512, np.arange(7) * 1024], axis=1)
META = feature_meta(
    "s1",
    encoder="uni",
    encoder_licence="CC-BY-NC-ND",
    patch_size_px=256,
    patch_size_level0_px=512,
    precision="float16",
    views=8,
)
TRIDENT = {
    "patch_size": 256,
    "patch_size_level0": 512,
    "level0_magnification": 40,
    "target_magnification": 20,
    "overlap": 0,
    "name": "s1",
    "savetodir": "elsewhere",
    "level0_width": 9000,
    "level0_height": 8000,
}
CLAM = {"patch_size": 256, "patch_level": 1, "downsample": (4.0, 4.0), "name": "s1"}


def _h5(path, *, features=ROWS, coords=COORDS, features_attributes=None, coords_attributes=None):
    """An h5 as CLAM and TRIDENT write it: a chunk a row, coords int32, attributes on the datasets."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values, named in (
            ("features", features, features_attributes),
            ("coords", None if coords is None else np.asarray(coords, dtype=np.int32), coords_attributes),
        ):
            if values is not None:
                shape = values.shape
                found = file.create_dataset(name, data=values, maxshape=(None, *shape[1:]), chunks=(1, *shape[1:]))
                found.attrs.update(named or {})
    return path


def _clam(folder, **patches):
    _h5(folder / "patches" / "s1.h5", features=None, coords_attributes={**CLAM, **patches})
    return _h5(folder / "h5_files" / "s1.h5")


def _trident(folder, *, encoder="uni_v1", features=ROWS, **changed):
    named = {"name": "s1", "savetodir": "elsewhere", "encoder": encoder}
    path = folder / "20x_256px_0px_overlap" / "features_uni_v1" / "s1.h5"
    return _h5(path, features=features, features_attributes=named, coords_attributes={**TRIDENT, **changed})


def _pt(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path)
    return path


@pytest.fixture(scope="session")
def write_h5():
    """Writer of an h5 of features, coords or both: (path, features=..., coords=..., attributes of each)."""
    return _h5


@pytest.fixture(scope="session")
def write_clam():
    """Writer of CLAM's files of slide s1: (folder, changed attributes of its patches)."""
    return _clam


@pytest.fixture(scope="session")
def write_trident():
    """Writer of TRIDENT's features of slide s1: (folder, encoder=..., features=..., changed attributes)."""
    return _trident


@pytest.fixture(scope="session")
def write_pt():
    """Writer of what torch saves: (path, value)."""
    return _pt


@pytest.fixture
def own(tmp_path):
    """This project's feature file of slide s1."""
    path = tmp_path / "own" / "s1.h5"
    write_features(path, ROWS, META, coords=COORDS, keys=[f"k{row}" for row in range(7)])
    return path


@pytest.fixture(scope="session")
def trident_attributes():
    """Attributes of the coords that ``write_trident`` writes."""
    return dict(TRIDENT)


@pytest.fixture(scope="session")
def clam_attributes():
    """Attributes of the coords that ``write_clam`` writes."""
    return dict(CLAM)
