"""Control encoders: each is what its card says, beside HAGE's own, and adds to a run without changing its numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from hage_transfer import open_encoder
from hage_transfer.compare.results import Results
from hage_transfer.errors import DataError
from hage_transfer.models.checkpoint import read_card
from hage_transfer.pretrain import train
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.controls.about import ABOUT, CHEAP
from hage_transfer.pretrain.controls.encoders import untrained
from hage_transfer.pretrain.controls.shuffled import shuffle_expression
from hage_transfer.pretrain.folds import validation_split
from hage_transfer.pretrain.inputs import fold_inputs, read_inputs
from hage_transfer.pretrain.linear_maps import standardised, whitened
from hage_transfer.pretrain.ridges import BAR, RIDGES, Fits, fitted_map
from hage_transfer.pretrain.run import pretrain
from hage_transfer.running.run_directory import RunDirectory


def settings_of(config: PretrainConfig, controls: str) -> PretrainConfig:
    split = config.split.model_copy(update={"held_out": ("A",)})
    few = config.train.model_copy(update={"epochs": 4})
    return config.model_copy(update={"trials": 2, "split": split, "train": few, "controls": controls})


def run(config: PretrainConfig, out: Path) -> Results:
    return pretrain(config, read_inputs(config), RunDirectory.open(out, config), device="cpu")


@pytest.fixture(scope="module")
def data(shared_config, tmp_path_factory):
    inputs = read_inputs(shared_config)
    run = tmp_path_factory.mktemp("fold")
    return fold_inputs(inputs, inputs.folds[0], shared_config, run=run).data(shared_config.preset)


@pytest.mark.slow
def test_controls_add_to_a_run_and_change_no_number_of_it(config, tmp_path):
    folder = tmp_path / "run"
    plain = run(settings_of(config, "none"), folder)
    assert not (folder / "controls").exists()
    run(settings_of(config, "cheap"), folder)
    assert {path.name for path in (folder / "controls").iterdir()} == set(CHEAP)
    results = run(settings_of(config, "all"), folder)
    assert [r for r in results.records if not r.source.startswith("shuffled")] == list(plain.records)
    for name in ABOUT:
        trials = sorted(path.name for path in (folder / "controls" / name / "A").iterdir())
        assert trials == (["trial_0", "trial_1"] if name in ("untrained", "shuffled") else ["trial_0"])
        card = read_card(folder / "controls" / name / "A/trial_0")
        assert (card["made_by"], card["role"], card["train_sections"]) == (name, "control", ["B1", "B2"])
        assert card["about"] == ABOUT[name]
        encoder = open_encoder(folder / "controls" / name / "A/trial_0")
        assert encoder(torch.zeros(2, 12)).isfinite().all()
    curves = pd.read_csv(folder / "curves.csv", dtype={"fold": str})
    for trial in (0, 1):
        own = curves[(curves["source"] == "hage") & (curves["trial"] == trial) & (curves["term"] == "validation/pcc")]
        control = curves[(curves["source"] == "shuffled") & (curves["trial"] == trial)]
        assert control["epoch"].max() == own.sort_values("value")["epoch"].iloc[-1]
    start, trained = (
        open_encoder(folder / part / "A/trial_0").state_dict() for part in ("controls/untrained", "encoders")
    )
    assert torch.equal(start["gene_embeddings"], trained["gene_embeddings"])
    assert torch.equal(start["feature_mean"], trained["feature_mean"])
    assert not torch.equal(start["refine.0.weight"], trained["refine.0.weight"])
    assert results.value(source="hage_averaged", metric="pcc_all", fold="mean", trial=None) > results.value(
        source="shuffled_averaged", metric="pcc_all", fold="mean", trial=None
    )


def test_untrained_is_what_the_trial_starts_from(config, data):
    seed = train.trial_seed(config.seed, data.fold.name, 1)
    rows, _ = validation_split(data.train.section, config.split, seed=seed)
    torch.manual_seed(seed)
    start = train._build(data, config, rows, np.zeros(len(rows), dtype=np.int64), None).encoder.state_dict()
    found = untrained(data, config, trial=1).state_dict()
    assert start.keys() == found.keys()
    assert all(torch.equal(start[name], found[name]) for name in start)


def test_expression_is_the_reduced_rank_ridge_of_the_table(data):
    tuned = RIDGES[BAR].predict(Fits(data.train, data.test, unit="patient"))
    for rank in (tuned.chosen["rank"], 2.0, 0.0):
        encoder = fitted_map(data.train, alpha=tuned.chosen["alpha"], rank=rank)
        found = encoder(torch.from_numpy(data.test.features)).numpy()
        if rank == tuned.chosen["rank"]:
            np.testing.assert_allclose(found, tuned.test, atol=1e-4)
        if rank == 2.0:
            assert np.linalg.matrix_rank(found - found.mean(0), tol=1e-3) == 2


def test_a_gene_that_is_constant_in_training_is_predicted_constant_to_the_last_digit(data):
    target = np.array(data.train.target)
    target[:, 3] = 0.0
    flat = replace(data, train=replace(data.train, target=target))
    found = fitted_map(flat.train, alpha=1.0, rank=2.0)(torch.from_numpy(data.test.features)).numpy()
    assert np.ptp(found[:, 3]) == 0
    assert np.ptp(found, axis=0)[:3].min() > 0.01


def test_shuffled_expression_leaves_its_image_and_nothing_else(data):
    shuffled = shuffle_expression(data.train, seed=3)
    assert shuffled.features is data.train.features
    for name in data.train.section_names:
        rows = data.train.rows_of(name)
        before, after = data.train.counts[rows], shuffled.counts[rows]
        assert sorted(map(tuple, before.tolist())) == sorted(map(tuple, after.tolist()))
        moved = (before != after).any(1).mean()
        assert moved > 0.9
    order = [np.flatnonzero((data.train.counts == row).all(1))[0] for row in shuffled.counts[:5]]
    np.testing.assert_array_equal(shuffled.target[:5], data.train.target[order])


def test_features_that_do_not_vary_have_no_principal_component():
    with pytest.raises(DataError, match=r"control pca: the features of all 5 training spots are the same"):
        whitened(np.ones((5, 3), dtype=np.float32), width=2)


@pytest.mark.parametrize(("width", "kept"), [(64, 5), (3, 3)])
def test_whitened_components_are_uncorrelated_and_of_variance_one(width, kept):
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5)) * [1, 10, 100, 1, 1] + 7).astype(np.float32)
    features = np.concatenate([features, features[:, :1], np.full((200, 1), 3.0, np.float32)], axis=1)
    found = whitened(features, width=width)(torch.from_numpy(features)).numpy()
    assert found.shape == (200, kept)  # a copy and a constant add nothing
    np.testing.assert_allclose(np.cov(found.T), np.eye(kept), atol=2e-3)
    scaled = standardised(features)(torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(scaled.std(0), [1, 1, 1, 1, 1, 1, 0], atol=1e-3)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-3)


def test_a_control_of_hage_needs_hage(config):
    with pytest.raises(ValueError, match="methods has no hage"):
        PretrainConfig.model_validate({**config.model_dump(), "methods": ("knn",), "controls": "all"})
