"""What a study can show: through the run's own test, before and after there are features."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from hage_transfer.compare.differences import paired_difference
from hage_transfer.compare.null import null_of
from hage_transfer.compare.power import power
from hage_transfer.compare.split_sizes import SplitSizes
from hage_transfer.compare.splits import repeated_folds
from hage_transfer.errors import ConfigError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def calibration(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield runpy.run_path(str(BENCHMARKS / "calibration.py"))
    sys.modules.pop("simulated_sets", None)


def test_more_patients_and_repeats_show_smaller_gains():
    few, many = (power(slides=n, auc=0.8, simulations=40) for n in (100, 400))
    again = power(slides=400, auc=0.8, repeats=4, simulations=40)
    assert few.detectable is None or few.detectable > many.detectable
    assert again.detectable < many.detectable
    assert many.false_alarms <= 0.12


@pytest.mark.slow
def test_slides_of_few_patients_show_less():
    alone = power(slides=300, auc=0.8, repeats=3, simulations=40)
    together = power(slides=300, patients=75, auc=0.8, repeats=3, simulations=40)
    assert together.detectable is None or together.detectable > 1.2 * alone.detectable


def test_a_study_that_shows_nothing_says_so():
    assert "no gain is shown" in power(slides=20, auc=0.9, folds=2, simulations=20).sentence()


@pytest.mark.parametrize("wrong", [{"auc": 1.2}, {"patients": 300}, {"folds": 1}, {"slides": 2}])
def test_numbers_out_of_range_are_refused_with_their_range(wrong):
    with pytest.raises(ConfigError, match="wanted"):
        power(**{"slides": 100, **wrong})


def test_the_smallest_difference_of_null_copies_is_shown_with_its_power():
    """Copies differ by noise alone, so another set's copies, one of them shifted by it, must show it in 4 of 5."""
    rng = np.random.default_rng(0)
    splits = repeated_folds(np.array(["x", "y"] * 50), None, n_folds=5, seed=0, repeats=1)
    sizes = SplitSizes.of(splits)

    def values(shift=0.0):
        return {fold.name: shift + v for fold, v in zip(splits, rng.normal(0.8, 0.03, 5), strict=True)}

    said = null_of([values() for _ in range(40)], sizes, metric="auc", rows=100)
    assert said.false_alarms < 0.05
    shown = {}
    for factor in (0.8, 1.0, 1.2):
        found = [
            paired_difference(
                values(factor * said.detectable), values(), metric="auc", source="a", baseline="b", sizes=sizes
            ).verdict
            for _ in range(400)
        ]
        shown[factor] = found.count("gain") / len(found)
    assert shown[0.8] < 0.8 < shown[1.2]  # right within 20%


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["5 folds", "5 folds, 10 repeats", "20 draws of 0.2"])
def test_false_verdicts_are_rare_on_simulated_sets(calibration, scheme):
    simulated = calibration["SETS"]["60 rows, 20 features, AUC 0.85"]
    rate = calibration["false_verdicts"](scheme, simulated, replicates=100, seed=3)
    assert rate <= 0.1


@pytest.mark.parametrize("patient_sd", [0.0, 1.0, 2.0])
def test_false_gene_verdicts_are_rare_whatever_patients_share(calibration, patient_sd):
    assert calibration["false_gene_verdicts"](patient_sd, replicates=150, seed=3) <= 0.07
