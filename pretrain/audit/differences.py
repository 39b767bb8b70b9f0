"""Paired differences between the rows of a gene table: same fold, same trial, same validation split and seed."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

from hage_transfer.compare.records import MEAN, STD, Record, spread

METRICS = ("pcc_all", "pcc_heg50", "mse", "mae", "mse_calibrated", "mae_calibrated")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How much a source scores above a baseline (PCC: higher is better; errors: lower).

    Attributes:
        source: what is compared.
        baseline: with what.
        metric: of which the difference is taken.
        mean: over pairs.
        std: over pairs (ddof = 1); None for a single pair.
        n_pairs: (fold, trial) that both have.
        n_above: pairs in which the source has the higher value.
    """

    source: str
    baseline: str
    metric: str
    mean: float
    std: float | None
    n_pairs: int
    n_above: int


def paired_differences(records: Sequence[Record], *, baseline: str) -> list[Difference]:
    """Every source with trials against ``baseline``, trial by trial of each fold.

    Trials of one number share validation split and seed (and, where the networks are the same, their initialisation),
    so that their difference is mostly what the setting makes. Pairs of one fold share their test spots: they are no
    independent sample, and no test is made of them.
    """
    values = {
        (r.source, r.metric, r.fold, r.trial): r.value
        for r in records
        if r.section is None and r.trial is not None and r.value is not None and r.fold not in (MEAN, STD)
    }
    sources = dict.fromkeys(source for source, *_ in values if source != baseline)
    found = []
    for source in sources:
        for metric in METRICS:
            pairs = [
                value - values[baseline, metric, fold, trial]
                for (one, measure, fold, trial), value in values.items()
                if one == source and measure == metric and (baseline, metric, fold, trial) in values
            ]
            if pairs:
                above = sum(pair > 0 for pair in pairs)
                found.append(
                    Difference(
                        source=source,
                        baseline=baseline,
                        metric=metric,
                        mean=mean(pairs),
                        std=spread(pairs),
                        n_pairs=len(pairs),
                        n_above=above,
                    )
                )
    return found


def differences_meta(records: Sequence[Record], *, baseline: str) -> list[dict[str, Any]]:
    """``paired_differences`` as it stands in the ``meta`` of a run's results."""
    return [asdict(one) for one in paired_differences(records, baseline=baseline)]
