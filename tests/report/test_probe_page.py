"""What the report shows of a probe beside its main table."""

import csv
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hage_transfer.compare.cross_validation import compared
from hage_transfer.compare.out_of_fold import OutOfFold
from hage_transfer.compare.results import Results
from hage_transfer.compare.tested_rows import TestedRows
from hage_transfer.data.labels import LabelTable
from hage_transfer.report.page import make_page
from hage_transfer.report.probe_tables import curve_table, paired_table
from hage_transfer.report.runs import read_run


def finished_run(folder, n_classes):
    rng = np.random.default_rng(0)
    n = 60 * n_classes
    table = LabelTable(
        keys=np.arange(n).astype(str),
        labels=np.array([f"c{k}" for k in np.arange(n) % n_classes]),
        groups=np.arange(n) // 10,
    )
    folds = {str(k): np.flatnonzero(table.groups % 3 == k) for k in range(3)}
    predictions = []
    for source, trial, signal in (("frozen", None, 1.0), ("hage", 0, 1.5), ("hage", 1, 1.6)):
        scores = rng.normal(size=(n, n_classes)) + signal * np.eye(n_classes)[table.class_indices]
        shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        predictions.append(OutOfFold(source, trial, shares))
    positive = 1 if n_classes == 2 else None
    folder.mkdir()
    curve = [
        {"source": s, "amount": "all" if share == 1 else "10%", "draw": d, "fold": "0",
         "labels": int(100 * share), "groups": 3, "metric": "auc", "value": 0.6 + 0.2 * share + 0.01 * d}
        for s in ("frozen", "hage") for share in (0.1, 1.0) for d in range(2)
    ]  # fmt: skip
    checks = [
        {"classifier": c, "source": s, "metric": m, "mean": 0.7, "std": None}
        for c in ("linear", "knn") for s in ("frozen", "hage") for m in ("accuracy", "auc")
    ]  # fmt: skip
    meta = {"learning_curve": curve, "curve_unit": "group", "cross_checks": checks}
    splits = [
        SimpleNamespace(name=name, train=np.setdiff1d(np.arange(n), rows), test=rows) for name, rows in folds.items()
    ]
    scored = TestedRows.of(table, splits)
    results = compared(predictions, scored, task="probe", positive=positive, by_group=True, folder=folder, meta=meta)
    Results(results.records, results.meta).save(folder / "results.json")
    return read_run(folder), predictions, table


@pytest.mark.parametrize("n_classes", [2, 4])
def test_page_shows_every_table_and_plot_of_a_probe(tmp_path, n_classes):
    run, _, _ = finished_run(tmp_path / "run", n_classes)
    detail = make_page([run]).sections[1]
    assert detail.title == "run: in detail"
    headers = [table.header[0] for table in detail.tables]
    assert headers == ["Features", "Features (trials)", "Features", "Difference", "Classifier", "Features", "Class"]
    titles = [plot.title for plot in detail.plots if "positive class" not in plot.title]
    assert len(detail.plots) - len(titles) == (n_classes == 2)
    wanted = ["Few labels", *(["ROC, mean of the classes"] if n_classes > 2 else []), "Reliability"]
    assert titles == [*wanted, "Confusion, frozen", "Confusion, hage"]
    assert all(re.search(r"\d", plot.alt) and plot.svg.startswith("<svg") for plot in detail.plots)


@pytest.mark.usefixtures("sketched")
def test_confusion_shares_are_those_of_the_predictions(tmp_path):
    run, predictions, table = finished_run(tmp_path / "run", 4)
    (plot,) = [one for one in make_page([run]).sections[1].plots if one.title == "Confusion, frozen"]
    right = [(predictions[0].probabilities[table.class_indices == k].argmax(axis=1) == k).mean() for k in range(4)]
    assert [float(value) for value in re.findall(r"c\d (\d\.\d+)", plot.alt)] == pytest.approx(right, abs=0.006)


def test_confusion_csv_counts_every_row_once(tmp_path):
    _, _, table = finished_run(tmp_path / "run", 4)
    with (tmp_path / "run" / "confusion.csv").open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if (row["source"], row["trial"]) == ("frozen", "")]
    counts = [sum(int(row[f"predicted_c{k}"]) for k in range(4)) for row in rows]
    assert counts == [int((table.labels == f"c{k}").sum()) for k in range(4)]


@pytest.mark.usefixtures("sketched")
def test_page_of_a_run_without_tests_has_no_tables_in_detail(runs):
    page = make_page([read_run(runs["mil"])])
    assert [section.anchor for section in page.sections] == ["comparison", "detail-mil"]
    assert not page.sections[1].tables


@pytest.mark.usefixtures("sketched")
def test_page_of_many_classes_draws_every_class_once(tmp_path):
    run, _, _ = finished_run(tmp_path / "run", 10)
    detail = make_page([run]).sections[1]
    assert [row[0] for row in detail.tables[-1].rows] == [f"c{k}" for k in range(10)]
    assert detail.tables[-1].header == ("Class", "F1, frozen", "F1, hage", "AUC, frozen", "AUC, hage", "Rows")
    assert sum(plot.title.startswith("Confusion") for plot in detail.plots) == 2


@pytest.mark.usefixtures("sketched")
def test_trials_as_one_are_scored_by_their_mean_probability(tmp_path):
    run, predictions, table = finished_run(tmp_path / "run", 2)
    shares = (predictions[1].probabilities + predictions[2].probabilities) / 2
    as_one = run.results.trials_as_one
    for fold, value in as_one.fold_values("hage", "auc").items():
        rows = np.flatnonzero(table.groups % 3 == int(fold))
        assert value == pytest.approx(roc_auc_score(table.class_indices[rows], shares[rows, 1]))
    assert as_one.fold_values("frozen", "auc") == run.fold_values("frozen", "auc")
    assert {(row["source"], row["baseline"]) for row in as_one.meta["paired_tests"]} == {("hage", "frozen")}
    (shown,) = [one for one in make_page([run]).sections[1].tables if one.title == "Trials as one classifier"]
    assert [row[0] for row in shown.rows] == ["frozen (1)", "hage (2)"]


def test_shares_of_the_labels_are_named_as_they_were_asked_for(tmp_path):
    run, _, _ = finished_run(tmp_path / "run", 2)
    amounts = ("all", "12.5%", "5 a class", "1.2%", "0.1%")
    first = run.meta["learning_curve"][0]
    curve = [first | {"amount": one, "labels": 5 - number} for number, one in enumerate(amounts)]
    table = curve_table(replace(run, results=Results(run.results.records, run.meta | {"learning_curve": curve})))
    assert table is not None
    shares = [f"{share}% of the labels" for share in ("0.1", "1.2", "12.5")]
    assert list(table.header[1:]) == [*shares[:2], "5 a class", shares[2], "all labels"]


def test_the_least_p_value_by_ranks_of_five_folds_is_shown_as_the_caption_says_it(tmp_path):
    run, _, _ = finished_run(tmp_path / "run", 2)
    row = run.meta["paired_tests"][0] | {"wilcoxon_p_value": 0.0625, "t_p_value": 0.0004}
    table = paired_table(replace(run, results=Results(run.results.records, run.meta | {"paired_tests": [row]})))
    assert table is not None
    assert table.rows[0][5:7] == ("< 0.001", "0.0625")
    verdict = run.named.difference(row["source"], row["baseline"], row["metric"])
    assert table.rows[0][4] == f"{verdict.interval[0]:+.3f} to {verdict.interval[1]:+.3f}"  # one on the whole page
    assert "never falls below 0.0625" in table.caption
