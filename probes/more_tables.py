"""Tables beside the paper's probe: other classifiers on the same folds, and the linear probe on fewer labels."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hage_transfer.compare.out_of_fold import OutOfFold, classification_records
from hage_transfer.compare.records import MEAN, STD, mean_of_defined
from hage_transfer.compare.tested_rows import TestedRows
from hage_transfer.data.labels import LabelTable
from hage_transfer.probes.label_draws import LabelDraw
from hage_transfer.running.atomic import write_csv

Trial = tuple[str, int | None]


def cross_check_table(
    predictions: Mapping[str, Sequence[OutOfFold]],
    labels: LabelTable,
    *,
    test_rows: Mapping[str, Int[np.ndarray, " test"]],
    positive: int | None,
) -> list[dict[str, Any]]:
    """Mean and std over folds of every classifier, the linear probe first; trials are averaged in each fold.

    Empty where the linear probe is the only classifier.
    """
    if len(predictions) == 1:
        return []
    rows = []
    for classifier, found in predictions.items():
        records = classification_records(
            found, task="probe", labels=labels.class_indices, test_rows=test_rows, positive=positive
        )
        values = {(r.source, r.metric, r.fold): r.value for r in records if r.trial is None}
        rows += [
            {
                "classifier": classifier,
                "source": source,
                "metric": metric,
                "mean": values[source, metric, MEAN],
                "std": values.get((source, metric, STD)),
            }
            for source, metric, fold in values
            if fold == MEAN
        ]
    return rows


def curve_table(
    found: Mapping[Trial, Float[np.ndarray, "variant row class"]],
    variants: Sequence[tuple[str, int]],
    draws: Sequence[LabelDraw],
    tested: TestedRows,
    *,
    measure: Callable[[str, np.ndarray], Mapping[str, float | None]],
) -> list[dict[str, Any]]:
    """Metrics of every amount of labels: one row a source, amount, draw, fold and metric; trials are averaged.

    ``labels`` is how many rows trained and ``groups`` from how many groups. Empty where no amounts were asked for.
    ``measure`` makes metrics of a fold's name and a source's predictions of all rows.
    """
    if len(variants) == 1:
        return []
    names, whole = list(tested.folds), tested.whole
    drawn = {(draw.amount, draw.number, names[draw.fold]): draw.rows for draw in draws}
    rows = []
    for source in dict.fromkeys(name for name, _ in found):
        trials = [shares for (name, _), shares in found.items() if name == source]
        for variant, (amount, number) in enumerate(variants):
            for fold in names:
                scores = [measure(fold, shares[variant]) for shares in trials]
                trained = drawn[amount, number, fold]
                groups = None if whole.groups is None else len(np.unique(whole.groups[trained]))
                place = {"source": source, "amount": amount, "draw": number, "fold": fold}
                place |= {"labels": len(trained), "groups": groups}
                means = {metric: mean_of_defined(one[metric] for one in scores) for metric in scores[0]}
                rows += [{**place, "metric": metric, "value": mean} for metric, mean in means.items()]
    return rows


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes a table; removes what an earlier one left where there are no rows."""
    if rows:
        write_csv(path, list(rows[0]), rows)
    else:
        path.unlink(missing_ok=True)
