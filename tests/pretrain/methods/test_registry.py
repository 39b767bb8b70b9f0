"""Laws that every compared system keeps."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sampled import sampled
from torch import nn

from hage_transfer.compare.genes import gene_pcc
from hage_transfer.config import make_config
from hage_transfer.data.feature_file import Features
from hage_transfer.errors import ConfigError
from hage_transfer.models.embedding import embed_features
from hage_transfer.models.forms import open_encoder
from hage_transfer.models.stored_encoder import StoredEncoder
from hage_transfer.pretrain.config import METHOD_NAMES, PIXEL_NAMES, RENAMED, STYLE_NAMES, PretrainConfig
from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.encoder_directory import write_system_directory
from hage_transfer.pretrain.methods.base import Task, Trained
from hage_transfer.pretrain.methods.registry import METHODS
from hage_transfer.pretrain.methods.score import section_pcc

EPOCHS = {"stnet": 15, "bleep": 15, "mclstexp": 15, "histogene": 8, "hist2st_graph": 8, "thitogene_graph": 6}
EPOCHS |= dict.fromkeys(STYLE_NAMES, 8)
SMALL = {"width": 32, "depth": 1, "n_heads": 2}  # of section heads, for the sake of time
SIZES: dict[str, dict[str, float]] = {
    "histogene": {**SMALL, "learning_rate": 3e-3},
    "hist2st_graph": {**SMALL, "learning_rate": 5e-3, "graph_depth": 2, "dropout": 0.0},
    "thitogene_graph": {**SMALL, "learning_rate": 5e-3, "graph_heads": 2, "graph_width": 32, "dropout": 0.0},
    **{name: {**SMALL, "learning_rate": 3e-3, "dropout": 0.0} for name in STYLE_NAMES},
}
ON_FEATURES = [name for name in METHODS if name not in PIXEL_NAMES]  # the others: test_pixels.py
STOCHASTIC = [name for name in ON_FEATURES if METHODS[name].stochastic]

every_method = pytest.mark.parametrize("name", ON_FEATURES)
every_learned = pytest.mark.parametrize("name", sampled(ON_FEATURES, "bleep", "stnet"))
every_stochastic_method = pytest.mark.parametrize("name", STOCHASTIC)


def fit(name: str, task: Task, *, long: bool = False) -> Trained:
    """A fit with small section heads, of a few steps unless ``long``."""
    steps = {"min_steps": 31 if long else 3} if name in SIZES else {}
    return METHODS[name].fit(task, **SIZES.get(name, {}), **steps)


def with_test(task: Task, **changes: Any) -> Task:
    return replace(task, data=replace(task.data, test=replace(task.data.test, **changes)))


def permuted(spots: Spots, order: np.ndarray) -> Spots:
    names = ("features", "counts", "target", "coords_px", "section")
    return replace(
        spots,
        **{name: getattr(spots, name)[order] for name in names},
        spot_names=tuple(spots.spot_names[row] for row in order),
    )


def assert_same(one: Trained, other: Trained) -> None:
    np.testing.assert_array_equal(one.train, other.train)
    np.testing.assert_array_equal(one.test, other.test)


def test_registry_names_each_method_as_its_key_says():
    assert list(METHODS) == [*METHOD_NAMES[1:], *STYLE_NAMES, *PIXEL_NAMES]
    assert all(method.name == name and method.reference for name, method in METHODS.items())
    assert all(("feature-level" in METHODS[name].title) == METHODS[name].stochastic for name in ON_FEATURES)
    assert all("pixel-level" in METHODS[name].title for name in PIXEL_NAMES)


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_earlier_names_are_refused_with_the_new_one(old: str, new: str):
    with pytest.raises(ConfigError, match=f"'{old}': was renamed: it is a graph head .*; write {new}"):
        make_config(PretrainConfig, {"data": {"root": "data"}, "methods": ["hage", old]}, where="old.yaml")


@pytest.fixture(scope="module")
def fits() -> dict[Any, Any]:
    return {}


@pytest.fixture
def plain(fits: dict[Any, Any], make_task: Callable[..., Task]) -> Callable[..., Trained]:
    """The fit of a method on the plain task, once a seed; others are compared with it."""

    def of(name: str, seed: int = 0) -> Trained:
        if (name, seed) not in fits:
            fits[name, seed] = fit(name, make_task(seed=seed))
        return fits[name, seed]

    return of


@every_method
def test_test_counts_change_no_prediction(name: str, make_task: Callable[..., Task], plain: Callable[..., Trained]):
    task = make_task()
    test = task.data.test
    blinded = with_test(task, counts=np.full_like(test.counts, np.nan), target=np.full_like(test.target, np.nan))
    assert_same(plain(name), fit(name, blinded))


@every_stochastic_method
def test_exported_embeddings_are_the_system_s_own(
    name: str, make_task: Callable[..., Task], sections: Callable[..., Spots], tmp_path: Path
):
    """Through the directory and the one loader: what the system itself made of the test spots, last of all."""
    task = make_task(test=sections([64], seed=2, names=["C1"]))
    forward: list[np.ndarray] = []

    def keep(module: nn.Module, given: Any, output: Any) -> None:
        if isinstance(module, StoredEncoder):
            forward.append(output.detach().numpy())

    hook = torch.nn.modules.module.register_module_forward_hook(keep)
    trained = fit(name, task)
    hook.remove()
    folder = tmp_path / "trial_0"
    write_system_directory(folder, trained, METHODS[name], task.data, task.config, trial=0)
    test = task.data.test
    features = Features(test.features, None, test.coords_px.astype(np.int64), task.data.feature_meta)
    found = embed_features(features, open_encoder(folder), folder=folder)
    np.testing.assert_allclose(found.features, trained.test if name == "stnet" else forward[-1], atol=1e-6)
    assert (found.meta.encoder, found.meta.encoder_licence) == (f"{name}:trial_0", "Apache-2.0")
    assert found.meta.trained_on.split() == [*task.data.fold.patients, *task.data.fold.train]
    assert METHODS[name].title in (folder / "README.md").read_text()


@every_stochastic_method
def test_validation_counts_change_no_prediction_of_an_epoch(
    name: str, make_task: Callable[..., Task], plain: Callable[..., Trained]
):
    """With one epoch there is nothing to pick, so nothing may depend on what validation spots express."""
    task = make_task()
    target, counts = task.data.train.target.copy(), task.data.train.counts.copy()
    target[task.validation_rows] = np.random.default_rng(5).uniform(50, 100, target[task.validation_rows].shape)
    counts[task.validation_rows] = 1e4
    changed = replace(task, data=replace(task.data, train=replace(task.data.train, target=target, counts=counts)))
    assert_same(plain(name), fit(name, changed))


@every_method
def test_same_seed_gives_the_same_bits(name: str, make_task: Callable[..., Task], plain: Callable[..., Trained]):
    assert_same(plain(name, 3), fit(name, make_task(seed=3)))


@every_method
def test_another_seed_differs_only_where_the_method_is_stochastic(name: str, plain: Callable[..., Trained]):
    one, other = (plain(name, seed).test for seed in (0, 3))
    assert np.array_equal(one, other) != METHODS[name].stochastic


@every_method
def test_predictions_follow_the_order_of_test_spots(
    name: str, make_task: Callable[..., Task], plain: Callable[..., Trained]
):
    """Rows of sections may even be interleaved: a section's spots are found by its number."""
    task = make_task()
    order = np.random.default_rng(8).permutation(len(task.data.test))
    shuffled = replace(task, data=replace(task.data, test=permuted(task.data.test, order)))
    np.testing.assert_allclose(fit(name, shuffled).test, plain(name).test[order], atol=2e-4)


@every_method
def test_sections_of_one_spot_are_predicted(name: str, make_task: Callable[..., Task], sections: Callable[..., Spots]):
    train, test = sections([40, 1], seed=1, names=["A1", "A2"]), sections([1, 9], seed=2, names=["C1", "C2"])
    trained = fit(name, make_task(train=train, test=test))
    assert trained.train.shape == (41, 20)
    assert trained.test.shape == (10, 20)
    assert np.isfinite(trained.train).all()
    assert np.isfinite(trained.test).all()


@pytest.fixture
def learned(
    name: str,
    fits: dict[Any, Any],
    make_task: Callable[..., Task],
    sections: Callable[..., Spots],
) -> tuple[Trained, Spots]:
    """A longer fit on eight sections, once a method, and the test spots."""
    if name not in fits:
        train = sections([64] * 8, seed=1, names=["A1", "A2", "B1", "B2", "D1", "D2", "E1", "E2"])
        task = make_task(epochs=EPOCHS.get(name, 1), train=train)
        fits[name] = fit(name, task, long=True), task.data.test
    return fits[name]


@every_learned
def test_a_planted_signal_is_learned(name: str, learned: tuple[Trained, Spots]):
    trained, test = learned
    assert trained.validation_pcc > 0.3
    assert section_pcc(trained.test, test.target, test.section) > 0.3
    assert (trained.best_epoch >= 0) == METHODS[name].stochastic == bool(trained.curves)


@every_learned
def test_predictions_are_on_the_scale_of_the_target(name: str, learned: tuple[Trained, Spots]):
    """What `calibrated=False` promises: the genes' means are near those of the target, which are 1.2 to 3.0."""
    trained, test = learned
    predicted, target = trained.test.mean(0), test.target.mean(0)
    assert not METHODS[name].calibrated
    assert np.abs(predicted - target).mean() < 0.25
    assert gene_pcc(predicted[:, None], target[:, None])[0] > 0.9


@every_method
def test_noise_predicts_nothing(name: str, make_task: Callable[..., Task]):
    task = make_task(epochs=2, signal=False)
    test = task.data.test
    assert abs(section_pcc(fit(name, task).test, test.target, test.section)) < 0.12
