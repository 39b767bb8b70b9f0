"""Metrics and losses of targets against scikit-survival, scikit-learn and scipy."""

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics as sk
from sksurv import metrics as sksurv
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv
from torch.nn import functional

from hage_transfer.targets.base import by_unit
from hage_transfer.targets.cox import cox_bag_loss, cox_loss
from hage_transfer.targets.make import target_of
from hage_transfer.targets.multilabel import MultiLabel
from hage_transfer.targets.ordinal import Ordinal
from hage_transfer.targets.regression import Regression
from hage_transfer.targets.survival import Cox, Hazards
from hage_transfer.targets.survival_metrics import horizon_rows

N = 150


def survival(seed=0, n=N, *, ties=True):
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    time, end = rng.exponential(np.exp(-risk)), rng.exponential(2, size=n)
    seen = np.minimum(time, end)
    return risk, np.column_stack([seen.round(1) + 0.1 if ties else seen, time <= end])


def surv(values):
    return Surv.from_arrays(values[:, 1] > 0, values[:, 0])


@pytest.mark.parametrize("seed", range(3))
def test_survival_metrics_are_scikit_survivals(seed):
    risk, values = survival(seed)
    train, test = values[:100], values[100:]
    cox = Cox((0.3, 0.6, 1.1))
    scores = cox.scores(risk[100:, None], cox.refit((), train, risk[:100, None]))
    found = cox.measure(test, scores, training=train)
    times, both = list(cox.horizons), (surv(train), surv(test))
    curve, auc = sksurv.cumulative_dynamic_auc(*both, risk[100:], times)
    wanted = {
        "c_index": sksurv.concordance_index_censored(test[:, 1] > 0, test[:, 0], risk[100:])[0],
        "c_index_ipcw": sksurv.concordance_index_ipcw(*both, risk[100:], tau=times[-1])[0],
        "time_auc": auc,
        "integrated_brier": sksurv.integrated_brier_score(*both, scores[:, 1:], times),
    }
    assert found == pytest.approx(wanted, abs=1e-9)
    rows = horizon_rows(test, scores, cox.horizons, training=train)
    assert [row["auc"] for row in rows] == pytest.approx(list(curve), abs=1e-9)
    assert [row["brier"] for row in rows] == pytest.approx(
        list(sksurv.brier_score(*both, scores[:, 1:], times)[1]), abs=1e-9
    )


def test_survival_past_the_training_follow_up_is_judged_before_its_end():
    risk, values = survival(ties=False)
    train, test = values[:100].copy(), values[100:].copy()
    train[:, 0], test[0] = np.minimum(train[:, 0], 1.0), (9.0, 1.0)  # nobody that trained was seen so long
    found = Cox((0.2, 0.4, 5.0)).measure(test, np.column_stack([risk[100:], *[np.full(50, 0.5)] * 3]), training=train)
    assert None not in found.values()


def test_cox_loss_and_baseline_are_scikit_survivals():
    risk, values = survival()
    fitted = CoxPHSurvivalAnalysis(ties="breslow").fit(risk[:, None], surv(values))
    slope = torch.tensor(fitted.coef_, requires_grad=True)
    time, event = torch.from_numpy(values).T
    cox_loss(torch.from_numpy(risk) * slope, time, event).backward()
    assert slope.grad.abs() < 1e-6  # the optimum is theirs
    cox = Cox((0.3, 0.6, 1.1))
    outputs = risk[:, None] * fitted.coef_
    curves = fitted.predict_survival_function(risk[:5, None])
    wanted = [[float(curve(time)) for time in cox.horizons] for curve in curves]
    np.testing.assert_allclose(cox.scores(outputs[:5], cox.refit((), values, outputs))[:, 1:], wanted, atol=1e-9)


def test_cox_bag_losses_have_together_the_gradient_of_the_whole():
    risk, values = survival(n=12)
    time, event = torch.from_numpy(values).T
    memory = torch.from_numpy(risk)[None]
    whole = torch.from_numpy(risk).requires_grad_()
    cox_loss(whole, time, event).backward()
    single = []
    for bag in range(12):
        own = memory[:, bag].clone().requires_grad_()
        cox_bag_loss(own, bag, memory, time, event).sum().backward()
        single.append(own.grad.item() / 12)
    np.testing.assert_allclose(single, whole.grad, atol=1e-12)


def test_hazards_loss_is_the_likelihood_of_the_interval():
    hazards = Hazards((1.0,), bins=3, censored_weight=0.5)
    outputs = torch.tensor([[0.3, -0.2, 1.0]])
    h = torch.sigmoid(outputs[0])
    seen = -torch.log((1 - h[0]) * h[1])
    censored = -0.5 * torch.log((1 - h[0]) * (1 - h[1]))
    assert hazards.loss(outputs, torch.tensor([[1.0, 1.0]])).item() == pytest.approx(seen.item(), rel=1e-5)
    assert hazards.loss(outputs, torch.tensor([[1.0, 0.0]])).item() == pytest.approx(censored.item(), rel=1e-5)
    fitted = hazards.fit(np.array([[1.0, 1], [2.0, 1], [3.0, 1], [9.0, 0]]))
    scores = hazards.scores(outputs.numpy(), fitted)
    assert -scores[0, 0] == pytest.approx(torch.cumprod(1 - h, 0).sum().item(), rel=1e-5)
    assert hazards.wanted(np.array([[0.5, 1], [2.9, 0]]), fitted)[:, 0].tolist() == [0, 2]


def test_regression_metrics_are_scipys_and_scikit_learns():
    rng = np.random.default_rng(0)
    true, said = rng.normal(size=N), rng.normal(size=N).round(1)
    found = Regression().measure(true[:, None], said[:, None], training=true[:, None])
    wanted = {
        "pearson": stats.pearsonr(true, said).statistic,
        "spearman": stats.spearmanr(true, said).statistic,
        "r2": sk.r2_score(true, said),
        "mae": sk.mean_absolute_error(true, said),
    }
    assert found == pytest.approx(wanted, abs=1e-9)
    assert Regression().measure(true[:, None], 0 * said[:, None], training=true)["pearson"] == 0


def test_ordinal_metrics_are_scikit_learns():
    rng = np.random.default_rng(0)
    grades = Ordinal(("0", "1", "2", "3"))
    true, scores = rng.integers(4, size=N), grades.scores(rng.normal(size=(N, 3)), ())
    np.testing.assert_allclose(scores.sum(axis=1), 1)
    said = grades.called(scores)
    found = grades.measure(true[:, None].astype(float), scores, training=true)
    wanted = {
        "kappa": sk.cohen_kappa_score(true, said, weights="quadratic"),
        "mae": sk.mean_absolute_error(true, said),
        "accuracy": sk.accuracy_score(true, said),
    }
    assert found == pytest.approx(wanted, abs=1e-9)


def test_ordinal_loss_asks_the_steps_that_are_reached():
    grades, outputs = Ordinal(("a", "b", "c")), torch.tensor([[0.4, -1.0]])
    first = functional.binary_cross_entropy_with_logits(outputs[0, 0], torch.tensor(0.0))
    assert grades.loss(outputs, torch.tensor([[0.0]])).item() == pytest.approx(first.item())
    wanted = functional.binary_cross_entropy_with_logits(outputs[0], torch.tensor([1.0, 0.0]), reduction="sum")
    assert grades.loss(outputs, torch.tensor([[1.0]])).item() == pytest.approx(wanted.item())


def test_multilabel_leaves_missing_labels_out():
    rng = np.random.default_rng(0)
    labels, target = rng.integers(2, size=(N, 2)).astype(float), MultiLabel(("er", "pr"))
    labels[:20, 1] = np.nan
    outputs = rng.normal(size=(N, 2))
    scores = target.scores(outputs, ())
    aucs = [sk.roc_auc_score(labels[:, 0], scores[:, 0]), sk.roc_auc_score(labels[20:, 1], scores[20:, 1])]
    found = target.measure(labels, scores, training=labels)
    assert found["auc"] == pytest.approx(np.mean(aucs), abs=1e-9)
    assert [row["known"] for row in target.by_label(labels, scores)] == [N, N - 20]
    loss = target.loss(torch.from_numpy(outputs), torch.from_numpy(labels))
    one = functional.binary_cross_entropy_with_logits(torch.tensor(outputs[0, 0]), torch.tensor(labels[0, 0]))
    assert loss[0].item() == pytest.approx(one.item()) and loss.isfinite().all()


TARGETS = [
    (Regression(), lambda rng: rng.normal(size=(N, 1))),
    (Cox((0.5,)), lambda rng: survival()[1]),
    (Hazards((0.5,)), lambda rng: survival()[1]),
    (Ordinal(("a", "b", "c")), lambda rng: rng.integers(3, size=(N, 1)).astype(float)),
    (MultiLabel(("a", "b")), lambda rng: rng.integers(2, size=(N, 2)).astype(float)),
]


@pytest.mark.parametrize(("target", "draw"), TARGETS, ids=lambda one: type(one).__name__)
def test_every_target_resamples_as_it_measures_and_comes_back_from_its_facts(target, draw):
    rng = np.random.default_rng(1)
    values, outputs = draw(rng), rng.normal(size=(N, len(target.outputs))).round(1)
    fitted = target.fit(values)
    fitted = target.refit(fitted, values, outputs) if target.looks_around else fitted
    scores = target.scores(outputs, fitted)
    assert scores.shape == (N, len(target.score_names))
    weights = np.vstack([np.ones((1, N), int), rng.multinomial(N, np.full(N, 1 / N), size=3)])
    found = target.resampled(values, scores, weights)
    for drawn, own in zip(weights, found, strict=True):
        rows = np.repeat(np.arange(N), drawn)
        assert own == pytest.approx(
            target.measure(values[rows], scores[rows], training=values)[target.metrics[0]], abs=1e-5
        )
    nothing = np.zeros((1, N), dtype=int)  # a fold of few units has none in some draws
    assert np.isnan(target.resampled(values, scores, nothing)).all()
    assert target_of(target.facts()) == target


def test_units_are_patients_with_the_mean_of_their_scores():
    values, scores = by_unit(np.array([[2.0], [2.0], [5.0]]), np.array([[1.0], [3.0], [4.0]]), np.array([7, 7, 9]))
    assert values.tolist() == [[2.0], [5.0]] and scores.tolist() == [[2.0], [4.0]]
