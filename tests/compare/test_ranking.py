"""Places by the mean, ties with the leader by the paired test."""

import pytest

from hage_transfer.compare.ranking import ranking, sentence
from hage_transfer.compare.records import Record
from hage_transfer.compare.results import Results

AUC = {
    "frozen": (0.80, 0.82, 0.84, 0.86, 0.88),
    "best": (0.91, 0.92, 0.95, 0.96, 0.98),
    "near": (0.92, 0.90, 0.94, 0.97, 0.96),
    "poor": (0.50, 0.52, 0.54, 0.55, 0.58),
}


def results(**values: tuple[float, ...]) -> Results:
    rows = [
        Record(task="probe", source=source, split="test", fold=str(fold), trial=None, metric="auc", value=value)
        for source, folds in values.items()
        for fold, value in enumerate(folds)
    ]
    return Results(rows, {}, "ucsb")


def test_the_leader_is_the_highest_mean_and_ties_are_by_the_paired_test():
    found = results(**AUC)
    ranked = ranking(found)
    assert [(one.source, one.tied) for one in ranked] == [
        ("best", True),
        ("near", True),
        ("frozen", False),
        ("poor", False),
    ]
    for one in ranked[1:]:
        difference = found.compare(one.source, "best")
        assert (one.from_leader, one.from_leader_interval) == (difference.mean, difference.interval)
    assert (ranked[0].from_leader, ranked[0].verdict, ranked[2].verdict, ranked[3].verdict) == (
        None,
        "gain",
        "",
        "loss",
    )
    assert sentence(ranked, found) == (
        "On patches (ucsb), best has the highest AUC (0.944); these folds cannot tell it from 1 of the 3 others: near. "
        "The leader was picked on these very folds, which flatters it."
    )


def test_a_leader_alone_is_said():
    found = results(frozen=AUC["frozen"], best=AUC["best"])
    assert "each of the 1 others is lower" in sentence(ranking(found), found)


def test_one_fold_tells_nothing_apart():
    found = results(frozen=(0.5,), best=(0.9,))
    ranked = ranking(found)
    assert [(one.tied, one.std, one.from_leader_interval) for one in ranked] == [(True, None, None)] * 2


@pytest.mark.parametrize("metric", ["auc"])
def test_sources_without_the_metric_have_no_place(metric: str):
    rows = [
        *results(**AUC).records,
        Record(task="probe", source="none", split="test", fold="0", trial=None, metric=metric, value=None),
    ]
    assert "none" not in {one.source for one in ranking(Results(rows), metric)}
