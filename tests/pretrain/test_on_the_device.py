"""A whole trial of HAGE on a device that mixes with no other."""

from functools import partial

import h5py
import numpy as np
import pytest
from pretend_device import DEVICE, PretendDevice
from pretend_training import accept_the_device, waits_of_steps
from sampled import sampled
from torch.nn.attention import SDPBackend, sdpa_kernel

from hage_transfer.pretrain import train
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.inputs import fold_inputs, read_inputs
from hage_transfer.pretrain.trial_files import TrialPaths

plain_attention = partial(sdpa_kernel, SDPBackend.MATH)
KINDS = {
    "paper": {},
    "bank": {"clusters": {"centroids": "dataset", "k1": 6}, "loss": {"pcc_scope": "section"}},
    "beside": {"loss": {"negative_binomial": 0.1, "section_reversal": 0.1}},
    "genes": {"model": {"embed_dim": 32, "n_heads": 4, "predictor": "gene_conditioned", "attention": "sparse"}},
}


@pytest.mark.parametrize("kind", sampled(KINDS, "paper", "beside"))
def test_a_trial_runs_on_the_device_as_on_the_cpu_and_waits_once_a_step(kind, config, tmp_path, monkeypatch):
    accept_the_device(monkeypatch)
    short = {"train": {**config.train.model_dump(), "epochs": 2}}
    settings = PretrainConfig.model_validate({**config.model_dump(), **short, **KINDS[kind]})
    inputs = read_inputs(settings)
    fold = fold_inputs(inputs, inputs.folds[0], settings, run=tmp_path)

    def predictions(device: str) -> dict[str, np.ndarray]:
        paths = TrialPaths.of(tmp_path / device, "A", 0, sha256=fold.sha256)
        train.train_trial(fold, settings, 0, paths, device)
        with h5py.File(paths.predictions) as file:
            return {name: file[name][...] for name in ("train", "test", "curves/value")}

    with plain_attention(), PretendDevice() as device, waits_of_steps(device) as steps:
        there = predictions(DEVICE)
    n_steps = len(steps) // 2
    inside = [*steps[1:n_steps], *steps[n_steps + 1 :]]  # between the two are the epoch's means and its validation
    assert max(map(len, inside)) <= 1, max(inside, key=len)
    with plain_attention():  # the CPU's own kernel rounds otherwise, and Adam makes steps of that
        here = predictions("cpu")
    for name, values in here.items():
        np.testing.assert_allclose(there[name], values, atol=1e-4)
