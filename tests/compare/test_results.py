import json
import math

import pytest

from hage_transfer.compare.records import Record, finite, summarise
from hage_transfer.compare.results import Results
from hage_transfer.door.read_results import read_results
from hage_transfer.errors import DataError


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


def of_folds(gain: float = 0.02, metric: str = "auc") -> Results:
    rows = [
        record(str(fold), 0.8 + fold / 100 + bonus * (9 + fold) / 10, source=source, metric=metric)
        for source, bonus in (("frozen", 0.0), ("hage", gain))
        for fold in range(3)
    ]
    return Results([*rows, *summarise(rows)], name="ucsb")


def test_folds_are_rows_and_sources_columns():
    table = of_folds().folds("auc")
    assert table.index.tolist() == ["0", "1", "2"]
    assert table["hage"].tolist() == pytest.approx([0.818, 0.83, 0.842])


def test_folds_leave_a_gap_where_a_source_has_no_value():
    results = of_folds()
    table = Results([*results.records, record("9", 0.7), record("9", None, source="hage")]).folds("auc")
    assert table.loc["9", "frozen"] == 0.7
    assert table["hage"].isna().tolist() == [False, False, False, True]


def test_table_holds_mean_and_sample_std_of_the_main_metrics():
    rows = [*of_folds().records, record("0", 3.0, metric="n_constant_genes")]
    table = Results(rows).table()
    assert table.columns.tolist() == [("auc", "mean"), ("auc", "std")]
    assert table.loc["hage", ("auc", "mean")] == pytest.approx(0.83)
    assert Results(rows).text_table().loc["hage", "auc"] == "0.830 ± 0.012"
    assert Results(rows).text_table(["n_constant_genes"]).loc["frozen"].tolist() == ["3.000"]


def test_compare_is_paired_by_fold_and_says_it_in_a_sentence():
    found = of_folds().compare("hage", "frozen")
    assert found.by_fold == pytest.approx((0.018, 0.02, 0.022))
    assert found.verdict == "gain"
    assert "(ucsb), hage differs from frozen by +0.020 in AUC" in found.sentence()


def test_a_lower_error_is_a_gain():
    found = of_folds(-0.02, metric="mse").compare("hage", "frozen", "mse")
    assert found.mean == pytest.approx(-0.02)
    assert (found.verdict, found.wins) == ("gain", 3)


@pytest.mark.parametrize("wanted", [("uni", "frozen", "auc"), ("hage", "uni", "auc"), ("hage", "frozen", "f1")])
def test_compare_names_what_is_not_there(wanted):
    with pytest.raises(LookupError, match=r"no (source|metric) '(uni|f1)' here; there are"):
        of_folds().compare(*wanted)


def test_results_show_themselves_as_text_and_as_html():
    results = of_folds()
    assert repr(results).splitlines()[0] == "probe (ucsb): mean ± std over 3 folds"
    assert "0.830 ± 0.012" in repr(results)
    assert "<td>0.830 ± 0.012</td>" in results._repr_html_()


def test_html_of_results_escapes_names():
    shown = Results([record("0", 0.5, source="<script>alert(1)</script>")], name="<b>")._repr_html_()
    assert "<script>" not in shown
    assert "<b>" not in shown


def test_results_without_a_record_show_that():
    assert repr(Results([])) == "Results without a record"
    assert "without a record" in Results([])._repr_html_()


def test_read_results_takes_a_folder_or_the_file(tmp_path):
    of_folds().save(tmp_path / "results.json")
    assert read_results(tmp_path) == read_results(str(tmp_path / "results.json"))
    assert read_results(tmp_path).name == tmp_path.name
    with pytest.raises(DataError, match="is the run finished"):
        read_results(tmp_path / "nothing")


def test_nan_in_a_file_is_an_undefined_value(tmp_path):
    of_folds().save(tmp_path / "results.json")
    text = (tmp_path / "results.json").read_text().replace("0.81", "NaN", 1)
    (tmp_path / "results.json").write_text(text)
    assert sum(r.value is None for r in read_results(tmp_path).records) == 1


def test_a_value_that_is_a_text_is_refused(tmp_path):
    of_folds().save(tmp_path / "results.json")
    tree = json.loads((tmp_path / "results.json").read_text())
    tree["records"][0]["value"] = "0.8"
    (tmp_path / "results.json").write_text(json.dumps(tree))
    with pytest.raises(DataError, match=r"results\.json.*is no number"):
        read_results(tmp_path)


def test_a_fold_that_differs_by_rounding_alone_is_a_tie():
    scores = {"frozen": (0.8, 0.9, 0.7), "hage": (0.9, math.nextafter(0.9, 1), 0.6)}
    rows = [record(str(k), value, source=name) for name, values in scores.items() for k, value in enumerate(values)]
    found = Results([*rows, *summarise(rows)]).compare("hage", "frozen")
    assert found.by_fold[1] == 0.0
    assert found.wins == 1
    alike = [
        record(str(k), (0.8, math.nextafter(0.8, 1))[name == "hage"], source=name) for name in scores for k in range(4)
    ]
    assert (
        Results([*alike, *summarise(alike)]).compare("hage", "frozen").verdict == "not judged"
    )  # no spread is known where all folds tie


def test_a_difference_that_is_the_same_in_every_fold_is_not_judged():
    rows = [
        record(str(k), k / 10 + 0.1 * (name == "hage"), source=name) for name in ("frozen", "hage") for k in range(4)
    ]
    found = Results([*rows, *summarise(rows)]).compare("hage", "frozen")
    assert (found.verdict, found.margin) == ("not judged", None)
    assert "in every fold alike: no spread is known" in found.sentence()
