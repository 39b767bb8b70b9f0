import json

import pytest

from hage_transfer.errors import DataError
from hage_transfer.results import Record, Results, finite, summarise


def record(fold: str, value: float | None, **changes: object) -> Record:
    return Record(**{"task": "probe", "source": "frozen", "split": "test", "trial": None, "metric": "auc",
                     "fold": fold, "value": value, **changes})  # fmt: skip


def test_summary_is_mean_and_sample_std_over_folds():
    rows = summarise([record("0", 0.5), record("1", 0.7), record("2", 0.9)])
    assert [(row.fold, row.value) for row in rows] == [("mean", pytest.approx(0.7)), ("std", pytest.approx(0.2))]


def test_summary_leaves_out_undefined_values_and_sections():
    rows = summarise([record("0", 0.5), record("1", None), record("0", 0.9, section="A2")])
    assert [(row.fold, row.value) for row in rows] == [("mean", 0.5)]


def test_summary_keeps_trials_and_sources_apart():
    rows = summarise([record("0", 0.1, trial=0), record("0", 0.3, trial=1), record("0", 0.5, source="hage")])
    assert {(row.source, row.trial, row.value) for row in rows} == {
        ("frozen", 0, 0.1), ("frozen", 1, 0.3), ("hage", None, 0.5),
    }  # fmt: skip


def test_results_round_trip(tmp_path):
    results = Results([record("0", 0.5), record("1", None, section="A2")], {"preset": "spot_log10"})
    results.save(tmp_path / "results.json")
    assert Results.load(tmp_path / "results.json") == results
    assert "section" not in json.loads((tmp_path / "results.json").read_text())["records"][0]


def test_value_wants_exactly_one():
    results = Results([record("0", 0.5), record("1", 0.7)])
    assert results.value(fold="1") == 0.7
    for wanted in ({"metric": "auc"}, {"fold": "9"}):
        with pytest.raises(LookupError, match="records match"):
            results.value(**wanted)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"schema_version": 1}', '{"schema_version": 99, "records": [], "meta": {}}']
)
def test_a_file_that_is_no_results_is_named(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(DataError, match=r"results\.json"):
        Results.load(tmp_path / "results.json")


def test_nan_becomes_undefined():
    assert finite(float("nan")) is None
    assert finite(0.5) == 0.5
