from pathlib import Path

import numpy as np
import pytest

from hage_transfer.compare.records import Record
from hage_transfer.compare.results import Results
from hage_transfer.report.runs import Run


def run_of(frozen: list[float], hage: list[float]) -> Run:
    records = [
        Record(task="probe", source=source, split="test", fold=str(fold), trial=None, metric="auc", value=value)
        for source, values in (("frozen", frozen), ("hage", hage))
        for fold, value in enumerate(values)
    ]
    return Run(Path("probe"), "probe", Results(records), "", {})


def test_difference_is_paired_by_fold() -> None:
    found = run_of([0.5, 0.7, 0.9], [0.6, 0.8, 1.0]).named.difference("hage", "frozen", "auc")
    assert found is not None
    assert found.mean == pytest.approx(0.1)
    assert found.std == pytest.approx(0.0, abs=1e-12)
    assert found.wins == 3


@pytest.mark.parametrize(
    ("hage", "verdict"),
    [
        ([0.61, 0.72, 0.79, 0.70, 0.62], "gain"),
        ([0.41, 0.52, 0.59, 0.50, 0.42], "loss"),
        ([0.60, 0.52, 0.75, 0.55, 0.52], "within noise"),
    ],
)
def test_difference_verdict_weighs_the_mean_against_the_spread(hage: list[float], verdict: str) -> None:
    found = run_of([0.5, 0.6, 0.7, 0.6, 0.5], hage).named.difference("hage", "frozen", "auc")
    assert found is not None
    assert found.verdict == verdict
    assert ("within noise" in found.sentence()) == (verdict == "within noise")


def test_difference_of_one_fold_is_not_judged() -> None:
    found = run_of([0.5], [0.9]).named.difference("hage", "frozen", "auc")
    assert found is not None
    assert found.verdict == "not judged"
    assert "one fold" in found.sentence()


def test_difference_leaves_out_folds_where_one_is_undefined() -> None:
    run = run_of([0.5, 0.6], [0.7, 0.8])
    records = [
        *run.results.records,
        Record(task="probe", source="frozen", split="test", fold="2", trial=None, metric="auc", value=None),
    ]
    found = Results(records).difference("hage", "frozen", "auc")
    assert found is not None
    assert found.folds == 2


def test_differences_without_frozen_take_the_first_source_as_baseline() -> None:
    records = [
        Record(
            task="mil",
            source=source,
            split="test",
            fold=str(fold),
            trial=None,
            metric="auc",
            value=0.5 + fold / 10 + bonus,
        )
        for source, bonus in (("uni", 0.0), ("virchow", 0.1))
        for fold in range(3)
    ]
    found = Results(records).differences("auc")
    assert [(one.source, one.baseline) for one in found] == [("virchow", "uni")]


def test_the_interval_is_wider_than_that_of_independent_folds() -> None:
    found = run_of([0.5] * 5, [0.4, 0.5, 0.6, 0.45, 0.55]).named.difference("hage", "frozen", "auc")
    assert found is not None
    assert found.margin == pytest.approx(2.7764 * found.std * np.sqrt(1 / 5 + 1 / 4), rel=1e-4)


def gene_run(meta: dict[str, object], n_patients: int = 3) -> Run:
    """Three sections of each patient, whose differences are the patient's and hardly the section's."""
    records = [
        Record(
            task="pretrain",
            source=source,
            split="test",
            fold=f"{patient}{n}",
            trial=None,
            metric="pcc_all",
            value=gain * (0.1 * patient + 0.01 * n),
            section=section,
        )
        for patient in range(n_patients)
        for n in range(3)
        for source, gain in (("hage", 2.0), ("ridge", 1.0))
        for section in (f"{patient}{n}", None)
    ]
    return Run(Path("st"), "pretrain", Results(records, meta), "", {})


def test_patients_are_the_units_of_a_gene_verdict_whatever_is_left_out() -> None:
    patients = {f"{patient}{n}": f"P{patient}" for patient in range(3) for n in range(3)}
    found = gene_run({"split_unit": "section", "patients": patients}).named.difference("hage", "ridge", "pcc_all")
    assert found is not None
    assert found.by_fold == pytest.approx([0.01, 0.11, 0.21])
    assert found.freedom == 2
    assert (found.folds, found.unit) == (3, "patient")
    sections = gene_run({"split_unit": "patient"}).named.difference("hage", "ridge", "pcc_all")
    assert sections is not None
    assert sections.margin < found.margin


def test_one_patient_is_not_judged_however_many_sections() -> None:
    patients = {f"0{n}": "P0" for n in range(3)}
    found = gene_run({"patients": patients}, n_patients=1).named.difference("hage", "ridge", "pcc_all")
    assert found is not None
    assert (found.verdict, found.no_spread) == ("not judged", "one patient")


def test_sections_left_out_of_results_that_name_no_patients_are_not_judged() -> None:
    found = gene_run({"split_unit": "section"}).named.difference("hage", "ridge", "pcc_all")
    assert found is not None
    assert found.verdict == "not judged"
    assert "not recorded" in found.sentence()
