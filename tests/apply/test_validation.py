"""External validation: numbers by scikit-learn's own, intervals by patient, subgroups, pairs, pages."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

import hage_transfer as ht
from hage_transfer.apply.labelled import Cohort, measured
from hage_transfer.apply.validation import compare_pair, decision_curve
from hage_transfer.cli.main import run as hage

NEW = [f"n{number}" for number in range(16)]


@pytest.fixture
def table(bag_labels, tmp_path):
    """Labels of new bags with a site and an age; two of the labels are wrong."""
    found = bag_labels(NEW).assign(site=["north", "south"] * 8, age=range(40, 56))
    found.loc[[0, 5], "label"] = ["tumour", "normal"]
    found.to_csv(tmp_path / "labels.csv", index=False)
    return found


def test_numbers_are_those_of_scikit_learn_at_the_frozen_threshold(made, write_bags, table, tmp_path):
    folder = write_bags(tmp_path / "new", NEW, seed=1)
    scores = ht.apply(made.run, folder, labels=tmp_path / "labels.csv", out=tmp_path / "out", subgroups=["site", "age"])
    found = ht.read_results(tmp_path / "out")
    truth = table.set_index("slide")["label"].loc[scores["slide"]].to_numpy() == "tumour"
    called = scores["call"].to_numpy() == "tumour"

    def value(metric: str) -> float:
        return found.value(source="frozen", metric=metric, trial=None, fold="external", split="test")

    assert value("auc") == pytest.approx(roc_auc_score(truth, scores["probability"]), abs=1e-9)
    assert value("accuracy") == accuracy_score(truth, called)
    assert value("sensitivity") == recall_score(truth, called)
    assert value("specificity") == recall_score(~truth, ~called)
    assert found.scores.frame().equals(scores.frame())
    interval = {row["metric"]: row for row in found.meta["intervals"]}
    assert all(
        interval[name]["low"] <= interval[name]["value"] <= interval[name]["high"] for name in ("auc", "accuracy")
    )
    groups = pd.read_csv(tmp_path / "out" / "subgroups.csv")
    assert groups[groups["column"] == "site"]["rows"].tolist() == [8, 8]
    assert groups[groups["column"] == "age"]["rows"].tolist() == [4, 4, 4, 4]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Decision curve" in page
    assert "External validation" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.slow
def test_two_classifiers_are_compared_on_the_same_slides(made, write_bags, table, tmp_path, capsys):
    folder = write_bags(tmp_path / "new", NEW, seed=1)
    ht.apply(made.run, folder, out=tmp_path / "one", final=True)
    command = ["apply", str(made.run.folder), str(folder), "--labels", str(tmp_path / "labels.csv")]
    assert hage([*command, "--out", str(tmp_path / "two"), "--against", str(tmp_path / "one")]) == 0
    pairs = pd.read_csv(tmp_path / "two" / "pairs.csv")
    assert pairs["metric"].tolist() == ["auc", "accuracy"]
    assert (pairs["low"] <= pairs["difference"]).all()
    assert "on new patients" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"label": "other"}, {}, "label other is none of the classifier's classes"),
        ({"slide": [f"x{number}" for number in range(16)]}, {}, "labels none of the 16 that were scored"),
        ({}, {"subgroups": "hospital"}, "has no such column; it has site, age"),
        ({"label": None}, {"subgroups": "site"}, "speak of true labels"),
    ],
)
def test_what_does_not_go_together_is_refused(made, write_bags, table, tmp_path, change, options, message):
    folder = write_bags(tmp_path / "new", NEW, seed=1)
    changed = table.drop(columns="label") if change.get("label", "") is None else table.assign(**change)
    with pytest.raises(ht.InputError, match=message):
        ht.apply(made.run, folder, labels=changed, out=tmp_path / "out", **options)


def planted(*, shift: float, seed: int = 0, n: int = 4000) -> Cohort:
    """Probabilities that are right but for a shift of their log odds."""
    generator = np.random.default_rng(seed)
    odds = generator.normal(size=n)
    truth = generator.uniform(size=n) < 1 / (1 + np.exp(-odds))
    of_positive = 1 / (1 + np.exp(-(odds - shift)))
    both = np.stack([1 - of_positive, of_positive], axis=1)
    rows = np.arange(n)
    called = (of_positive >= 0.5).astype(int)
    return Cohort(
        table=pd.DataFrame(index=rows),
        labels=truth.astype(int),
        groups=rows // 2,
        probabilities=both,
        fitted=both,
        called=called,
        doubtful=called > 1,
        classes=("a", "b"),
        positive=1,
    )


def test_slope_and_intercept_find_what_was_planted():
    found = measured(planted(shift=0.7))
    assert found["slope"] == pytest.approx(1, abs=0.1)
    assert found["intercept"] == pytest.approx(0.7, abs=0.1)
    assert measured(planted(shift=0))["calibration_error"] < 0.03


def test_the_decision_curve_begins_at_acting_on_all():
    cohort = planted(shift=0)
    rows = decision_curve(cohort)
    share = (cohort.labels == 1).mean()
    assert rows[0]["all"] == pytest.approx(share - (1 - share) * 0.01 / 0.99)
    assert all(row["classifier"] >= row["all"] - 0.02 for row in rows)
    assert rows[49]["classifier"] == pytest.approx(
        ((cohort.called == 1) & (cohort.labels == 1)).mean() - ((cohort.called == 1) & (cohort.labels == 0)).mean()
    )


def test_a_classifier_less_itself_is_nothing():
    cohort = planted(shift=0, n=200)
    assert [row["difference"] for row in compare_pair(cohort, cohort, ("a", "b"))] == [0, 0]


@pytest.mark.parametrize("labelled", [True, False])
def test_new_slides_are_explained_and_shown_as_a_run_is(made, write_bags, table, tmp_path, labelled):
    folder = write_bags(tmp_path / "new", NEW, seed=1)
    labels = tmp_path / "labels.csv" if labelled else None
    scores = ht.apply(made.run, folder, labels=labels, out=tmp_path / "out")
    why = ht.explain(scores, slides=["n3"], genes=False)
    facts = why["n3"].facts
    assert facts["label"] == ("tumour" if labelled else "unlabelled")
    assert "the call is wrong" not in facts["cautions"]
    mean = scores.frame().set_index("slide").loc["n3", "probability_tumour"]
    assert facts["probability"] == pytest.approx(max(mean, 1 - mean), abs=1e-5)
    assert len(why["n3"].tiles) == scores.frame().set_index("slide").loc["n3", "tiles"]
    with ht.view(scores) as page:
        assert page.n_slides == 16
