"""The comparison of feature sources: what is written, what is refused, and what a killed run resumes to."""

import csv
import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
from feature_meta import feature_meta

from hage_transfer.compare.null import null_in
from hage_transfer.compare.records import MEAN
from hage_transfer.data.feature_file import read_features, write_features
from hage_transfer.data.labels import LabelTable
from hage_transfer.errors import ConfigError, DataError, InputError, ItemsFailedError
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.probes.evaluate import evaluate_probes
from hage_transfer.probes.plan import plan_probe
from hage_transfer.running.run_directory import RunDirectory

CONFIG = ProbeConfig.model_validate({"split": {"folds": 3}, "train": {"batch_size": 16, "learning_rate": 0.02}})


def meta(sha256="a" * 64):
    return feature_meta("set", encoder_sha256=sha256, mpp_um_per_px=None)


@pytest.fixture
def labels():
    n = 90
    return LabelTable(
        keys=np.array([f"k{i}" for i in range(n)]),
        labels=np.array(["benign", "malignant"])[np.arange(n) % 2],
        groups=np.array([f"g{i // 5}" for i in range(n)]),
    )


def write(path, labels, *, signal=1.5, order=None, seed=0, sha256="a" * 64):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(len(labels), 4)).astype(np.float32)
    features[:, 0] += signal * labels.class_indices
    order = np.arange(len(labels)) if order is None else order
    write_features(path, features[order], meta(sha256), keys=labels.keys[order].tolist())
    return path


def evaluate(tmp_path, labels, sources, *, name="run", config=CONFIG, **options):
    files = {
        source: [path if isinstance(path, tuple) else (path,) for path in paths] for source, paths in sources.items()
    }
    return evaluate_probes(plan_probe(config, labels), files, run=RunDirectory.open(tmp_path / name, config), **options)


def with_more(**more):
    return ProbeConfig.model_validate(CONFIG.model_dump(exclude_unset=True) | more)


def test_evaluate_probes_tells_signal_from_noise(tmp_path, labels):
    sources = {
        "signal": [write(tmp_path / "a.h5", labels, signal=4)],
        "noise": [write(tmp_path / "b.h5", labels, signal=0)],
    }
    results = evaluate(tmp_path, labels, sources)
    assert results.value(source="signal", fold=MEAN, metric="auc") > 0.95
    assert 0.25 < results.value(source="noise", fold=MEAN, metric="auc") < 0.75
    assert results.meta["positive"] == "malignant"


def test_evaluate_probes_count_the_classes_of_the_tested_rows(tmp_path, labels):
    parts = np.where(np.arange(90) < 60, "train", "test")
    malignant = (np.arange(90) % 2 == 1) & (np.arange(90) < 80)
    official = LabelTable(
        keys=np.array([f"{part}/{row}" for row, part in enumerate(parts)]),
        labels=np.where(malignant, "malignant", "benign"),
        groups=labels.groups,
    )
    config = with_more(split={"mode": "official"})
    results = evaluate(tmp_path, official, {"frozen": [write(tmp_path / "a.h5", official)]}, config=config)
    assert results.meta["class_counts"] == {"benign": 50, "malignant": 40}
    assert results.meta["test_class_counts"] == {"benign": 20, "malignant": 10}


def test_a_run_that_ends_between_its_tables_and_its_results_leaves_no_old_results(tmp_path, labels, monkeypatch):
    path = write(tmp_path / "a.h5", labels)
    evaluate(tmp_path, labels, {"frozen": [path]}).save(tmp_path / "run" / "results.json")
    write(path, labels, signal=4, sha256="b" * 64)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hage_transfer.compare.cross_validation.source_intervals", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path, labels, {"frozen": [path]})
    assert (tmp_path / "run" / "predictions.csv").exists()
    assert not (tmp_path / "run" / "results.json").exists()


def test_evaluate_probes_write_every_row_out_of_fold_once(tmp_path, labels):
    evaluate(tmp_path, labels, {"frozen": [write(tmp_path / "a.h5", labels)]})
    with (tmp_path / "run" / "predictions.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["key"] for row in rows] == labels.keys.tolist()
    assert [row["label"] for row in rows] == labels.labels.tolist()
    for name in {row["fold"] for row in rows}:
        with (tmp_path / "run" / "splits" / f"splits_{name}.csv").open(newline="") as handle:
            tested = {row["test"] for row in csv.DictReader(handle)} - {""}
        assert tested == {row["key"] for row in rows if row["fold"] == name}


def test_evaluate_probes_average_trials(tmp_path, labels):
    paths = [write(tmp_path / f"{k}.h5", labels, seed=k, sha256=str(k) * 64) for k in range(2)]
    results = evaluate(tmp_path, labels, {"frozen": paths[:1], "hage": paths})
    assert {r.trial for r in results.select(source="frozen")} == {None}
    values = [results.value(source="hage", fold=MEAN, metric="auc", trial=trial) for trial in (0, 1)]
    assert results.value(source="hage", fold=MEAN, metric="auc", trial=None) == pytest.approx(np.mean(values))
    frozen = results.select(source="frozen", metric="auc", fold="0")[0]
    assert frozen.value == results.value(source="hage", metric="auc", fold="0", trial=0)


def test_evaluate_probes_match_rows_by_key(tmp_path, labels):
    order = np.random.default_rng(1).permutation(len(labels))
    results = evaluate(
        tmp_path,
        labels,
        {"one": [write(tmp_path / "a.h5", labels)], "other": [write(tmp_path / "b.h5", labels, order=order)]},
    )
    one, other = (results.value(source=name, fold=MEAN, metric="auc") for name in ("one", "other"))
    assert one == pytest.approx(other, abs=1e-6)


def numbers(results):
    return json.dumps([vars(record) for record in results.records])


def test_evaluate_probes_resume_to_the_same_numbers(tmp_path, labels):
    sources = {name: [write(tmp_path / f"{name}.h5", labels, seed=k)] for k, name in enumerate("ab")}
    whole = evaluate(tmp_path, labels, sources, name="whole")
    evaluate(tmp_path, labels, {"a": sources["a"]}, name="resumed")
    (kept,) = (tmp_path / "resumed" / "jobs").rglob("*.npy")
    before = kept.stat().st_mtime_ns
    assert numbers(evaluate(tmp_path, labels, sources, name="resumed")) == numbers(whole)
    assert kept.stat().st_mtime_ns == before


@pytest.mark.slow
def test_evaluate_probes_give_the_same_numbers_over_processes(tmp_path, labels):
    sources = {name: [write(tmp_path / f"{name}.h5", labels, seed=k)] for k, name in enumerate("ab")}
    one, two = (evaluate(tmp_path, labels, sources, name=f"run_{n_jobs}", n_jobs=n_jobs) for n_jobs in (1, 2))
    assert numbers(one) == numbers(two)


def test_evaluate_probes_do_not_reuse_the_job_of_another_encoder(tmp_path, labels):
    path = write(tmp_path / "a.h5", labels, signal=0)
    before = evaluate(tmp_path, labels, {"hage": [path]})
    write(path, labels, signal=4, sha256="b" * 64)
    after = evaluate(tmp_path, labels, {"hage": [path]})
    assert after.value(fold=MEAN, metric="auc") > before.value(fold=MEAN, metric="auc") + 0.1


def test_evaluate_probes_count_keys_that_do_not_match(tmp_path, labels):
    path = tmp_path / "a.h5"
    write_features(path, np.ones((3, 4), np.float32), meta(), keys=["k0", "k1", "other"])
    with pytest.raises(InputError, match=r"88 of 90 labelled keys are missing \(first: k2\), 1 have no label"):
        evaluate(tmp_path, labels, {"frozen": [path]})


def test_evaluate_probes_list_one_failed_source_and_do_the_rest(tmp_path, labels):
    wrong = tmp_path / "wrong.h5"
    write_features(wrong, np.ones((3, 4), np.float32), meta(), keys=["k0", "k1", "other"])
    with pytest.raises(ItemsFailedError, match="1 of 2 jobs failed"):
        evaluate(tmp_path, labels, {"wrong": [wrong], "right": [write(tmp_path / "a.h5", labels)]})
    assert "wrong trial 0" in (tmp_path / "run" / "failures.csv").read_text()
    assert list((tmp_path / "run" / "jobs" / "right").iterdir())


def test_evaluate_probes_name_a_missing_feature_file(tmp_path, labels):
    with pytest.raises(DataError, match="no such feature file"):
        evaluate(tmp_path, labels, {"frozen": [tmp_path / "nowhere.h5"]})


def test_evaluate_probes_refuse_an_unknown_positive_class(tmp_path, labels):
    config = CONFIG.model_copy(update={"positive": "tumour"})
    with pytest.raises(ConfigError, match="the labels are benign, malignant"):
        evaluate(tmp_path, labels, {"frozen": [write(tmp_path / "a.h5", labels)]}, config=config)


def test_evaluate_probes_of_columns_side_by_side_equal_those_of_one_wide_file(tmp_path, labels):
    parts = [write(tmp_path / f"{k}.h5", labels, seed=k, signal=k + 1) for k in range(2)]
    wide = np.concatenate([read_features(path).features for path in parts], axis=1)
    write_features(tmp_path / "wide.h5", wide, meta(), keys=labels.keys.tolist())
    results = evaluate(tmp_path, labels, {"one": [tmp_path / "wide.h5"], "two": [tuple(parts)]})
    for record in results.select(source="one"):
        assert record.value == results.value(source="two", fold=record.fold, metric=record.metric)


def test_evaluate_probes_streamed_equal_those_in_memory(tmp_path, labels):
    order = np.random.default_rng(1).permutation(len(labels))
    sources = {"frozen": [write(tmp_path / "a.h5", labels, order=order)]}
    config = with_more(cross_checks={"classifiers": ["logistic", "knn", "class_mean"]})
    streaming = config.model_copy(update={"memory_gib": 0.0})
    one, other = (
        evaluate(tmp_path, labels, sources, name=name, config=given)
        for name, given in (("memory", config), ("streamed", streaming))
    )
    assert numbers(one) == numbers(other)
    assert one.meta["cross_checks"] == other.meta["cross_checks"]


def test_evaluate_probes_put_other_classifiers_beside_the_linear_one(tmp_path, labels):
    sources = {"signal": [write(tmp_path / "a.h5", labels, signal=4)]}
    config = with_more(cross_checks={"classifiers": ["logistic", "knn", "class_mean"]})
    results = evaluate(tmp_path, labels, sources, config=config)
    found = {row["classifier"]: row["mean"] for row in results.meta["cross_checks"] if row["metric"] == "auc"}
    assert list(found) == ["linear", "logistic", "knn", "class_mean"]
    assert found["linear"] == results.value(source="signal", fold=MEAN, metric="auc")
    assert min(found.values()) > 0.9


def test_evaluate_probes_learn_more_from_more_labels(tmp_path, labels):
    sources = {name: [write(tmp_path / f"{name}.h5", labels, signal=2)] for name in ("a", "b")}
    config = with_more(learning_curve={"shares": [0.1], "per_class": [2], "draws": 6, "unit": "row"})
    curve = evaluate(tmp_path, labels, sources, config=config).meta["learning_curve"]
    means = {
        amount: np.mean([row["value"] for row in curve if (row["amount"], row["metric"]) == (amount, "auc")])
        for amount in ("2 a class", "10%", "all")
    }
    assert means["2 a class"] < means["all"]
    assert means["10%"] < means["all"]
    assert {(row["amount"], row["labels"]) for row in curve} >= {("10%", 6), ("2 a class", 4)}
    of_sources = [[row | {"source": ""} for row in curve if row["source"] == name] for name in ("a", "b")]
    assert of_sources[0] == of_sources[1]  # the same features under two names: the same draws


def test_evaluate_probes_with_all_labels_do_not_depend_on_a_curve_beside_them(tmp_path, labels):
    sources = {"frozen": [write(tmp_path / "a.h5", labels)]}
    alone = evaluate(tmp_path, labels, sources, name="alone")
    beside = evaluate(
        tmp_path, labels, sources, name="beside", config=with_more(learning_curve={"shares": [0.2], "draws": 2})
    )
    for one, other in zip(alone.records, beside.records, strict=True):
        assert one.value == pytest.approx(other.value, abs=1e-6)


def test_evaluate_probes_of_an_official_split_keep_validation_apart(tmp_path, labels):
    parts = np.array(["train", "valid", "test"])[np.arange(len(labels)) // 5 % 3]
    keys = np.array([f"{part}/{key}" for part, key in zip(parts, labels.keys, strict=True)])
    official = replace(labels, keys=keys)
    config = with_more(split={"mode": "official"})
    results = evaluate(tmp_path, official, {"frozen": [write(tmp_path / "a.h5", official, signal=4)]}, config=config)
    assert {(record.split, record.fold) for record in results.records} == {
        (split, fold) for split in ("test", "validation") for fold in ("official", MEAN)
    }
    with (tmp_path / "run" / "predictions.csv").open(newline="") as handle:
        assert {row["key"].partition("/")[0] for row in csv.DictReader(handle)} == {"test"}


def test_evaluate_probes_name_a_row_that_holds_nan(tmp_path, labels):
    path = write(tmp_path / "a.h5", labels)
    with h5py.File(path, "r+") as file:
        file["features"][17, 2] = np.nan
    with pytest.raises(InputError, match=r"a\.h5: row 17 holds NaN"):
        evaluate(tmp_path, labels, {"frozen": [path]})


def test_evaluate_probes_do_a_damaged_job_again(tmp_path, labels):
    sources = {"a": [write(tmp_path / "a.h5", labels)]}
    whole = evaluate(tmp_path, labels, sources)
    (kept,) = (tmp_path / "run" / "jobs").rglob("*.npy")
    kept.write_bytes(kept.read_bytes()[:100])
    assert numbers(evaluate(tmp_path, labels, sources)) == numbers(whole)


def test_evaluate_probes_that_diverge_say_so_and_leave_no_job(tmp_path, labels):
    config = with_more(train={"learning_rate": 100, "batch_size": 16, "standardise": False})
    path = tmp_path / "a.h5"
    features = np.random.default_rng(0).normal(size=(len(labels), 4)).astype(np.float32) * 3e37
    write_features(path, features, meta(), keys=labels.keys.tolist())
    with pytest.raises(InputError, match=r"training diverged .*; lower train\.learning_rate"):
        evaluate(tmp_path, labels, {"a": [path]}, config=config)
    assert not list((tmp_path / "run" / "jobs").rglob("*.npy"))


@pytest.mark.slow
def test_repeats_of_the_folds_narrow_the_interval_and_leave_the_first_folds_as_they_were(tmp_path, labels):
    sources = {
        "frozen": [write(tmp_path / "a.h5", labels, signal=1)],
        "hage": [write(tmp_path / "b.h5", labels, signal=1, seed=1)],
    }
    more = {"cross_checks": {"classifiers": ["class_mean"]}, "learning_curve": {"shares": [0.5], "draws": 1}}
    once = evaluate(tmp_path, labels, sources, name="once", config=with_more(**more))
    config = with_more(split={"folds": 3, "repeats": 4}, **more)
    results = evaluate(tmp_path, labels, sources, name="repeated", config=config)
    assert evaluate(tmp_path, labels, sources, name="repeated", config=config) == results
    for source in sources:
        found, first = (one.fold_values(source, "auc") for one in (results, once))
        assert list(found) == [str(k) for k in range(12)]
        assert len({found[str(k)] for k in range(0, 12, 3)}) > 1
        assert [found[fold] for fold in first] == pytest.approx(list(first.values()), abs=1e-6)
    difference = results.compare("hage", "frozen")
    assert (difference.folds, difference.freedom) == (12, 2)
    assert difference.standard_error == pytest.approx(difference.std * np.sqrt(1 / 12 + 1 / 2), rel=1e-3)
    assert results.meta["rows"] == len(labels)
    curve = [row for row in results.meta["learning_curve"] if row["amount"] == "50%" and row["metric"] == "auc"]
    assert [row["fold"] for row in curve if row["source"] == "hage"] == [str(k) for k in range(12)]
    with (tmp_path / "repeated" / "predictions.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 2 * 4 * len(labels)
    assert (tmp_path / "repeated" / "splits" / "splits_11.csv").is_file()


def test_null_copies_are_equal_and_say_what_the_folds_can_show(tmp_path, labels):
    sources = {"frozen": [write(tmp_path / "a.h5", labels, signal=1)]}
    plain = evaluate(tmp_path, labels, sources)
    results = evaluate(tmp_path, labels, sources, config=with_more(null=6))  # the same folder: nothing else changes
    assert results.records == plain.records
    found = null_in(results)
    assert (found.copies, found.pairs, found.folds, found.rows) == (6, 15, 3, len(labels))
    assert 0 <= found.false_alarms < 0.4
    assert found.detectable is None  # three folds show little
    assert 0 < found.shown < 0.8
    said = f"90 rows in 3 folds show no difference in AUC with power 0.8: one of perfect scores in {found.shown:.0%}"
    assert said in found.sentence()
    assert evaluate(tmp_path, labels, sources, config=with_more(null=6)) == results
