"""A section of the run directory is the one that was read, and a file that is none is refused by name."""

import h5py
import numpy as np
import pytest

from hage_transfer.errors import DataError
from hage_transfer.pretrain.inputs import read_inputs, section_sha256
from hage_transfer.pretrain.stored_sections import StoredSections, store_section


@pytest.fixture
def section(config):
    found = read_inputs(config).sections["A2"]
    found.obs_names = [f'é "{name}"\n' for name in found.obs_names]
    found.obsm["patches"] = np.random.default_rng(0).integers(256, size=(found.n_obs, 4, 4, 3), dtype=np.uint8)
    found.uns["section"]["mpp_um_per_px"] = np.float64("nan")
    found.uns["section"]["mismatches"]["spots_below_min_counts"] = np.int64(3)
    return found


@pytest.fixture
def stored(section, tmp_path):
    return store_section(section, tmp_path, sha256="ab" * 32)


def test_a_stored_section_is_what_was_read(section, stored, tmp_path):
    found = StoredSections({"A2": stored}, tmp_path)["A2"]
    assert section_sha256(found) == section_sha256(section)
    assert found.X.dtype == section.X.dtype and (found.X != section.X).nnz == 0
    assert list(found.obs_names) == list(section.obs_names) and list(found.var_names) == list(section.var_names)
    assert found.obsm.keys() == {"features", "spatial", "patches"}
    for name, values in section.obsm.items():
        np.testing.assert_array_equal(found.obsm[name], values)
        assert found.obsm[name].dtype == values.dtype
    about, wanted = found.uns["section"], section.uns["section"]
    assert np.isnan(about.pop("mpp_um_per_px")) and np.isnan(wanted.pop("mpp_um_per_px"))
    assert about == wanted


def test_a_section_without_counts_or_features_is_stored(section, tmp_path):
    bare = section[:, :0].copy()
    bare.obsm.clear()
    found = StoredSections({"A2": store_section(bare, tmp_path, sha256="cd" * 32)}, tmp_path)["A2"]
    assert found.shape == bare.shape and not found.obsm


@pytest.mark.parametrize("damage", ["cut", "no facts", "no JSON", "lacks counts", "lacks arrays", "too few counts"])
def test_a_damaged_section_is_refused_by_name(stored, tmp_path, damage):
    if damage == "cut":
        stored.write_bytes(stored.read_bytes()[:-500])
    else:
        with h5py.File(stored, "a") as file:
            lost = {"lacks arrays": "obsm", "lacks counts": "counts/indptr", "too few counts": "counts/data"}
            del file[lost.get(damage, "facts")]
            if damage == "no JSON":
                file["facts"] = np.frombuffer(b'{"spots": [', dtype=np.uint8)
            elif damage == "too few counts":
                file["counts/data"] = np.ones(1, dtype=np.float32)
    with pytest.raises(DataError, match=f"{stored.name}.*run the pretraining again"):
        StoredSections({"A2": stored}, tmp_path)["A2"]
