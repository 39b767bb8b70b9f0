"""Classifier directories of targets beyond classes: applied to new units they score as the run's models do."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import target_kinds
import torch
from feature_meta import feature_meta
from sampled import sampled
from scipy.stats import linregress, pearsonr
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from sksurv.metrics import brier_score, concordance_index_censored
from sksurv.util import Surv
from target_kinds import GRADES

import hage_transfer as ht
from hage_transfer.cli.main import run as hage
from hage_transfer.data.feature_file import read_features, write_features
from hage_transfer.mil.checkpoint import fold_models
from hage_transfer.probes.checkpoint import read_probes
from hage_transfer.targets.make import target_of
from hage_transfer.viewer.run_kinds import read_contents

KINDS = {**target_kinds.KINDS, "numbered": {"kind": "ordinal", "column": "number"}}
every_kind = pytest.mark.parametrize("kind", sampled(KINDS, "cox", "multilabel"))
SMALL = {
    "model": {"hidden_dim": 0, "attention_dim": 4, "dropout": 0},
    "train": {"epochs": 6, "validation": 0, "repeats": 2, "final": True, "bags_per_step": 8, "learning_rate": 0.05},
    "split": {"folds": 2},
}


def _cohort(folder, n_units, seed, prefix):
    """Bags and patches of patients (two units each of the first four), and all that follows from a number each has."""
    rng = np.random.default_rng(seed)
    patient = np.maximum(np.arange(n_units), 4) - 4 * (np.arange(n_units) < 4)
    patient[:4] = np.arange(4) + 4
    truth = rng.normal(size=n_units)[patient]
    time, end = rng.exponential(10 * np.exp(-1.5 * truth)), rng.exponential(60, size=n_units)
    table = pd.DataFrame({"slide": [f"{prefix}{k}" for k in range(n_units)], "group": [f"p{k}" for k in patient]})
    table["time"], table["event"] = np.minimum(time, end).round(6)[patient], (time <= end).astype(int)[patient]
    table["amount"] = (100 + 20 * truth).round(6)
    steps = np.digitize(truth, [-0.5, 0.5])
    table["grade"], table["number"] = np.array(GRADES)[steps], steps + 1
    table["er"], table["pr"] = (truth > 0).astype(float), (truth < 0.3).astype(float)
    table.loc[9:10, "pr"] = np.nan
    table["site"] = np.where(np.arange(n_units) % 2, "north", "south")
    bags = [(0.3 * rng.normal(size=(5, 3)) + [value, 0, 0]).astype(np.float32) for value in truth]
    coords = np.stack([np.arange(5) * 224, np.zeros(5, dtype=int)], axis=1)
    for name, rows in zip(table.slide, bags, strict=True):
        write_features(folder / "bags" / f"{name}.h5", rows, feature_meta(name), coords=coords)
    table.to_csv(folder / "slides.csv", index=False)
    patches = folder / "patches"
    patches.mkdir()
    table.rename(columns={"slide": "key"}).to_csv(patches / "labels.csv", index=False)
    means = np.stack([rows.mean(axis=0) for rows in bags])
    write_features(patches / "features.h5", means, feature_meta("set", mpp_um_per_px=None), keys=table.slide.tolist())


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    """Patients to train on, and new ones."""
    root = tmp_path_factory.mktemp("cohorts")
    _cohort(root / "old", 28, 0, "s")
    _cohort(root / "new", 24, 1, "n")
    return root


@pytest.fixture(scope="module")
def run_of(cohorts):
    """The MIL run of a kind, made once."""
    made = {}

    def run(kind):
        if kind not in made:
            data = {"layout": "features", "root": cohorts / "old/bags", "labels": cohorts / "old/slides.csv"}
            made[kind] = ht.mil({"data": data, "target": KINDS[kind], **SMALL}, out=cohorts / f"run-{kind}")
        return made[kind]

    return run


def _alone(run, place):
    return shutil.copytree(run.folder / "classifier/frozen", place)


@every_kind
def test_a_moved_directory_scores_new_slides_as_the_run_s_models_do(tmp_path, cohorts, run_of, kind):
    run = run_of(kind)
    alone = _alone(run, tmp_path / "alone")
    scores = ht.apply(alone, cohorts / "new/bags", out=tmp_path / "new", device="cpu")
    names, models = list(ht.load_classifier(alone).score_names), fold_models(run.folder, source="frozen")
    assert len(models) == 4 and len(scores) == 24 and scores["models"].eq(4).all()
    for row in scores.frame().iloc[::5].to_dict("records"):
        found = read_features(cohorts / "new/bags" / f"{row['slide']}.h5")
        tiles, coords = torch.from_numpy(found.features), torch.from_numpy(found.coords)
        every = np.stack([one.scores(one(tiles, coords).logits)[0] for one in models])
        np.testing.assert_allclose([row[name] for name in names], every.mean(axis=0), rtol=2e-5, atol=1e-6)
        main = every[:, :1] if "risk" in names else every
        assert row["spread"] == pytest.approx(main.std(axis=0).max(), rel=1e-4, abs=1e-6)
        if "ordinal" in str(KINDS[kind]):
            middle = int(np.searchsorted(np.cumsum(every.mean(axis=0)), 0.5))
            assert str(row["call"]) == (GRADES if kind == "ordinal" else ["1", "2", "3"])[middle]
    assert scores["doubt"].notna().all()
    facts = ht.load_classifier(alone).facts["calibration"]
    assert facts["rows"] == 24  # patients
    fitted = scores.frame().filter(like="calibrated")
    if kind == "regression":
        line = facts["intercept"] + facts["slope"] * scores["predicted"]
        np.testing.assert_allclose(fitted["calibrated"], line, rtol=1e-4)
    elif kind in ("cox", "hazards"):
        assert fitted.empty and {"time", "predicted", "observed", "left"} == facts["horizons"][0].keys()
    else:
        assert fitted.shape[1] == len(names) and fitted.min(axis=None) >= 0
        assert kind == "multilabel" or np.allclose(fitted.sum(axis=1), 1, atol=1e-5)
    card = (alone / "README.md").read_text()
    assert KINDS[kind]["kind"] in card and "probability" not in card.split("## Limits")[1]
    assert KINDS[kind]["kind"] in scores.caption() and KINDS[kind]["kind"] in repr(ht.load_classifier(alone))


@every_kind
def test_true_values_make_it_a_validation_by_the_target_s_metrics(tmp_path, cohorts, run_of, kind):
    labels = cohorts / "new/slides.csv"
    scores = ht.apply(run_of(kind), cohorts / "new/bags", labels=labels, subgroups="site", out=tmp_path / "new")
    found, table = ht.read_results(tmp_path / "new"), pd.read_csv(labels)
    joined = scores.frame().merge(table, on="slide")
    by_patient = joined.groupby("group", sort=False).mean(numeric_only=True)
    main = found.meta["intervals"][0]
    if kind in ("cox", "hazards"):
        event = by_patient.event > 0
        assert main["metric"] == "c_index"
        assert main["value"] == pytest.approx(concordance_index_censored(event, by_patient.time, by_patient.risk)[0])
        truth, horizon = Surv.from_arrays(event, by_patient.time), found.meta["horizons"][0]
        predicted = by_patient[[f"survival_{horizon['time']:.6g}"]]
        wanted = brier_score(truth, truth, predicted, [horizon["time"]])[1][0]
        assert horizon["brier"] == pytest.approx(wanted, abs=1e-9)
    elif kind == "regression":
        assert main["value"] == pytest.approx(pearsonr(by_patient.amount, by_patient.predicted).statistic)
    elif kind == "multilabel":
        known = by_patient.pr.notna()
        aucs = (
            roc_auc_score(by_patient.er, by_patient.probability_er),
            roc_auc_score(by_patient.pr[known], by_patient.probability_pr[known]),
        )
        assert main["value"] == pytest.approx(np.mean(aucs)) and found.meta["per_label"][1]["known"] == known.sum()
    else:
        names = GRADES if kind == "ordinal" else ["1", "2", "3"]
        shares = by_patient[[f"probability_{name}" for name in names]].to_numpy()
        called = (1 - np.cumsum(shares, axis=1)[:, :-1] > 0.5).sum(axis=1)
        assert main["value"] == pytest.approx(cohen_kappa_score(by_patient.number - 1, called, weights="quadratic"))
    assert main["low"] < main["value"] < main["high"]
    assert found.meta["groups"] == table.group.nunique() == 20
    groups = pd.read_csv(tmp_path / "new/subgroups.csv")
    assert groups["rows"].tolist() == [12, 12] and groups[main["metric"]].notna().all()
    said = {row["metric"]: row["value"] for row in found.meta["intervals"]}
    if kind == "regression":
        known = linregress(by_patient.predicted, by_patient.amount)
        assert (said["slope"], said["intercept"]) == pytest.approx((known.slope, known.intercept))
    elif kind in ("cox", "hazards"):
        assert said["slope"] > 0 and said["observed_to_expected"] == pytest.approx(1, abs=0.5)
    else:
        assert 0 <= said["calibration_error"] < 0.5 and 0 <= said["calibration_error_raw"] < 0.6
    _shown(kind, tmp_path / "new/as_run", scores, table)
    page = (tmp_path / "new/report.md").read_text()
    assert "Can it be believed" in page
    assert f"{main['value']:.3f}" in page and "in training" in page
    plots = {"survival": "Survival by risk", "regression": "Predicted and true", "ordinal": "Confusion"}
    assert plots.get(KINDS[kind]["kind"], "By label") in page


def _shown(kind, folder, scores, table):
    """What the viewer lists of the application: truth, score, doubt, and the tiles of a slide that is explained."""
    ht.explain(folder.parent, slides=["n5"], genes=False)
    contents = read_contents(folder, slides=None)
    assert contents.slides["n5"].overlays.keys() == {"frozen"}
    of_kind = {
        "cox": ("risk is the log hazard from the training mean", ["label", "time", "event", "risk"]),
        "hazards": ("risk is minus the intervals survived", ["label", "time", "event", "risk"]),
        "regression": ("amount in its own unit", ["label", "predicted", "calibrated"]),
        "multilabel": ("a probability a label", ["label", "probability_er", "probability_pr"]),
    }
    column = "grade" if kind == "ordinal" else "number"
    grades = ["call", "expected_grade", *scores.frame().filter(like="probability_")]
    words, columns = of_kind.get(kind, (f"expected {column}, 0 for the lowest", ["label", *grades]))
    assert words in contents.kind and list(contents.columns) == [*columns, "doubt"]
    facts, row = contents.slides["n5"].facts["frozen"], scores.frame().set_index("slide").loc["n5"]
    of_table = table.set_index("slide").loc["n5"]
    for name in ("risk", "predicted", "doubt"):
        assert name not in contents.columns or facts[name] == pytest.approx(row[name], rel=1e-4)
    if kind == "cox":
        assert float(facts["time"]) == of_table["time"] and float(facts["event"]) == of_table["event"]
    elif kind == "regression":
        assert float(facts["label"]) == of_table["amount"]
    elif kind == "ordinal":
        shares = [row[f"probability_{name}"] for name in GRADES]
        assert facts["expected_grade"] == pytest.approx(np.dot(shares, range(3)), rel=1e-4)
        assert facts["label"] == of_table["grade"]


@pytest.mark.slow
def test_two_survival_classifiers_are_compared_on_the_same_patients(tmp_path, cohorts, run_of, capsys):
    bags, labels = cohorts / "new/bags", cohorts / "new/slides.csv"
    run = run_of("cox")
    ht.apply(run, bags, out=tmp_path / "all", final=True)
    command = ["apply", str(run.folder), str(bags), "--labels", str(labels), "--out", str(tmp_path / "folds")]
    assert hage([*command, "--against", str(tmp_path / "all")]) == 0
    (pair,) = pd.read_csv(tmp_path / "folds/pairs.csv").to_dict("records")
    assert pair["metric"] == "c_index" and pair["low"] <= pair["difference"] <= pair["high"]
    out = capsys.readouterr().out
    assert "risk" in out and "on new patients" in out and "calibrated" not in out
    ht.apply(run_of("numbered"), bags, out=tmp_path / "other")
    with pytest.raises(ht.DataError, match="learnt other targets"):
        ht.apply(run, bags, labels=labels, against=tmp_path / "other", out=tmp_path / "again")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"operating_point": "sensitivity=0.9"}, r"operating_point=sensitivity=0.9: is of classes, .*survival \(time"),
        ({"abstain": 0.1}, "abstain=0.1: is of classes"),
        ({"subgroups": "site"}, r"speak of true labels; give labels= with survival \(time"),
    ],
)
def test_what_is_of_classes_is_refused_by_name(tmp_path, cohorts, run_of, options, message):
    with pytest.raises(ht.ConfigError, match=message):
        ht.apply(run_of("cox"), cohorts / "new/bags", out=tmp_path / "new", **options)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("number", 9, "number 9 is none of the classifier's grades"),
        ("number", "x", "line 2: number 'x' is no number"),
        ("slide", [f"x{k}" for k in range(24)], "labels none of the 24 that were scored"),
    ],
)
def test_truth_that_is_not_the_target_s_is_refused_by_name(tmp_path, cohorts, run_of, column, value, message):
    table = pd.read_csv(cohorts / "new/slides.csv").astype({column: object})
    table.loc[[0] if not isinstance(value, list) else slice(None), column] = value
    table.to_csv(tmp_path / "labels.csv", index=False)
    with pytest.raises(ht.DataError, match=message):
        ht.apply(run_of("numbered"), cohorts / "new/bags", labels=tmp_path / "labels.csv", out=tmp_path / "new")


def test_survival_without_an_event_is_refused_and_times_of_another_unit_told(tmp_path, cohorts, run_of, caplog):
    table = pd.read_csv(cohorts / "new/slides.csv")
    given = {"labels": tmp_path / "labels.csv", "out": tmp_path / "new"}
    table.assign(event=0).to_csv(given["labels"], index=False)
    with pytest.raises(ht.DataError, match=r"labels\.csv: all 24 rows are censored"):
        ht.apply(run_of("cox"), cohorts / "new/bags", **given)
    table.assign(time=table.time * 365).to_csv(given["labels"], index=False)
    found = ht.apply(run_of("cox"), cohorts / "new/bags", **given)
    assert "in training: are these times in another unit?" in caplog.text
    meta = json.loads((found.folder / "results.json").read_text())["meta"]
    assert any("another unit" in line for line in meta["warnings"])


def test_an_interrupted_application_goes_on_to_the_same_bytes(tmp_path, cohorts, run_of):
    whole = ht.apply(run_of("cox"), cohorts / "new/bags", out=tmp_path / "whole")
    bytes_of = (whole.folder / "scores.csv").read_bytes()
    for place, done in enumerate(sorted((whole.folder / "units").glob("*.json"))):
        if place % 2:
            done.unlink()
    (whole.folder / "scores.csv").unlink()
    ht.apply(run_of("cox"), cohorts / "new/bags", out=tmp_path / "whole")
    assert (whole.folder / "scores.csv").read_bytes() == bytes_of


@pytest.mark.parametrize("kind", sampled(target_kinds.KINDS, "cox", "multilabel"))
def test_probes_of_targets_leave_directories_that_apply_here_and_from_the_hub(tmp_path, cohorts, kind, hub):
    config = {"features": cohorts / "old/patches", "target": KINDS[kind], "split": {"folds": 2}}
    train, sources = (
        {"min_steps": 50, "learning_rate": 0.02},
        {"frozen": {"features": cohorts / "old/patches/features.h5"}},
    )
    run = ht.probe({**config, "train": train, "sources": sources}, out=tmp_path / "run")
    alone = _alone(run, tmp_path / "alone")
    given, labels = cohorts / "new/patches/features.h5", cohorts / "new/patches/labels.csv"
    scores = ht.apply(alone, given, labels=labels, out=tmp_path / "new")
    probes = read_probes(alone / "models/trial_0.safetensors").only(final=False)
    wanted = probes.scores(read_features(given).features).mean(axis=0)
    names = list(ht.load_classifier(alone).score_names)
    np.testing.assert_allclose(scores.frame()[names].to_numpy(), wanted, rtol=2e-5, atol=1e-6)
    main = ht.read_results(tmp_path / "new").meta["intervals"][0]
    assert main["low"] < main["value"] < main["high"]
    _comes_back(hub, alone, given, tmp_path)


def _comes_back(hub, alone, given, tmp_path):
    """A directory goes to the hub and comes back whole: it is the same, asks for the same terms, scores the same."""
    here = ht.apply(alone, given, out=tmp_path / "here")
    ht.share(alone, to="lab/target")
    shutil.move(alone, tmp_path / "away")
    loaded = ht.load_classifier("lab/target")
    facts = json.loads((tmp_path / "away/classifier.json").read_text())
    assert loaded.facts == facts and repr(loaded.target) == repr(target_of(facts["target"]))
    there = ht.apply("lab/target", given, out=tmp_path / "there")
    assert (there.folder / "scores.csv").read_bytes() == (here.folder / "scores.csv").read_bytes()
    assert ht.apply(loaded, given, out=tmp_path / "loaded").frame().equals(there.frame())
    unknown = {"encoder": "UNI", "licence": None}
    (hub / "lab/target/classifier.json").write_text(json.dumps(facts | {"licence": unknown}))
    assert len(ht.apply("lab/target", given, out=tmp_path / "said", licence_allows=True)) == len(there)
    (tmp_path / "away/classifier.json").write_text(json.dumps(facts | {"licence": unknown}))
    for refused in (
        lambda: ht.apply("lab/target", given, out=tmp_path / "refused"),
        lambda: ht.share(tmp_path / "away", to="lab/other"),
    ):
        with pytest.raises(ht.SharingError, match="licence of its frozen encoder UNI is not recorded"):
            refused()
    assert not (hub / "lab/other").exists()


@every_kind
def test_a_shared_target_of_slides_is_applied_from_the_hub_under_the_licence_rule(tmp_path, cohorts, run_of, kind, hub):
    (tmp_path / "bags").mkdir()
    for name in ("n0.h5", "n5.h5"):
        shutil.copyfile(cohorts / "new/bags" / name, tmp_path / "bags" / name)
    _comes_back(hub, _alone(run_of(kind), tmp_path / "alone"), tmp_path / "bags", tmp_path)
