"""What a run leaves for transfer beside its plain encoders: what each is, and that a control of it is one."""

import json

import numpy as np
import pytest
import torch

from hage_transfer import open_encoder
from hage_transfer.encode.sources import run_of
from hage_transfer.errors import DataError
from hage_transfer.models.derived import DerivedEncoder
from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.models.linear import LinearEncoder
from hage_transfer.pretrain.exports import derive
from hage_transfer.pretrain.inputs import read_inputs
from hage_transfer.pretrain.run import pretrain
from hage_transfer.running.run_directory import RunDirectory

ROWS = np.random.default_rng(0).normal(2, 3, (200, 6)).astype(np.float32)


@pytest.fixture
def encoder():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GeneInformedEncoder(torch.randn(3, 5), feature_dim=6, embed_dim=16, n_heads=2).eval()


def test_residual_keeps_the_frozen_features_to_scale_and_hears_both_blocks_alike(encoder):
    found = derive(encoder, ROWS, "residual")(torch.from_numpy(ROWS)).detach().numpy()
    assert found.shape == (200, 22)
    np.testing.assert_allclose(found[:, :6], (ROWS - ROWS.mean(0)) / ROWS.std(0), atol=1e-4)
    assert found[:, 6:].var(0).sum() == pytest.approx(found[:, :6].var(0).sum(), rel=1e-3)
    embedded = encoder(torch.from_numpy(ROWS)).detach().numpy()
    for column in range(16):
        assert np.corrcoef(found[:, 6 + column], embedded[:, column])[0, 1] == pytest.approx(1, abs=1e-4)


def test_whitened_embeddings_are_uncorrelated_and_a_linear_map_of_the_plain_ones(encoder):
    found = derive(encoder, ROWS, "whitened")(torch.from_numpy(ROWS)).detach().numpy()
    np.testing.assert_allclose(np.cov(found, rowvar=False), np.eye(found.shape[1]), atol=0.02)
    embedded = encoder(torch.from_numpy(ROWS)).detach().numpy()
    with_one = np.c_[embedded, np.ones(len(embedded))]
    left = found - with_one @ np.linalg.lstsq(with_one, found, rcond=None)[0]
    assert np.abs(left).max() < 0.02


def test_embeddings_that_do_not_vary_are_not_whitened_and_the_message_names_the_export(encoder):
    with pytest.raises(DataError, match=r"export whitened: the features of all 5 .*set model\.exports=\[\]"):
        derive(encoder, np.ones((5, 6), dtype=np.float32), "whitened")


def test_a_run_writes_them_beside_its_encoders_and_its_controls_of_the_same_numbers(config, tmp_path):
    settings = config.model_copy(
        update={
            "model": config.model.model_copy(update={"exports": ("residual", "whitened")}),
            "train": config.train.model_copy(update={"epochs": 2}),
            "split": config.split.model_copy(update={"held_out": ("A",)}),
            "trials": 1,
            "controls": "all",
        }
    )
    run = tmp_path / "run"
    pretrain(settings, read_inputs(settings), RunDirectory.open(run, settings), device="cpu")
    rows = torch.from_numpy(np.random.default_rng(1).normal(size=(4, 12)).astype(np.float32))
    control = {f"controls/{name}": f"{name}_residual" for name in ("untrained", "shuffled")}
    for plain, by in {"encoders": None, **control}.items():
        folder = run / f"{plain}_residual/A/trial_0"
        found, own = open_encoder(folder), open_encoder(run / plain / "A/trial_0")
        torch.testing.assert_close(found.encoder(rows), own(rows))
        assert (found.card["export"], found.card.get("made_by")) == ("residual", by)
        assert (found.card.get("role") == "control") is (by is not None)
        assert "frozen features kept" in (folder / "README.md").read_text()
        assert open_encoder(run / f"{plain}_whitened/A/trial_0")(rows).isfinite().all()
    assert run_of(run / "encoders_residual/A/trial_0") == run


@pytest.mark.parametrize("n_heads", [0, "2", None])
def test_a_directory_of_impossible_heads_is_refused(encoder, tmp_path, n_heads):
    DerivedEncoder(encoder, LinearEncoder(torch.eye(16))).save_pretrained(tmp_path / "one", card={})
    path = tmp_path / "one/config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "n_heads": n_heads}))
    with pytest.raises(DataError, match="n_heads"):
        open_encoder(tmp_path / "one")
