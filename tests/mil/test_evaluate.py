"""The comparison of slide features: folds, what is written, and what a killed run resumes to."""

import csv
import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from hage_transfer.compare.null import null_in, null_of
from hage_transfer.compare.records import MEAN
from hage_transfer.compare.results import Results
from hage_transfer.compare.split_sizes import sizes_of
from hage_transfer.errors import InputError, SplitError
from hage_transfer.mil.bags import open_bags
from hage_transfer.mil.checkpoint import fold_models, read_fold_model
from hage_transfer.mil.config import MilConfig, MilSplitSettings
from hage_transfer.mil.evaluate import evaluate_mil
from hage_transfer.mil.folds import mil_folds
from hage_transfer.mil.plan import plan_mil
from hage_transfer.running.run_directory import RunDirectory

CONFIG = MilConfig.model_validate(
    {
        "data": {"layout": "features", "labels": "labels.csv"},
        "split": {"folds": 3},
        "model": {"hidden_dim": 16, "attention_dim": 8},
        "train": {"epochs": 12, "min_epochs": 8, "patience": 3, "bags_per_step": 4, "learning_rate": 5e-3},
    }
)


SHORT = CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update={"epochs": 3, "min_epochs": 2})})


def evaluate(tmp_path, labels, sources, *, name="run", config=SHORT, **options):
    return evaluate_mil(plan_mil(config, labels), sources, run=RunDirectory.open(tmp_path / name, config), **options)


def test_evaluate_mil_finds_the_needle_and_writes_each_slide_once(tmp_path, slides):
    folder, labels = slides
    results = evaluate(tmp_path, labels, {"frozen": [(folder,)]}, config=CONFIG)
    assert results.value(source="frozen", fold=MEAN, metric="auc") > 0.9
    with (tmp_path / "run" / "predictions.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["slide"] for row in rows] == labels.keys.tolist()
    with (tmp_path / "run" / "splits" / "splits_1.csv").open(newline="") as handle:
        sides = list(csv.DictReader(handle))
    names = [row[side] for side in ("train", "val", "test") for row in sides if row[side]]
    assert sorted(names) == sorted(labels.keys.tolist())
    assert {row["test"] for row in sides} - {""} == {row["slide"] for row in rows if row["fold"] == "1"}


def test_mil_folds_keep_patients_on_one_of_three_sides(slides):
    _, labels = slides
    for fold in mil_folds(CONFIG, labels):
        sides = [set(labels.groups[rows]) for rows in (fold.train, fold.validation, fold.test)]
        assert sum(map(len, sides)) == len(set(labels.groups))
        assert len(fold.validation)


def test_mil_folds_refuse_groups_that_are_not_there(slides):
    with pytest.raises(SplitError, match="give a group \\(patient, slide\\) to each slide"):
        mil_folds(CONFIG, replace(slides[1], groups=None))


def test_mil_folds_refuse_one_class(slides):
    _, labels = slides
    with pytest.raises(SplitError, match="all 60 rows are of class tumour"):
        mil_folds(CONFIG, replace(labels, labels=np.full(60, "tumour")))


def numbers(results):
    return json.dumps([vars(record) for record in results.records])


def test_evaluate_mil_resumes_to_the_same_numbers(tmp_path, some_slides):
    folder, labels = some_slides
    whole = evaluate(tmp_path, labels, {"frozen": [(folder,)]})
    done = sorted((tmp_path / "run" / "jobs").rglob("*.json"))
    kept = done[0].stat().st_mtime_ns
    for path in done[1:]:
        path.unlink()
    assert numbers(evaluate(tmp_path, labels, {"frozen": [(folder,)]})) == numbers(whole)
    assert done[0].stat().st_mtime_ns == kept


@pytest.mark.slow
def test_evaluate_mil_gives_the_same_numbers_over_processes(tmp_path, some_slides):
    folder, labels = some_slides
    one, two = (
        evaluate(tmp_path, labels, {"frozen": [(folder,)]}, name=f"run_{n_jobs}", n_jobs=n_jobs) for n_jobs in (1, 2)
    )
    assert numbers(one) == numbers(two)


def test_evaluate_mil_names_the_file_that_holds_nan(tmp_path, some_slides):
    folder, labels = some_slides
    with h5py.File(folder / "s2.h5", "r+") as file:
        file["features"][1, 1] = np.nan
    with pytest.raises(InputError, match=r"s2\.h5: 1 of \d+ rows hold NaN"):
        evaluate(tmp_path, labels, {"frozen": [(folder,)]})


@pytest.mark.slow
def test_evaluate_mil_puts_sources_side_by_side(tmp_path, slides, write_slide):
    folder, labels = slides
    noise = np.random.default_rng(0)
    bags = open_bags(folder, labels)
    for bag, slide in enumerate(bags.slides):
        write_slide(tmp_path / "noise", slide, noise.normal(size=(bags.n_tiles[bag], 4)))
    other = tmp_path / "noise"
    sources = {"noise": [(other,)], "both": [(other, folder)]}
    results = evaluate(tmp_path, labels, sources, config=CONFIG)
    assert results.value(source="both", fold=MEAN, metric="auc") > 0.9
    assert results.value(source="noise", fold=MEAN, metric="auc") < 0.8
    assert read_fold_model(tmp_path / "run", source="both", trial=0, fold="2").mean.shape == (12,)


@pytest.mark.slow
def test_evaluate_mil_trains_repeats_with_seeds_of_their_own(tmp_path, some_slides):
    folder, labels = some_slides
    quick = {"epochs": 2, "min_epochs": 0}

    def run(name, seed, repeats):
        train = CONFIG.train.model_copy(update={**quick, "repeats": repeats})
        config = CONFIG.model_copy(update={"train": train, "seed": seed})
        evaluate(tmp_path, labels, {"frozen": [(folder,)] * repeats}, name=name, config=config)
        models = [
            read_fold_model(tmp_path / name, source="frozen", trial=trial, fold="1").model for trial in range(repeats)
        ]
        return [model.score.weight for model in models]

    repeats = run("repeats", 5, 3)
    for trial, weight in enumerate(repeats):
        torch.testing.assert_close(weight, run(f"seed_{5 + trial}", 5 + trial, 1)[0])
    assert not torch.equal(repeats[0], repeats[1])


def test_evaluate_mil_averages_repeats_in_each_fold(tmp_path, some_slides):
    folder, labels = some_slides
    train = CONFIG.train.model_copy(update={"epochs": 2, "min_epochs": 0, "repeats": 2})
    config = CONFIG.model_copy(update={"train": train})
    results = evaluate(tmp_path, labels, {"frozen": [(folder,)] * 2}, config=config)
    assert results.meta["repeats"] == 2
    assert len(results.meta["features"]["frozen"]) == 1
    found = {
        (record.fold, record.trial): record.value
        for record in results.records
        if record.metric == "auc" and record.split == "test"
    }
    for fold in ("0", "1", "2"):
        assert found[fold, None] == pytest.approx((found[fold, 0] + found[fold, 1]) / 2)


def test_evaluate_mil_counts_each_test_of_overlapping_draws(tmp_path, slides):
    folder, labels = slides
    split = MilSplitSettings(folds=4, mode="monte_carlo", test_share=0.4)
    config = CONFIG.model_copy(update={"split": split})
    results = evaluate(tmp_path, labels, {"frozen": [(folder,)]}, config=config)
    folds = mil_folds(config, labels)
    with (tmp_path / "run" / "predictions.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    for fold in folds:
        tested = [row["slide"] for row in rows if row["fold"] == fold.name]
        assert sorted(tested) == sorted(labels.keys[fold.test].tolist())
    assert results.meta["rows"] == 60
    assert results.meta["tests_per_slide"] > 1
    assert "test parts overlap" in results.meta["warnings"][0]
    assert results.value(source="frozen", fold=MEAN, metric="auc") > 0.85


def test_evaluate_mil_writes_models_that_predict_as_the_run_did(tmp_path, some_slides):
    folder, labels = some_slides
    evaluate(tmp_path, labels, {"frozen": [(folder,)]})
    bags = open_bags(folder, labels)
    with (tmp_path / "run" / "predictions.csv").open(newline="") as handle:
        rows = {row["slide"]: row for row in csv.DictReader(handle)}
    for model in fold_models(tmp_path / "run", source="frozen"):
        for bag, slide in enumerate(bags.slides):
            if rows[slide]["fold"] == model.fold:
                share = model(torch.from_numpy(bags.load(bag))).logits.softmax(1)[0, 1]
                assert float(rows[slide]["probability_tumour"]) == pytest.approx(float(share), abs=1e-5)


@pytest.mark.slow
def test_evaluate_mil_trains_again_where_models_are_of_other_labels(tmp_path, some_slides):
    folder, labels = some_slides
    first = evaluate(tmp_path, labels, {"frozen": [(folder,)]})
    path = tmp_path / "run" / "models" / "frozen" / "trial_0" / "fold_0.safetensors"
    before = path.read_bytes()
    others = replace(labels, labels=labels.labels[::-1].copy())
    evaluate(tmp_path, others, {"frozen": [(folder,)]})
    assert path.read_bytes() != before
    assert numbers(evaluate(tmp_path, labels, {"frozen": [(folder,)]})) == numbers(first)
    assert path.read_bytes() == before


def test_evaluate_mil_leaves_no_model_or_split_that_the_run_has_no_more(tmp_path, some_slides):
    folder, labels = some_slides
    evaluate(tmp_path, labels, {"frozen": [(folder,)], "other": [(folder,)]})
    stale = tmp_path / "run" / "splits" / "splits_9.csv"
    stale.write_text("")
    evaluate(tmp_path, labels, {"frozen": [(folder,)]})
    assert not stale.exists()
    kept = {path.parent.parent.name for path in (tmp_path / "run" / "models").rglob("*.safetensors")}
    assert kept == {"frozen"}


def test_evaluate_mil_does_a_damaged_job_again(tmp_path, some_slides, caplog):
    folder, labels = some_slides
    config = CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update={"epochs": 1})})
    wanted = evaluate(tmp_path, labels, {"frozen": [(folder,)]}, config=config)
    (done,) = (tmp_path / "run" / "jobs").rglob("*.json")
    for damage in (b"", b"[1]", b'{"0": {}}', b"\xff"):
        caplog.clear()
        done.write_bytes(damage)
        again = evaluate(tmp_path, labels, {"frozen": [(folder,)]}, config=config)
        assert again.records == wanted.records
        assert "done again" in caplog.text


@pytest.mark.parametrize("is_changed", [False, True])
def test_evaluate_mil_keeps_tables_of_heatmaps_only_of_the_models_that_it_has(tmp_path, some_slides, is_changed):
    folder, labels = some_slides
    config = CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update={"epochs": 1})})
    evaluate(tmp_path, labels, {"frozen": [(folder,)]}, config=config)
    tables = tmp_path / "run" / "heatmaps" / "frozen"
    (tables / "s0").mkdir(parents=True)
    for name in ("slides.csv", "genes.csv", "s0/heatmap.json"):
        (tables / name).write_text("")
    if is_changed:
        with h5py.File(folder / "s0.h5", "r+") as file:
            file["features"][0] += 1
    evaluate(tmp_path, labels, {"frozen": [(folder,)]}, config=config)
    assert (tables / "slides.csv").is_file() == (tables / "genes.csv").is_file() == (not is_changed)
    assert (tables / "s0" / "heatmap.json").is_file()


def test_evaluate_mil_that_diverges_says_so_and_keeps_no_model(tmp_path, some_slides):
    folder, labels = some_slides
    config = CONFIG.model_copy(update={"train": CONFIG.train.model_copy(update={"learning_rate": 1e30})})
    with pytest.raises(InputError, match=r"training diverged .* lower train\.learning_rate"):
        evaluate(tmp_path, labels, {"frozen": [(folder,)]}, config=config)
    assert not list((tmp_path / "run").rglob("fold_*.safetensors"))


@pytest.mark.slow
def test_null_copies_of_bags_are_equal_and_say_what_the_folds_can_show(tmp_path, slides):
    folder, labels = slides
    train = CONFIG.train.model_copy(update={"epochs": 4, "min_epochs": 2})
    config = CONFIG.model_copy(update={"null": 4, "train": train})
    results = evaluate(tmp_path, labels, {"frozen": [(folder,)]}, config=config)
    assert results.sources == ["frozen"]  # the copies stand in the meta alone
    found = null_in(results)
    assert (found.copies, found.pairs, found.folds, found.rows) == (4, 6, 3, len(labels))
    copies = Results.load(tmp_path / "run" / "null" / "run" / "results.json")
    values = [copies.fold_values("copy", "auc", trial=trial) for trial in range(4)]
    assert len({tuple(one.values()) for one in values}) > 1  # trained apart, on features of their own
    assert found == null_of(values, sizes_of(copies.meta, values[0]), metric="auc", rows=len(labels))
    assert "slides in 3 folds" in found.sentence("slides")
    made = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "run" / "null").rglob("*.json") if "jobs" in path.parts
    }
    assert null_in(evaluate(tmp_path, labels, {"frozen": [(folder,)]}, config=config)) == found
    assert made
    assert all(path.stat().st_mtime_ns == before for path, before in made.items())  # a second run trains nothing
    more = evaluate(tmp_path, labels, {"frozen": [(folder,)]}, config=config.model_copy(update={"null": 5}))
    assert null_in(more).copies == 5  # and a larger one trains what is new
    assert all(path.stat().st_mtime_ns == before for path, before in made.items())
