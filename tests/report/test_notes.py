from dataclasses import replace
from pathlib import Path

from hage_transfer.compare.records import Record
from hage_transfer.compare.results import Results
from hage_transfer.report.notes import notes_of
from hage_transfer.report.runs import Run, Unfinished, read_run


def run_of(name: str, *, accuracy: float = 0.9, **meta: object) -> Run:
    records = [
        Record(task="mil", source="frozen", split="test", fold=fold, trial=None, metric="accuracy", value=accuracy)
        for fold in ("0", "1")
    ]
    return Run(Path(name), "mil", Results(records, meta), "", {})


def test_what_beats_hage_on_one_metric_is_one_line_best_first():
    beats = [
        f"{who} beats HAGE on pcc_all: {value} against 0.2000 (averaged trials)"
        for who, value in (("knn", 0.21), ("ridge", 0.25), ("bleep", 0.24), ("spot_depth", 0.22))
    ]
    (note,) = notes_of([run_of("st", warnings=beats)])
    assert note == (
        "st: HAGE (0.200, averaged trials) is beaten on PCC over all genes by ridge 0.250, bleep 0.240, "
        "spot_depth 0.220 and 1 more"
    )


def test_numbers_that_are_compared_are_told_apart_as_they_are_shown():
    beats = [f"{who} beats HAGE on pcc_all: {v} against 0.2351 (one)" for who, v in (("a", 0.2353), ("b", 0.2351))]
    (note,) = notes_of([run_of("st", warnings=beats)])
    assert note == "st: HAGE (0.2351, one) is beaten on PCC over all genes by a 0.2353"


def test_an_error_that_is_lower_comes_first():
    beats = [f"{who} beats HAGE on mse: {v} against 0.3 (calibrated)" for who, v in (("a", 0.2), ("b", 0.1))]
    assert "by b 0.100, a 0.200" in notes_of([run_of("st", warnings=beats)])[0]


def test_notes_alike_but_for_their_numbers_are_one_line():
    text = "clip_local ended within 5% of its value at chance in {} of {} trials"
    notes = notes_of([run_of("a", warnings=[text.format(5, 5)]), run_of("b", warnings=[text.format(1, 2)])])
    assert notes == [f"a: {text.format(5, 5)}; likewise b"]


def test_a_constant_that_is_as_good_is_named():
    (note,) = notes_of([run_of("m", accuracy=0.6, class_counts={"benign": 60, "malignant": 40})])
    assert "commonest class is right in 0.600; frozen is no better (equal)" in note
    assert notes_of([run_of("m", accuracy=0.61, class_counts={"benign": 60, "malignant": 40})]) == []


def test_a_constant_is_measured_on_the_rows_that_were_tested():
    counts = {"benign": 90, "malignant": 10}
    run = run_of("m", accuracy=0.7, class_counts=counts, test_class_counts={"benign": 6, "malignant": 4})
    assert notes_of([run]) == []
    assert "is right in 0.900" in notes_of([run_of("m", accuracy=0.7, class_counts=counts)])[0]


def test_an_auc_that_is_not_defined_on_validation_rows_alone_is_no_matter():
    run = run_of("m")
    records = [
        *run.results.records,
        Record(
            task="probe", source="frozen", split="validation", fold="official", trial=None, metric="auc", value=None
        ),
    ]
    assert notes_of([replace(run, results=Results(records))]) == []


def test_folds_that_split_groups_are_doubted():
    (note,) = notes_of([run_of("m", folds_by="row", groups=10, rows=58)])
    assert "folds split its 10 groups" in note
    assert notes_of([run_of("m", folds_by="group", groups=10, rows=58)]) == []
    assert notes_of([run_of("m", folds_by="row", groups=58, rows=58)]) == []


def test_sources_on_other_frozen_encoders_are_doubted():
    features = {"frozen": [{"encoder": "uni"}], "hage": [{"encoder": "hage:x", "frozen_encoder": "embedded"}]}
    (note,) = notes_of([run_of("m", features=features)])
    assert "hage stands on embedded, the frozen source is uni" in note
    features["hage"][0]["frozen_encoder"] = "uni"
    assert notes_of([run_of("m", features=features)]) == []


def test_a_fold_without_auc_is_named():
    run = run_of("m")
    records = [
        *run.results.records,
        Record(task="mil", source="frozen", split="test", fold="3", trial=None, metric="auc", value=None),
    ]
    assert "AUC is not defined in fold 3" in notes_of([replace(run, results=Results(records))])[0]


def test_failed_items_are_counted_with_their_first_reason(runs: dict[str, Path]):
    (runs["mil"] / "failures.csv").write_text("item,reason\nslide 7,torn\nslide 8,torn\n", encoding="utf-8")
    assert any("2 items failed" in note and "slide 7 (torn)" in note for note in notes_of([read_run(runs["mil"])]))


def test_an_unfinished_run_says_why_it_ended():
    refused = Unfinished(Path("leaky"), "3 groups are in both train and test", {})
    notes = notes_of([run_of("m")], [refused, Unfinished(Path("later"), "", {})])
    assert notes[0].endswith("it ended with: 3 groups are in both train and test")
    assert "do what is left" in notes[1]


def test_runs_of_different_commits_are_said_so():
    one, two = (replace(run_of(name), environment={"commit": name}) for name in "ab")
    assert any("2 different commits" in note for note in notes_of([one, two]))
    assert notes_of([one, replace(two, environment={"commit": "a"})]) == []
