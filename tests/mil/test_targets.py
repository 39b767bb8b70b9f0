"""Bag classifiers of targets beyond classes: what they find, resume to, and say of made-up features."""

import csv
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.metrics import concordance_index_censored
from sksurv.util import Surv
from target_kinds import KINDS

import hage_transfer as ht
from hage_transfer.data.feature_file import read_features
from hage_transfer.mil.checkpoint import fold_models
from hage_transfer.mil.progress_file import ProgressFile
from hage_transfer.targets.make import target_of

SMALL = {
    "model": {"hidden_dim": 0, "attention_dim": 4, "dropout": 0},
    "train": {"epochs": 12, "min_epochs": 8, "patience": 4, "bags_per_step": 4, "learning_rate": 0.01},
}


@pytest.fixture(scope="module")
def written(tmp_path_factory, write_slide):
    """90 patients with a number each, which their tiles show and everything else follows from."""
    root = tmp_path_factory.mktemp("cohort")
    rng = np.random.default_rng(0)
    truth = rng.normal(size=90)
    time, end = rng.exponential(10 * np.exp(-1.5 * truth)), rng.exponential(60, size=90)
    table = pd.DataFrame({"slide": [f"s{k}" for k in range(90)], "group": [f"p{k}" for k in range(90)]})
    table["time"], table["event"] = np.minimum(time, end), time <= end
    table["amount"] = 100 + 20 * truth
    table["grade"] = np.array(["low", "middle", "high"])[np.digitize(truth, [-0.5, 0.5])]
    table["er"], table["pr"] = (truth > 0).astype(float), (truth < 0.3).astype(float)
    table.loc[:4, "pr"] = np.nan
    for name, value in zip(table.slide, truth, strict=True):
        write_slide(root / "features", name, 0.3 * rng.normal(size=(4, 3)) + [value, 0, 0])
    table.to_csv(root / "labels.csv", index=False)
    return root, table, truth


@pytest.fixture
def cohort(tmp_path, written):
    """A copy of one's own of their files, their table and their numbers."""
    root, table, truth = written
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    return table.copy(), truth


def run(tmp_path, target, *, out="run", **changes):
    data = {"layout": "features", "root": tmp_path / "features", "labels": tmp_path / "labels.csv"}
    return ht.mil({"data": data, "target": target, **SMALL, **changes}, out=tmp_path / out)


def rows_of(tmp_path, name="predictions", out="run"):
    with (tmp_path / out / f"{name}.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "metric", "least"),
    [
        ("hazards", "c_index", 0.7),
        ("regression", "pearson", 0.9),
        ("ordinal", "kappa", 0.7),
        ("multilabel", "auc", 0.9),
    ],
)
def test_targets_are_found_and_kept_in_models(tmp_path, cohort, kind, metric, least):
    found = run(tmp_path, KINDS[kind])
    assert found.main_metric == metric
    assert found.value(source="frozen", fold="mean", metric=metric) > least
    assert metric in found.table().columns
    rows = rows_of(tmp_path)
    assert [row["slide"] for row in rows] == cohort[0].slide.tolist()
    models = fold_models(tmp_path / "run", source="frozen")
    target = target_of(models[0].meta["target"])
    place = [row["fold"] for row in rows].index(models[0].fold)
    outputs = models[0](torch.from_numpy(read_features(tmp_path / "features" / f"s{place}.h5").features)).logits
    scores = target.scores(outputs.double().numpy(), models[0].meta["fitted"])[0]
    written = [float(rows[place][name]) for name in target.score_names]
    np.testing.assert_allclose(scores, written, rtol=1e-3)


@pytest.mark.slow
def test_cox_finds_the_hazard_as_scikit_survival_does_on_the_covariate_itself(tmp_path, cohort):
    table, truth = cohort
    found = run(tmp_path, KINDS["cox"])
    rows, wanted = rows_of(tmp_path), []
    outcome = Surv.from_arrays(table.event, table.time)
    for fold in sorted({row["fold"] for row in rows}):
        test = np.array([row["fold"] == fold for row in rows])
        cox = CoxPHSurvivalAnalysis().fit(truth[~test, None], outcome[~test])
        risk = cox.predict(truth[test, None])
        wanted.append(concordance_index_censored(table.event[test], table.time[test], risk)[0])
    c_index = found.value(source="frozen", fold="mean", metric="c_index")
    assert c_index == pytest.approx(np.mean(wanted), abs=0.02)
    folds = [(row["fold"], row["event"]) for row in rows]
    assert all((fold, "1") in folds for fold, _ in folds)
    assert {row["label"] for row in rows} == {"event", "censored"}


@pytest.mark.slow
def test_a_killed_training_with_a_memory_of_bags_resumes_to_the_same_numbers(tmp_path, cohort, monkeypatch):
    train = {**SMALL["train"], "epochs": 2, "checkpoint_s": 0}
    whole = run(tmp_path, KINDS["cox"], train=train)
    saved, save = [], ProgressFile.save_if_due

    def killed(self, progress, stack):
        saved.append(1)
        self._next = 0.0
        save(self, progress, stack)
        if len(saved) in (40, 100):
            raise KeyboardInterrupt

    monkeypatch.setattr(ProgressFile, "save_if_due", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, KINDS["cox"], train=train, out="again")
    again = run(tmp_path, KINDS["cox"], train=train, out="again")
    assert json.dumps([vars(r) for r in again.records]) == json.dumps([vars(r) for r in whole.records])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"kind": "clam_sb"}}, "model.kind = clam_sb: labels its tiles by class; with target.kind survival"),
        ({"positive": "event"}, "positive = event: speaks of classes"),
        ({"train": {"class_weights": "balanced"}}, "train.class_weights = balanced: speaks of classes"),
        ({"target": {"kind": "survival", "event": "event", "censored": "event"}}, "one column said twice"),
        (
            {"target": {"kind": "survival", "evnt": "event"}},
            r"unknown key target.evnt \(nearest valid key: target.event",
        ),
        ({"target": {"kind": "regresion"}}, "regresion"),
        ({"split": {"folds": 89}}, "at most 12 folds"),
    ],
)
def test_what_does_not_go_with_a_target_is_refused(tmp_path, cohort, changes, message):
    with pytest.raises(ht.InputError, match=message):
        run(tmp_path, **{"target": KINDS["cox"], **changes})


class Colours:
    """A frozen encoder that costs nothing."""

    name, width, input_px, licence, sha256 = "colours", 3, 32, "CC0-1.0", "1" * 64

    def __call__(self, images):
        return images.mean(axis=(1, 2)).astype("float32")


@pytest.fixture
def manifest(tmp_path):
    """Twelve images of six patients, whose manifest (paths as they may be written) has every kind of value."""
    rows = pd.DataFrame({"path": [f"a/{k}.png" for k in range(12)], "group": [f"p{k // 2}" for k in range(12)]})
    (tmp_path / "images/a").mkdir(parents=True)
    for k, path in enumerate(rows.path):
        pixels = np.random.default_rng(k).integers(0, 255, (32, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / path)
    rows["time"], rows["event"] = 3.0 + np.arange(12) // 2, np.arange(12) // 2 % 2
    rows["amount"], rows["grade"] = 3.5 * np.arange(12), ["low", "middle", "high"] * 4
    rows["er"], rows["pr"] = np.arange(12) % 2, [None, *[1, 0] * 5, 0]
    rows.loc[0, "path"], rows.loc[1, "path"] = "./a//0.png", tmp_path.absolute() / "images/a/1.png"
    rows["slide"] = "another name"
    return rows


def of_images(tmp_path, manifest, target, **changes):
    data = {"layout": "manifest", "tile_px": 32, "root": tmp_path / "images", "manifest": tmp_path / "manifest.csv"}
    manifest.to_csv(data["manifest"], index=False)
    config = {"data": data, "features": tmp_path / "bags", "target": target, "split": {"folds": 2}, **SMALL}
    return ht.mil({**config, **changes}, encoder=Colours(), out=tmp_path / "run")


@pytest.mark.parametrize("kind", KINDS)
def test_bags_of_images_have_the_values_of_their_manifest(tmp_path, manifest, kind):
    found = of_images(tmp_path, manifest, KINDS[kind], train={"epochs": 1, "validation": 0})
    written = pd.read_csv(tmp_path / "run/predictions.csv").set_index("slide")
    assert found.meta["rows"] == 12 and found.meta["groups"] == 6
    said = {"regression": ["label"], "ordinal": ["label"], "multilabel": ["label_er", "label_pr"]}
    true = {"regression": ["amount"], "ordinal": ["grade"], "multilabel": ["er", "pr"]}
    names = ["time", "event"]
    pd.testing.assert_frame_equal(
        written.loc[list(range(12)), said.get(kind, names)].set_axis(true.get(kind, names), axis=1),
        manifest[true.get(kind, names)],
        check_dtype=False,
        check_names=False,
    )


@pytest.mark.parametrize(
    ("kind", "row", "changes", "message"),
    [
        ("cox", 3, {"time": None}, r"manifest.csv: line 5: time '' is no number; fill it, or set target.missing=drop"),
        ("cox", 3, {"time": "n/a"}, r"manifest.csv: line 5: time 'n/a' is no number; fill it"),
        ("cox", 3, {"time": 99}, r"manifest.csv: group \(patient\) p1 has time and event .*one survival"),
        ("hazards", 3, {"event": 2}, r"manifest.csv: line 5: event '2' is none of 0, 1, True, False; correct it"),
        ("regression", 0, {"amount": "many"}, r"manifest.csv: line 2: amount 'many' is no number; correct it"),
        ("ordinal", 11, {"grade": "IV"}, r"line 13: grade 'IV' is no grade of target.order \(low, middle, high\)"),
        ("multilabel", 1, {"er": 0.5}, r"line 3: er '0.5' is none of 0, 1"),
        ("regression", 0, {"group": None}, r"manifest.csv: 1 of 12 rows have no group \(first: line 2\)"),
    ],
)
def test_wrong_values_of_a_manifest_are_refused_before_images_are_encoded(
    tmp_path, manifest, kind, row, changes, message
):
    manifest = manifest.astype(object)
    manifest.loc[row, list(changes)] = list(changes.values())
    with pytest.raises(ht.DataError, match=message):
        of_images(tmp_path, manifest, KINDS[kind])
    assert not list((tmp_path / "bags").rglob("*.h5"))


def test_a_manifest_without_the_column_names_the_nearest_and_images_without_a_value_are_left_out_if_asked(
    tmp_path, manifest
):
    with pytest.raises(ht.DataError, match=r"manifest.csv: no column amuont \(nearest: amount"):
        of_images(tmp_path, manifest, {"kind": "regression", "column": "amuont"})
    manifest.loc[:1, "amount"] = None
    found = of_images(
        tmp_path, manifest, {**KINDS["regression"], "missing": "drop"}, train={"epochs": 1, "validation": 0}
    )
    assert found.meta["rows"] == 10 and found.meta["groups"] == 5


@pytest.mark.slow
def test_the_published_survival_recipe_says_that_made_up_features_know_nothing(tmp_path, real_data, write_slide):
    published, rng = real_data / "tcga_brca" / "survival", np.random.default_rng(1)
    for name in pd.read_csv(published / "metadata_tcga_brca.csv").slide_id:
        write_slide(tmp_path / "features", name.removesuffix(".svs"), rng.normal(size=(1, 4)))
    found = ht.mil(
        "tcga_brca_survival",
        root=tmp_path / "features",
        labels=published / "metadata_tcga_brca.csv",
        changes={"split.files": published, "train.epochs": 1, "model.hidden_dim": 0, "model.attention_dim": 2},
        out=tmp_path / "run",
    )
    (row,) = found.meta["intervals"]
    assert row["low"] < 0.5 < row["high"] and row["n_units"] == 871
    assert any("cannot be told from 0.5, what no knowledge scores" in note for note in found.notes)
    sides = pd.read_csv(tmp_path / "run" / "splits" / "splits_3.csv")
    theirs = pd.read_csv(published / "tcga_brca_split_3.csv")
    assert {name[:12] for name in sides.test.dropna()} == set(theirs.val.dropna())


def test_a_published_split_with_a_patient_on_two_sides_is_refused(tmp_path, real_data, write_slide):
    published = real_data / "tcga_brca" / "survival"
    (tmp_path / "splits").mkdir()
    write_slide(tmp_path / "features", "one", np.ones((1, 4)))
    table = pd.read_csv(published / "tcga_brca_split_0.csv", index_col=0)
    table.loc[0, "val"] = table.loc[5, "train"]
    table.to_csv(tmp_path / "splits" / "x_split_0.csv")
    with pytest.raises(ht.SplitError, match=r"1 groups \(patients\) are in both train and test"):
        ht.mil(
            "tcga_brca_survival",
            root=tmp_path / "features",
            labels=published / "metadata_tcga_brca.csv",
            changes={"split.files": tmp_path / "splits"},
            out=tmp_path / "run",
        )
