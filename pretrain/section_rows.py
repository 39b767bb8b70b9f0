"""Rows of results made section by section: each section's, the mean over a fold's sections, the mean over trials."""

import math
from collections.abc import Mapping, Sequence

from hage_transfer.compare.records import Record, finite, mean_of_defined

TASK = "pretrain"


def section_rows(
    by_section: Mapping[str, Mapping[str, float]], *, source: str, fold: str, trial: int | None
) -> list[Record]:
    """A row for each section and metric, and the fold's own: the mean of its sections' defined values.

    Args:
        by_section: metric and value (NaN where not defined) of each test section.
        source: method in the results.
        fold: the held-out unit.
        trial: None where there is one only.
    """
    records = [
        Record(
            task=TASK,
            source=source,
            split="test",
            fold=fold,
            trial=trial,
            metric=metric,
            value=finite(value),
            section=section,
        )
        for section, scores in by_section.items()
        for metric, value in scores.items()
    ]
    for metric in dict.fromkeys(metric for scores in by_section.values() for metric in scores):
        mean = mean_of_defined(finite(scores.get(metric, math.nan)) for scores in by_section.values())
        records.append(
            Record(task=TASK, source=source, split="test", fold=fold, trial=trial, metric=metric, value=mean)
        )
    return records


def over_trials(records: Sequence[Record]) -> list[Record]:
    """Rows with trial None: the mean of the single trials' scores."""
    groups: dict[tuple[str, str, str, str | None], list[float]] = {}
    for record in records:
        if record.trial is not None and record.value is not None:
            groups.setdefault((record.source, record.fold, record.metric, record.section), []).append(record.value)
    return [
        Record(
            task=TASK,
            source=source,
            split="test",
            fold=fold,
            trial=None,
            metric=metric,
            value=sum(values) / len(values),
            section=section,
        )
        for (source, fold, metric, section), values in groups.items()
    ]
