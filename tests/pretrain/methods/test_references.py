"""PCA + ridge and k-NN against scikit-learn, and how their settings are chosen."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.methods.base import Task
from hage_transfer.pretrain.methods.knn import fit_knn
from hage_transfer.pretrain.methods.pca_ridge import fit_pca_ridge
from hage_transfer.pretrain.methods.score import section_pcc
from hage_transfer.pretrain.methods.selection import choose, held_out_parts


def test_pca_ridge_equals_scikit_learn_at_its_choice(make_task: Callable[..., Task]):
    task = make_task()
    trained = fit_pca_ridge(task, n_components=(2, 4))
    train, chosen = task.data.train, trained.chosen
    model = make_pipeline(StandardScaler(), PCA(int(chosen["components"])), Ridge(chosen["alpha"]))
    expected = model.fit(train.features, train.target).predict(task.data.test.features)
    np.testing.assert_allclose(trained.test, expected, rtol=1e-4, atol=1e-5)


def test_knn_equals_scikit_learn_at_its_choice(make_task: Callable[..., Task]):
    task = make_task()
    trained = fit_knn(task)
    train, chosen = task.data.train, trained.chosen
    scaler = StandardScaler().fit(train.features)
    metric = "cosine" if chosen["cosine"] else "euclidean"
    model = KNeighborsRegressor(int(chosen["k"]), metric=metric).fit(scaler.transform(train.features), train.target)
    expected = model.predict(scaler.transform(task.data.test.features))
    np.testing.assert_allclose(trained.test, expected, rtol=1e-4)


def test_knn_does_not_let_a_training_spot_answer_itself(make_task: Callable[..., Task]):
    task = make_task()
    trained = fit_knn(task, ks=(1,))
    assert not (trained.train == task.data.train.target).all(axis=1).any()


def test_parts_are_whole_patients_where_patients_are_left_out(sections: Callable[..., Spots]):
    train = sections([10, 12, 9], seed=0, names=["A1", "A2", "B1"])
    held_out = {unit: [set(train.section[out]) for _, out in held_out_parts(train, unit=unit)] for unit in UNITS}
    assert sorted(map(sorted, held_out["patient"])) == [[0, 1], [2]]
    assert sorted(map(sorted, held_out["section"])) == [[0], [1], [2]]


UNITS = ("patient", "section")


def test_one_section_is_held_out_in_fifths(sections: Callable[..., Spots]):
    parts = held_out_parts(sections([20], seed=0, names=["A1"]), unit="patient")
    assert [len(out) for _, out in parts] == [4] * 5


def test_choose_takes_the_setting_of_best_held_out_pcc_and_needs_every_part(sections: Callable[..., Spots]):
    train = sections([20, 20], seed=0, names=["A1", "B1"])

    def predict(fitted, held_out):
        noise = np.random.default_rng(0).normal(size=(len(held_out), 20))
        yield (1.0,), noise
        yield (2.0,), train.target[held_out] + 0.1 * noise
        if 0 in held_out:
            yield (3.0,), train.target[held_out]  # perfect, but on one part alone

    setting, score = choose(train, predict, unit="section")
    assert setting == (2.0,)
    assert 0.5 < score < 1


def test_section_pcc_never_pools_sections():
    """Both sections are reversed inside, though the pooled correlation is strongly positive."""
    target = np.array([[1.0], [2.0], [11.0], [12.0]])
    predicted = np.array([[2.0], [1.0], [12.0], [11.0]])
    assert section_pcc(predicted, target, np.array([0, 0, 1, 1])) == pytest.approx(-1)


def test_section_pcc_leaves_out_what_has_no_pcc_and_refuses_what_is_not_finite():
    target = np.array([[1.0], [2.0], [5.0]])
    assert section_pcc(target, target, np.array([0, 0, 1])) == pytest.approx(1)
    assert section_pcc(target[:1], target[:1], np.array([0])) == 0
    assert section_pcc(np.full_like(target, np.nan), target, np.array([0, 0, 1])) == -np.inf


def test_a_constant_section_does_not_decide_the_choice(make_task: Callable[..., Task]):
    task = make_task()
    target = task.data.train.target.copy()
    target[task.data.train.section == 2] = 1.0
    constant = replace(task, data=replace(task.data, train=replace(task.data.train, target=target)))
    assert np.isfinite(fit_knn(constant).validation_pcc)
