"""The page of runs whose target is no class: its sentence, tables and curves."""

import numpy as np
import pytest

from hage_transfer.compare.out_of_fold import OutOfFold
from hage_transfer.compare.splits import Fold
from hage_transfer.compare.tested_rows import TestedRows
from hage_transfer.compare.value_scoring import ValueScoring
from hage_transfer.data.labels import LabelTable
from hage_transfer.report.page import make_page, read_run, with_labels
from hage_transfer.targets.multilabel import MultiLabel
from hage_transfer.targets.ordinal import Ordinal
from hage_transfer.targets.regression import Regression
from hage_transfer.targets.survival import Cox

N = 80


def values_of(target, truth, rng):
    if target.kind == "survival":
        time, end = rng.exponential(np.exp(-truth)), rng.exponential(3, size=N)
        return np.column_stack([np.minimum(time, end), time <= end])
    if target.kind == "regression":
        return truth[:, None]
    cut = np.digitize(truth, [0.0]).astype(float)
    return np.column_stack([cut] * (2 if target.kind == "multilabel" else 1))


@pytest.mark.parametrize(
    ("target", "metric", "title", "says"),
    [
        (Cox((0.3, 0.8)), "C-index", "Survival by risk, hage", "log-rank p"),
        (Regression(), "Pearson correlation", "Predicted and true, hage", "Predicted against true"),
        (Ordinal(("low", "high")), "quadratic-weighted kappa", "Confusion, hage", "Confusion of hage"),
        (MultiLabel(("er", "pr")), "AUC", "Gain in AUC", "Gain in AUC"),
    ],
)
def test_the_page_names_the_targets_metric_and_draws_it(tmp_path, target, metric, title, says):
    rng = np.random.default_rng(0)
    truth = rng.normal(size=N)
    values = values_of(target, truth, rng)
    keys, kinds = np.array([f"s{k}" for k in range(N)]), np.array(["a", "b"])[np.arange(N) % 2]
    labels = LabelTable(keys=keys, labels=kinds, groups=keys, key_column="slide", values=values, needed=())
    parts = np.array_split(np.arange(N), 4)
    folds = [Fold(str(k), np.setdiff1d(np.arange(N), part), part) for k, part in enumerate(parts)]
    scoring = ValueScoring(target, TestedRows.of(labels, folds), {fold.name: fold.train for fold in folds})
    fitted = target.refit(target.fit(values), values, np.zeros((N, 1))) if target.looks_around else target.fit(values)
    scores = {
        name: target.scores(np.column_stack([signal] * len(target.outputs)), fitted)
        for name, signal in (("frozen", rng.normal(size=N)), ("hage", 2 * truth))
    }
    found = scoring.compared([OutOfFold(name, None, one) for name, one in scores.items()], task="mil", folder=tmp_path)
    type(found)(found.records, {**found.meta, "folds_by": "group", "rows": N, "groups": N}).save(
        tmp_path / "results.json"
    )
    page = make_page(with_labels([read_run(tmp_path)]))
    assert f"in {metric} (95% interval" in page.answer.sentence and page.answer.verdict == "gain"
    (section,) = page.sections
    assert section.tables[0].header[1] == metric
    (plot,) = [one for one in section.plots if one.title == title]
    assert says in plot.alt and "<svg" in plot.svg
    if target.kind == "survival":
        assert "at risk at times" in plot.alt and [table.title for table in section.tables][-1] == "By time"
