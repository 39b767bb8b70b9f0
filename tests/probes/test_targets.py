"""Linear probes of targets beyond classes: what they find, keep, resume to and refuse, by the one code of targets."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from feature_meta import feature_meta
from sklearn.metrics import mean_absolute_error, r2_score
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.metrics import concordance_index_censored
from sksurv.util import Surv
from target_kinds import KINDS

import hage_transfer as ht
from hage_transfer.data.feature_file import write_features
from hage_transfer.probes.checkpoint import read_probes
from hage_transfer.probes.jobs import probes_path
from hage_transfer.probes.linear import train_probes
from hage_transfer.targets.fitting import FoldTargets
from hage_transfer.targets.make import target_of
from hage_transfer.targets.regression import Regression
from hage_transfer.targets.survival import Cox

N = 120
LEAST = {"cox": 0.7, "hazards": 0.7, "regression": 0.9, "ordinal": 0.7, "multilabel": 0.9}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """60 patients of two patches each; one direction of their features is what all else follows from."""
    root, rng = tmp_path_factory.mktemp("patches"), np.random.default_rng(0)
    truth = np.repeat(rng.normal(size=N // 2), 2)
    time, end = np.repeat(rng.exponential(10 * np.exp(-1.5 * truth[::2])), 2), np.repeat(rng.exponential(60, N // 2), 2)
    table = pd.DataFrame({"key": [f"k{k}" for k in range(N)], "group": [f"p{k // 2}" for k in range(N)]})
    table["time"], table["event"] = np.minimum(time, end), time <= end
    table["amount"] = 100 + 20 * truth
    table["grade"] = np.array(["low", "middle", "high"])[np.digitize(truth, [-0.5, 0.5])]
    table["er"], table["pr"] = (truth > 0).astype(float), (truth < 0.3).astype(float)
    table.loc[:3, "pr"] = np.nan
    table.to_csv(root / "labels.csv", index=False)
    for name, noise in (("signal", 0.1), ("noise", 10.0)):
        rows = (noise * rng.normal(size=(N, 3)) + truth[:, None] * [1, 0, 0]).astype(np.float32)
        write_features(root / f"{name}.h5", rows, feature_meta("set", mpp_um_per_px=None), keys=table.key.tolist())
    return root, table, truth


def run(root, target, out, *, sources=("signal",), **changes):
    config = {
        "features": root,
        "target": target,
        "split": {"folds": 3},
        "train": {"min_steps": 200, "learning_rate": 0.02, "weight_decay": 0},
        "sources": {name: {"features": root / f"{name}.h5"} for name in sources},
    }
    return ht.probe(config, out=out, changes=changes)


@pytest.mark.parametrize("kind", list(KINDS))
def test_targets_are_found_judged_and_kept_with_their_probes(tmp_path, cohort, kind):
    root, table, _ = cohort
    found = run(root, KINDS[kind], tmp_path / "run", sources=("noise", "signal"), **{"train.final": True})
    target = target_of(found.meta["target"])
    assert found.value(source="signal", fold="mean", metric=found.main_metric) > LEAST[kind]
    tested = {row["source"]: row for row in found.meta["paired_tests"] if row["metric"] == target.metrics[0]}
    assert tested["signal"]["mean"] > 0.2 and found.meta["metric_unit"] == "group"
    assert [row["n_units"] for row in found.meta["intervals"]] == [N // 2, N // 2]
    rows = pd.read_csv(tmp_path / "run" / "predictions.csv", dtype={"fold": str}).query("source == 'signal'")
    assert rows.key.tolist() == table.key.tolist()
    saved = read_probes(probes_path(tmp_path / "run", source="signal", trial=0))
    assert saved.heads[-1] == "final"
    features = ht.read_features(root / "signal.h5").features
    of_folds = saved.only(final=False)
    scores = of_folds.scores(features)
    for head, fold in enumerate(of_folds.heads):
        own = (rows["fold"] == fold).to_numpy()
        written = rows.loc[own, list(target.score_names)].to_numpy()
        np.testing.assert_allclose(scores[head, own], written, rtol=2e-3, atol=2e-5)


def test_cox_probes_find_the_hazard_as_scikit_survival_does_on_the_covariate_itself(tmp_path, cohort):
    root, table, truth = cohort
    found = run(root, KINDS["cox"], tmp_path / "run")
    rows, wanted = pd.read_csv(tmp_path / "run" / "predictions.csv"), []
    first = np.arange(N) % 2 == 0  # a row a patient
    for fold in rows.fold.unique():
        test, train = ((rows.fold == fold).to_numpy() & first, (rows.fold != fold).to_numpy() & first)
        outcome = Surv.from_arrays(table.event, table.time)
        risk = CoxPHSurvivalAnalysis().fit(truth[train, None], outcome[train]).predict(truth[test, None])
        wanted.append(concordance_index_censored(table.event[test], table.time[test], risk)[0])
    assert found.value(source="signal", fold="mean", metric="c_index") == pytest.approx(np.mean(wanted), abs=0.02)


def test_numbers_of_a_regression_are_scikit_learns(tmp_path, cohort):
    root, table, _ = cohort
    found = run(root, KINDS["regression"], tmp_path / "run")
    (job,) = (tmp_path / "run" / "jobs" / "signal").glob("*.npy")
    rows = pd.read_csv(tmp_path / "run" / "predictions.csv", dtype={"fold": str})
    rows = rows.assign(group=table.group, label=table.amount, predicted=np.load(job)[0, :, 0].astype(float))
    for fold, own in rows.groupby("fold"):
        mean = own.groupby("group")[["label", "predicted"]].mean()
        for metric, of_library in (("r2", r2_score), ("mae", mean_absolute_error)):
            wanted = of_library(mean.label, mean.predicted)
            assert found.value(source="signal", fold=fold, metric=metric) == pytest.approx(wanted, rel=1e-9)
    assert found.value(source="signal", fold="mean", metric="r2") > 0.9  # it has the number's scale


def test_squared_error_is_minimised_as_least_squares_do():
    rng = np.random.default_rng(0)
    rows, noise = rng.normal(size=(80, 3)).astype(np.float32), rng.normal(size=80)
    values = (rows @ [1.0, -2.0, 0.5] + 3 + 0.1 * noise)[:, None]
    training = np.ones((2, 80), dtype=bool)
    training[1, :30] = False
    targets = FoldTargets(Regression(), values, [np.flatnonzero(one) for one in training], device="cpu")
    options = {"n_classes": 1, "epochs": 400, "learning_rate": 0.05, "weight_decay": 0, "target": targets}
    found = train_probes(rows, np.zeros(80, dtype=np.int64), training, **options)
    outputs = found.outputs(rows, np.ones_like(training))
    for head, own in enumerate(training):
        wanted = np.linalg.lstsq(np.c_[rows, np.ones(80)][own], values[own], rcond=None)[0]
        np.testing.assert_allclose(targets.scores(head, outputs[head]), np.c_[rows, np.ones(80)] @ wanted, atol=2e-3)


def test_heads_of_cox_are_as_if_trained_alone_whatever_the_others_leave_out():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(60, 3)).astype(np.float32)
    time = rng.exponential(np.exp(-rows[:, 0]))
    values = np.column_stack([time, rng.random(60) < 0.7])
    training = np.ones((3, 60), dtype=bool)
    training[0, np.argsort(-time)[:20]] = False  # those who stay longest: nobody else is at risk then
    training[1, values[:, 1] > 0] = False
    training[1, np.flatnonzero(values[:, 1] > 0)[:2]] = True

    def weights(masks):
        targets = FoldTargets(Cox((1.0,)), values, [np.flatnonzero(one) for one in masks], device="cpu")
        return train_probes(
            rows, np.zeros(60, dtype=np.int64), masks, n_classes=1, batch_size=16, target=targets
        ).weights

    together = weights(training)
    assert torch.isfinite(together).all()
    for head in range(3):
        torch.testing.assert_close(together[[head]], weights(training[[head]]), atol=1e-6, rtol=1e-4)


def test_a_killed_run_goes_on_to_the_same_numbers_and_few_labels_are_judged_alike(tmp_path, cohort, monkeypatch):
    root, *_ = cohort
    options = {
        "sources": ("noise", "signal"),
        "learning_curve.shares": [0.5],
        "learning_curve.draws": 2,
        "train.min_steps": 20,
    }
    whole = run(root, KINDS["regression"], tmp_path / "whole", **options)
    from hage_transfer.probes import jobs

    save, calls = jobs._keep, []

    def killed(*given):
        calls.append(1)
        if len(calls) in (1, 3):
            raise KeyboardInterrupt
        save(*given)

    monkeypatch.setattr(jobs, "_keep", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(root, KINDS["regression"], tmp_path / "again", **options)
    again = run(root, KINDS["regression"], tmp_path / "again", **options)
    assert json.dumps([vars(r) for r in again.records]) == json.dumps([vars(r) for r in whole.records])
    curve = {(row["amount"], row["metric"]) for row in whole.meta["learning_curve"]}
    assert {("50%", "pearson"), ("all", "mae")} <= curve


def test_copies_of_a_run_say_what_equal_sources_do_in_bounded_metrics(tmp_path, cohort):
    root, *_ = cohort
    found = run(root, KINDS["regression"], tmp_path / "run", null=3, **{"train.min_steps": 50})
    assert set(found.meta["null"]) == {"pearson", "spearman"}  # R2 and MAE have no ends to reach
    assert 0 <= found.meta["null"]["pearson"]["false_alarms"] <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positive": "event"}, "positive = event: speaks of classes"),
        ({"label_map": {"a*": "b"}}, "label_map = .*: speaks of classes"),
        ({"cross_checks.classifiers": ["knn"]}, "cross_checks.classifiers = knn: speaks of classes"),
        ({"select_by": "f1"}, "select_by = f1: speaks of classes"),
        ({"target": {"kind": "regression", "column": "amount", "missing": "drop"}}, "target.missing = drop: of bags"),
        ({"target": {"kind": "regression", "column": "amuont"}}, r"no column amuont \(nearest: amount"),
        ({"target": {}}, "are 40 different numbers.*a number: `target.kind: regression`"),
    ],
)
def test_what_does_not_go_with_a_target_is_refused(tmp_path, cohort, changes, message):
    root, table, _ = cohort
    if changes.get("target") == {}:
        numbers = table.assign(label=(np.arange(N) % 40) / 7)
        (tmp_path / "numbers").mkdir()
        numbers.to_csv(tmp_path / "numbers" / "labels.csv", index=False)
        changes = {"features": tmp_path / "numbers"}
    target = changes.pop("target", {} if "features" in changes else KINDS["cox"])
    with pytest.raises(ht.InputError, match=message):
        run(root, target, tmp_path / "run", **changes)


def test_a_manifest_gives_the_values_of_its_patches_and_of_their_tiles(tmp_path):
    from PIL import Image

    rows = [{"path": f"a/{k}.png", "group": f"p{k // 2}", "amount": 3.5 * k} for k in range(12)]
    (tmp_path / "images" / "a").mkdir(parents=True)
    for k, row in enumerate(rows):
        Image.new("RGB", (64, 32), (20 * k, 90, 90)).save(tmp_path / "images" / row["path"])
    rows[0]["path"], rows[1]["path"] = "./a//0.png", (tmp_path / "images/a/1.png").absolute()
    found = ht.probe(
        {
            "data": {"layout": "manifest", "tile_px": 32},
            "features": tmp_path / "features",
            "encoder": {"name": "embedded"},
            "target": {"kind": "regression", "column": "amount"},
            "split": {"folds": 2},
            "train": {"min_steps": 10},
        },
        root=tmp_path / "images",
        manifest=pd.DataFrame(rows),
        out=tmp_path / "run",
    )
    written = pd.read_csv(tmp_path / "run" / "predictions.csv")
    assert found.meta["rows"] == len(written) == 24
    assert written.label.tolist() == [3.5 * (k // 2) for k in range(24)]
