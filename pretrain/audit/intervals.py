"""Bootstrap intervals by patient for a gene table: every method's scores, and HAGE's differences from the others."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hage_transfer.compare.bootstrap import Interval, cluster_bootstrap, paired_bootstrap
from hage_transfer.compare.records import Record

METRICS = ("pcc_all", "pcc_heg50", "mse", "mae", "mse_calibrated", "mae_calibrated", "pcc_unseen")


def intervals_meta(records: Sequence[Record], patients: Mapping[str, str], *, seed: int) -> list[dict[str, Any]]:
    """95% interval of the mean over test sections of each method and metric, patients drawn with replacement.

    Args:
        records: of a run; the rows of single sections, over trials, are used.
        patients: each section's patient.
        seed: of the draws.
    """
    found = []
    for (source, metric), values in _by_section(records).items():
        interval = cluster_bootstrap(list(values.values()), [patients[section] for section in values], seed=seed)
        found.append({"source": source, "metric": metric, **_as_dict(interval)})
    return found


def against_meta(
    records: Sequence[Record], patients: Mapping[str, str], *, source: str, seed: int
) -> list[dict[str, Any]]:
    """95% interval of ``source`` less every other method in PCC over all genes, section by section, by patient."""
    by_section = _by_section(records)
    own = by_section.get((source, "pcc_all"), {})
    found = []
    for (other, metric), values in by_section.items():
        shared = [section for section in own if section in values]
        if other == source or metric != "pcc_all" or not shared:
            continue
        left, right = [own[name] for name in shared], [values[name] for name in shared]
        interval = paired_bootstrap(left, right, [patients[name] for name in shared], seed=seed)
        found.append({"source": source, "baseline": other, "metric": metric, **_as_dict(interval)})
    return found


def _by_section(records: Sequence[Record]) -> dict[tuple[str, str], dict[str, float]]:
    found: dict[tuple[str, str], dict[str, float]] = {}
    for record in records:
        if (
            record.section is not None
            and record.trial is None
            and record.metric in METRICS
            and record.value is not None
        ):
            found.setdefault((record.source, record.metric), {})[record.section] = record.value
    return found


def _as_dict(interval: Interval) -> dict[str, Any]:
    """With None where the mean is not defined, since JSON has no NaN."""
    return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in asdict(interval).items()}
