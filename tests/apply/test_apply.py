"""New slides by a trained classifier: the same numbers as its run, whatever the form of the features, and refusals."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sampled import sampled

import hage_transfer as ht
from hage_transfer.apply import score as module
from hage_transfer.apply.facts import faults_of
from hage_transfer.apply.looked import COLUMNS
from hage_transfer.cli.main import run as hage
from hage_transfer.config import file_sha256
from hage_transfer.data.feature_layouts import TridentGrid, open_features, write_layout
from hage_transfer.mil.checkpoint import read_fold_model
from hage_transfer.tensor_files import work_of

NEW = [f"n{number}" for number in range(6)]


def test_scores_are_means_over_all_models_and_columns_are_there(made, write_bags, tmp_path):
    folder = write_bags(tmp_path / "new", NEW, seed=1)
    scores = ht.apply(made.run, folder, out=tmp_path / "scores")
    frame = scores.frame().set_index("slide")
    models = [
        read_fold_model(made.run.folder, source="frozen", trial=trial, fold=str(fold))
        for trial in range(2)
        for fold in range(3)
    ]
    for name in NEW:
        tiles = torch.from_numpy(ht.read_features(folder / f"{name}.h5").features)
        each = np.array([float(model(tiles).logits.double().softmax(1)[0, 1]) for model in models])
        assert frame.loc[name, "probability"] == pytest.approx(each.mean(), abs=1e-6)
        assert frame.loc[name, "spread"] == pytest.approx(each.std(), abs=1e-6)
    wanted = {"probability", "spread", "call", "calibrated", "doubt", "doubtful", "abstained", "tile_quantile"}
    assert wanted <= set(scores.columns)
    assert (frame["models"] == 6).all()
    assert (frame["call"] == np.where(frame["probability"] >= scores.facts["threshold"], "tumour", "normal")).all()
    assert ht.read_results(tmp_path / "scores").frame().equals(scores.frame())
    assert "<table" in scores._repr_html_()
    assert "tumour" in repr(scores)


@pytest.mark.parametrize("form", ["clam", "trident", "pt", "one file"])
def test_scores_are_the_same_from_any_form_of_the_features(made, write_bags, tmp_path, form):
    folder = write_bags(tmp_path / "new", NEW, seed=1)
    wanted = ht.apply(made.run, folder, out=tmp_path / "scores").frame().set_index("slide")["probability"]
    if form == "one file":
        found = ht.apply(made.run, folder / "n1.h5", out=tmp_path / "other").frame().set_index("slide")["probability"]
        assert found.to_dict() == {"n1": wanted["n1"]}
        return
    grid = TridentGrid(target_magnification=20, overlap=0)
    for name in NEW:
        write_layout(open_features(folder / f"{name}.h5"), form, tmp_path / form, grid=grid)
    said = {"encoder_sha256": "a" * 64, "mpp_um_per_px": 0.5} if form == "pt" else {}
    found = ht.apply(made.run, tmp_path / form, out=tmp_path / "other", **said).frame().set_index("slide")
    assert found["probability"].equals(wanted)


def test_an_interrupted_call_goes_on_to_the_same_bytes(made, write_bags, tmp_path, monkeypatch):
    folder = write_bags(tmp_path / "new", NEW, seed=1)
    whole = ht.apply(made.run, folder, out=tmp_path / "whole").folder / "scores.csv"
    write, written = module.write_json, []

    def stop_after_two(path, record):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write(path, record)

    monkeypatch.setattr(module, "write_json", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        ht.apply(made.run, folder, out=tmp_path / "again")
    assert not (tmp_path / "again" / "scores.csv").exists()
    monkeypatch.setattr(module, "write_json", lambda path, record: written.append(path) or write(path, record))
    again = ht.apply(made.run, folder, out=tmp_path / "again").folder / "scores.csv"
    assert again.read_bytes() == whole.read_bytes()
    assert len(written) == len(set(written)) == len(NEW)  # what was there was kept


def test_a_moved_directory_applies_with_no_run_beside_it(made, write_bags, tmp_path):
    folder = write_bags(tmp_path / "new", NEW, seed=1)
    wanted = ht.apply(made.run, folder, out=tmp_path / "a")
    moved = made.moved(tmp_path / "elsewhere" / "classifier")
    found = ht.apply(moved, folder, out=tmp_path / "b")
    assert (found.folder / "scores.csv").read_bytes() == (wanted.folder / "scores.csv").read_bytes()
    loaded = ht.load_classifier(moved)
    assert (loaded.classes, loaded.source) == (("normal", "tumour"), "frozen")
    assert "held out: accuracy" in repr(loaded)


def test_a_directory_does_not_tell_when_the_inputs_of_its_run_were_written(made):
    of_run, of_directory = (
        sorted((made.run.folder / part).rglob("*.safetensors")) for part in ("models", "classifier")
    )
    assert all(work_of(path) for path in of_run)
    assert not any(work_of(path) for path in of_directory) and len(of_directory) > len(of_run)


def test_the_command_writes_what_the_function_does(made, write_bags, tmp_path, capsys):
    folder = write_bags(tmp_path / "new", NEW, seed=1)
    ht.apply(made.run, folder, out=tmp_path / "a", operating_point="sensitivity=0.9", abstain=0.2)
    command = ["apply", str(made.run.folder), str(folder), "--out", str(tmp_path / "b")]
    assert hage([*command, "--operating-point", "sensitivity=0.9", "--abstain", "0.2"]) == 0
    assert (tmp_path / "a" / "scores.csv").read_bytes() == (tmp_path / "b" / "scores.csv").read_bytes()
    assert "6 scored by frozen (sensitivity=0.9" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_sha256": "b" * 64}, "the classifier takes embedded .weights aaaaaaaaaaaa.; encode the slides"),
        ({"encoder_sha256": "unknown:x"}, "say so: encoder_sha256=aaaa"),
        ({"mpp_um_per_px": 0.25}, "tiles at 0.25 um per px, the classifier takes 0.5"),
        ({"mpp_um_per_px": None}, "records no um per px, and the classifier takes tiles at 0.5"),
        ({"patch_size_px": 256}, "patch_size_px is 256, the classifier takes 224"),
        ({"views": 8}, "views is 8"),
    ],
)
def test_other_features_are_refused_by_name(made, write_bags, tmp_path, changes, message):
    folder = write_bags(tmp_path / "new", NEW[:2], **changes)
    with pytest.raises(ht.DataError, match=message):
        ht.apply(made.run, folder, out=tmp_path / "scores")
    assert not (tmp_path / "scores" / "scores.csv").exists()


@pytest.mark.parametrize("licence", ["CC-BY-NC-ND-4.0", "unknown", ""])
def test_a_moved_directory_wants_the_licence_said(made, write_bags, tmp_path, licence):
    moved = made.moved(tmp_path / "moved")
    facts = json.loads((moved / "classifier.json").read_text())
    facts["licence"]["licence"] = licence
    (moved / "classifier.json").write_text(json.dumps(facts))
    folder = write_bags(tmp_path / "new", NEW[:2], seed=1)
    with pytest.raises(ht.SharingError, match="licence"):
        ht.apply(moved, folder, out=tmp_path / "scores")
    with pytest.raises(ht.SharingError, match="licence"):
        ht.share(moved, to="lab/name", dry_run=True)
    assert len(ht.apply(moved, folder, out=tmp_path / "scores", licence_allows=True)) == 2


@pytest.mark.parametrize("beside", ["nothing", "another run", "its run", "its run, made anew"])
def test_the_licence_is_asked_unless_the_run_beside_is_the_one_that_it_names(made, write_bags, tmp_path, beside):
    if beside.startswith("its run"):
        folder = Path(shutil.copytree(made.run.folder, tmp_path / "run")) / "classifier/frozen"
    else:
        folder = made.moved(tmp_path / "run/classifier/frozen")
    if beside == "another run":
        (tmp_path / "run/results.json").write_bytes((made.run.folder / "results.json").read_bytes())
        (tmp_path / "run/predictions.csv").write_text("source,trial,slide,fold,label\n")
    elif beside == "its run, made anew":
        predictions = tmp_path / "run/predictions.csv"
        predictions.write_text(predictions.read_text().replace("s1,", "s2,", 1))
    facts = json.loads((folder / "classifier.json").read_text())
    (folder / "classifier.json").write_text(json.dumps(facts | {"licence": {"encoder": "UNI", "licence": "unknown"}}))
    bags = write_bags(tmp_path / "new", NEW[:2], seed=1)
    if beside == "its run":
        assert len(ht.apply(folder, bags, out=tmp_path / "scores")) == 2
    else:
        with pytest.raises(ht.SharingError, match="licence"):
            ht.apply(folder, bags, out=tmp_path / "scores")


def test_a_slide_that_fails_is_named_and_the_rest_go_on(made, write_bags, tmp_path):
    folder = write_bags(tmp_path / "new", NEW, seed=1)
    (folder / "n2.h5").write_bytes(b"no features")
    write_bags(folder, ["n3"], mpp_um_per_px=1.0)
    with pytest.raises(ht.ItemsFailedError, match="2 of 6 slides failed") as failed:
        ht.apply(made.run, folder, out=tmp_path / "scores")
    assert list(failed.value.done["slide"]) == ["n0", "n1", "n4", "n5"]
    with (tmp_path / "scores" / "failures.csv").open(newline="") as handle:
        assert {row["item"] for row in csv.DictReader(handle)} == {"n2", "n3"}
    assert hage(["apply", str(made.run.folder), str(folder), "--out", str(tmp_path / "scores")]) == 1


def test_what_is_no_number_is_refused_before_it_is_written(made, write_bags, tmp_path):
    folder = write_bags(tmp_path / "new", NEW[:1], shift=3e38)
    with pytest.raises(ht.DataError, match=r"not numbers|NaN or infinity"):
        ht.apply(made.run, folder, out=tmp_path / "scores")
    assert not list((tmp_path / "scores").rglob("n0*.json"))


@pytest.mark.parametrize("part", ["models/trial_0/fold_0.safetensors", "cohort.safetensors", "training.csv"])
@pytest.mark.parametrize("fault", ["gone", "changed"])
def test_a_damaged_directory_is_refused(made, tmp_path, part, fault):
    moved = made.moved(tmp_path / "moved")
    if fault == "gone":
        (moved / part).unlink()
    else:
        (moved / part).write_bytes((moved / part).read_bytes()[:-2] + b"\0\0")
    with pytest.raises(ht.DataError, match=part.rpartition("/")[2]):
        ht.load_classifier(moved)


def test_tiles_unlike_training_are_doubtful(made, write_bags, tmp_path):
    alike = ht.apply(made.run, write_bags(tmp_path / "new", NEW, seed=1), out=tmp_path / "a").frame()
    other = ht.apply(made.run, write_bags(tmp_path / "far", NEW, seed=1, shift=2.0), out=tmp_path / "b").frame()
    assert other["doubt"].min() > alike["doubt"].max()
    assert other["doubtful"].all()
    assert other["why"].str.contains("tiles unlike training").all()
    assert (other["tile_quantile"] == 1).all()


def test_models_of_all_patients_are_used_on_request(made, write_bags, tmp_path):
    folder = write_bags(tmp_path / "new", NEW, seed=1)
    final = ht.apply(made.run, folder, out=tmp_path / "final", final=True).frame()
    assert (final["models"] == 2).all()
    changed = {**made.config, "train": {**made.config["train"], "final": False, "repeats": 1}}
    without = ht.mil(changed, out=tmp_path / "run")
    with pytest.raises(ht.ConfigError, match=r"train\.final=true"):
        ht.apply(without, folder, out=tmp_path / "none", final=True)
    assert ht.apply(without, folder, out=tmp_path / "one").frame()["spread_quantile"].isna().all()  # one trial


@pytest.mark.parametrize(
    "model",
    sampled(
        [{"kind": "abmil", "dropout": 0.25}, {"kind": "clam_sb", "instance_tiles": 2}],
        {"kind": "abmil", "dropout": 0.25},
    ),
    ids=str,
)
def test_a_block_as_a_new_cohort_scores_as_the_fold_that_left_it_out(made, write_bags, bag_labels, tmp_path, model):
    every = bag_labels([f"s{number}" for number in range(24)]).assign(label=lambda table: table["label"].astype(str))
    rest, block = every[:16], every[16:]
    split = pd.DataFrame(
        {"train": rest["slide"], "val": pd.Series(dtype=str), "test": block["slide"].reset_index(drop=True)}
    )
    (tmp_path / "splits").mkdir()
    split.to_csv(tmp_path / "splits" / "splits_0.csv")
    train = {"epochs": 5, "validation": 0, "repeats": 2, "bags_per_step": 3, "instance_dropout": 0.2, "final": True}
    config = {**made.config, "model": {**made.config["model"], **model}, "train": train}
    left_out = ht.mil(
        {**config, "split": {"mode": "files", "files": tmp_path / "splits"}}, labels=every, out=tmp_path / "all"
    )
    wanted = pd.read_csv(left_out.folder / "predictions.csv").groupby("slide")["probability_tumour"].mean()
    alone = ht.mil({**config, "split": {"folds": 2}}, labels=rest[::-1], out=tmp_path / "rest")
    new = write_bags(tmp_path / "bags", list(every["slide"]))
    for name in rest["slide"]:
        (new / f"{name}.h5").unlink()
    found = ht.apply(alone, new, final=True, out=tmp_path / "scores").frame().set_index("slide")["probability"]
    np.testing.assert_allclose(found, wanted[found.index], atol=1.1e-6)  # scores.csv has six digits
    assert len(found) == len(block) and found.std() > 0.01


def test_abstention_leaves_the_wanted_share_of_training_units(made, write_bags, tmp_path):
    names = [f"s{number}" for number in range(24)]
    folder = write_bags(tmp_path / "new", names)  # the training bags themselves: surer than out of fold
    none = ht.apply(made.run, folder, out=tmp_path / "none").frame()
    most = ht.apply(made.run, folder, out=tmp_path / "most", abstain=0.9).frame()
    assert not none["abstained"].any()
    assert most["abstained"].sum() > 0
    with pytest.raises(ht.ConfigError, match="abstain=1"):
        ht.apply(made.run, folder, out=tmp_path / "x", abstain=1.0)


class Bag(torch.nn.Module):
    def __init__(self, feature_dim: int, n_classes: int) -> None:
        super().__init__()
        self.head = torch.nn.Linear(feature_dim, n_classes)

    def forward(self, tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.head(tiles.mean(0)), torch.full((len(tiles),), 1 / len(tiles))


def other_bag() -> type:
    class Bag(torch.nn.Module):
        def __init__(self, feature_dim: int, n_classes: int) -> None:
            super().__init__()
            self.head = torch.nn.Linear(feature_dim, n_classes)

        def forward(self, tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.head(tiles.amax(0)), torch.full((len(tiles),), 1 / len(tiles))

    return Bag


@pytest.mark.parametrize("kind", ["own", "torchmil:DSMIL", "clam_mb", "max", "mean"])
def test_every_kind_of_bag_classifier_applies(made, write_bags, tmp_path, kind):
    train = {**made.config["train"], "epochs": 2, "repeats": 1, "final": False}
    config = {**made.config, "split": {"folds": 2}, "train": train}
    run = ht.mil(config, model=Bag if kind == "own" else {"kind": kind, "hidden_dim": 8}, out=tmp_path / "run")
    folder = write_bags(tmp_path / "new", NEW[:2], seed=1)
    frame = ht.apply(run, folder, out=tmp_path / "scores").frame()
    assert frame["probability"].between(0, 1).all()
    if kind != "own":
        return
    moved = tmp_path / "run" / "classifier" / "frozen"
    with pytest.raises(ht.ConfigError, match="give it in Python"):
        ht.load_classifier(moved)
    with pytest.raises(ht.ConfigError, match="another version"):
        ht.load_classifier(moved, model=other_bag())
    assert ht.load_classifier(moved, model=Bag).own is Bag


def test_three_classes_are_called_by_the_highest_probability(made, write_bags, bag_labels, tmp_path):
    names = [f"s{number}" for number in range(24)]
    labels = bag_labels(names).assign(label=[("a", "b", "c")[number // 2 % 3] for number in range(24)])
    config = {**made.config, "train": {"epochs": 2, "validation": 0}, "split": {"folds": 2}}
    run = ht.mil(config, labels=labels, out=tmp_path / "run")
    folder = write_bags(tmp_path / "new", NEW, seed=1)
    frame = ht.apply(run, folder, out=tmp_path / "scores").frame()
    columns = [f"probability_{name}" for name in "abc"]
    assert (frame["call"] == frame[columns].idxmax(axis=1).str[-1]).all()
    assert frame[[f"calibrated_{name}" for name in "abc"]].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    with pytest.raises(ht.ConfigError, match="of two classes"):
        ht.apply(run, folder, out=tmp_path / "x", operating_point="cost=2")


def test_a_run_of_several_sources_wants_one_named(made, tmp_path):
    config = {**made.config, "train": {"epochs": 1, "validation": 0}, "split": {"folds": 2}}
    sources = {"frozen": {}, "again": {"features": made.root / "bags"}, "both": {"concat": ["frozen", "again"]}}
    run = ht.mil(config, sources=sources, out=tmp_path / "run")
    with pytest.raises(ht.ConfigError, match="again, frozen; say which"):
        ht.load_classifier(run)
    with pytest.raises(ht.ConfigError, match="nearest: frozen"):
        ht.load_classifier(run, source="froze")
    with pytest.raises(ht.DataError, match="no such classifier directory"):
        ht.load_classifier(tmp_path / "nowhere")
    with pytest.raises(ht.DataError, match=r"classifier\.json is missing"):
        ht.load_classifier(made.root / "bags")


def test_scores_go_on_in_the_same_folder_with_another_operating_point(made, write_bags, tmp_path):
    folder = write_bags(tmp_path / "new", NEW, seed=1)
    ht.apply(made.run, folder, out=tmp_path / "scores")
    low = ht.apply(made.run, folder, out=tmp_path / "scores", operating_point={"threshold": 1e-6})
    assert set(low["call"]) == {"tumour"}
    other = write_bags(tmp_path / "others", NEW, seed=2)
    with pytest.raises(ht.ConfigError, match="differs in given"):
        ht.apply(made.run, other, out=tmp_path / "scores")


def test_the_directory_holds_no_name_of_a_patient_or_slide(made):
    text = "".join(path.read_text(errors="replace") for path in (made.run.folder / "classifier" / "frozen").glob("*.*"))
    assert not [name for name in ("s11", "p11", str(made.root)) if name in text]
    table = pd.read_csv(made.run.folder / "classifier" / "frozen" / "training.csv")
    assert len(table) == 24
    assert table["group"].nunique() == 12


def test_a_look_at_features_compares_what_they_say(made, write_bags, tmp_path):
    folder = write_bags(tmp_path / "new", NEW, seed=1)
    write_bags(folder, ["far"], seed=1, shift=3.0)
    write_bags(folder, ["other"], encoder_sha256="b" * 64)
    with pytest.raises(ht.ItemsFailedError, match="1 of 8") as failed:
        ht.look(made.run, folder, out=tmp_path / "out")
    health = failed.value.done
    said = health.frame().set_index("slide")["differs"]
    assert "tiles unlike training" in said["far"]
    assert sum("tiles unlike" in one for one in said) <= 2
    assert "the classifier takes" in health.failures["other"]
    assert any(one.startswith("stain: not compared") for one in health.not_known)


def test_a_look_by_a_directory_of_an_earlier_version_says_what_it_lacks(made, write_bags, tmp_path):
    moved = made.moved(tmp_path / "moved")
    table = pd.read_csv(moved / "training.csv")
    old = [name for name in table.columns if name not in COLUMNS]
    table[old].to_csv(moved / "training.csv", index=False)
    facts = json.loads((moved / "classifier.json").read_text())
    facts["files_sha256"]["training.csv"] = file_sha256(moved / "training.csv")
    (moved / "classifier.json").write_text(json.dumps(facts))
    health = ht.look(moved, write_bags(tmp_path / "new", NEW, seed=1), out=tmp_path / "out")
    assert "um per px: not compared" in health.not_known[0]


EDITS = {
    "licence": "MIT",
    "classes": ["x", "y"],
    "positive": "zzz",
    "trials": [["/etc"], [None]],
    "task": "other",
    "features": None,
    "calibration": {"method": "platt", "curves": [{"slope": 1.0}]},
    "reading": {"of": "slides"},
    "files_sha256": {},
    "final": "yes",
}


def test_facts_that_were_edited_are_refused_by_the_name_of_their_key(made, tmp_path):
    moved = made.moved(tmp_path / "moved")
    facts = json.loads((moved / "classifier.json").read_text())
    assert faults_of(facts) == ""
    for key, value in EDITS.items():
        (moved / "classifier.json").write_text(json.dumps(facts | {key: value}))
        with pytest.raises(ht.DataError, match={"files_sha256": "trials", "classes": "positive"}.get(key, key)):
            ht.load_classifier(moved)
    (moved / "classifier.json").write_text(json.dumps(facts | {"trials": facts["trials"][:1]}))
    with pytest.raises(ht.DataError, match="1 are listed, and there are weights of 2"):
        ht.load_classifier(moved)
