import gzip
import math
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from sampled import sampled
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hage_transfer import GeneInformedEncoder, Results, open_encoder
from hage_transfer.compare.genes import gene_pcc, pcc_mean
from hage_transfer.data.feature_file import read_features, write_features
from hage_transfer.errors import DataError, InputError
from hage_transfer.pretrain.config import BAGGED_NAMES, BASELINE_NAMES, PretrainConfig
from hage_transfer.pretrain.folds import validation_split
from hage_transfer.pretrain.inputs import fold_inputs, read_inputs
from hage_transfer.pretrain.run import pretrain
from hage_transfer.pretrain.train import trial_seed
from hage_transfer.running.run_directory import RunDirectory

BAGGED = {f"{name}{suffix}" for name in BAGGED_NAMES for suffix in ("", "_averaged")}
METHODS = {"hage", "hage_averaged", *BASELINE_NAMES, *BAGGED, "gene_mean", "gene_median", "all_zero", "spot_depth"}


def run(config: PretrainConfig, out: Path) -> Results:
    return pretrain(config, read_inputs(config), RunDirectory.open(out, config), device="cpu")


def one_fold(config: PretrainConfig, **changes: object) -> PretrainConfig:
    split, train = config.split.model_copy(update={"held_out": ("A",)}), config.train.model_copy(update={"epochs": 2})
    return config.model_copy(update={"trials": 1, "split": split, "train": train, **changes})


def change_counts(root: Path, section: str) -> None:
    path = root / "ST-cnts" / f"{section}.tsv.gz"
    table = pd.read_csv(path, sep="\t", index_col=0)
    with gzip.open(path, "wt") as file:
        (table.iloc[::-1].set_axis(table.index) * 3).to_csv(file, sep="\t")


@pytest.mark.slow
def test_run_scores_every_method_on_every_fold_and_section(config, tmp_path):
    results = run(config, tmp_path / "run")
    assert {record.source for record in results.records} == METHODS
    for fold, sections in (("A", ["A2", "A3"]), ("B", ["B1", "B2"])):
        for source in METHODS:
            found = {r.section for r in results.select(source=source, fold=fold, metric="pcc_all", trial=None)}
            assert found == {None, *sections}
    assert len(results.select(source="hage", fold="A", metric="pcc_all", section=None)) == 3  # two trials, their mean
    assert Results.load(tmp_path / "run" / "results.json") == Results(list(results.records), results.meta)


@pytest.mark.slow
def test_run_learns_what_the_features_show_and_nothing_from_noise(config, tmp_path):
    config = one_fold(config, train=config.train)
    learned = run(config, tmp_path / "run")
    assert learned.value(source="hage_averaged", metric="pcc_all", fold="A", section=None) > 0.35
    for name in config.data.sections or ():
        path = config.features / f"{name}.h5"
        features = read_features(path)
        noise = np.random.default_rng(5).normal(size=features.features.shape).astype(np.float32)
        write_features(path, noise, features.meta, keys=features.keys)
    noise_run = run(config, tmp_path / "noise")
    assert abs(noise_run.value(source="hage_averaged", metric="pcc_all", fold="A", section=None)) < 0.1


def test_held_out_counts_do_not_reach_the_encoder(config, data_root, tmp_path):
    run(one_fold(config), tmp_path / "before")
    change_counts(data_root, "A2")
    run(one_fold(config), tmp_path / "after")
    weights = [tmp_path / name / "encoders/A/trial_0/model.safetensors" for name in ("before", "after")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.slow
def test_training_counts_do_reach_the_encoder(config, data_root, tmp_path):
    """The control of the test above: it could fail."""
    run(one_fold(config), tmp_path / "before")
    change_counts(data_root, "B1")
    run(one_fold(config), tmp_path / "after")
    weights = [tmp_path / name / "encoders/A/trial_0/model.safetensors" for name in ("before", "after")]
    assert weights[0].read_bytes() != weights[1].read_bytes()


@pytest.mark.slow
def test_a_run_that_lost_jobs_resumes_to_the_same_results(config, tmp_path):
    whole = run(config, tmp_path / "run")
    for lost in ("jobs/A/trial_1-*.h5", "jobs/B/scores-*.json", "encoders/A/trial_1/model.safetensors", "results.json"):
        (found,) = (tmp_path / "run").glob(lost)
        found.unlink()
    resumed = run(config, tmp_path / "run")
    assert resumed == whole


def test_run_leaves_what_transfer_and_maps_need(config, tmp_path):
    settings = one_fold(config)
    results = run(settings, tmp_path / "run")
    encoder = GeneInformedEncoder.from_pretrained(tmp_path / "run" / "encoder")
    assert (encoder.feature_dim, encoder.embed_dim) == (12, 32)
    assert encoder.card["held_out_sections"] == ["A2", "A3"]
    assert encoder.card["frozen_encoder_licence"] == "Apache-2.0"
    predictions = anndata.read_h5ad(tmp_path / "run" / "predictions" / "A.h5ad")
    assert predictions.shape == (128, len(encoder.card["panel"]))
    error = np.mean((predictions.X - predictions.layers["target"]) ** 2)
    assert error == pytest.approx(
        results.value(source="hage_averaged", metric="mse_calibrated", fold="A", section=None), rel=1e-5
    )
    curves = pd.read_csv(tmp_path / "run" / "curves.csv")
    chance = curves[curves["term"] == "train/clip_local_chance"]["value"]
    assert chance.max() == pytest.approx(math.log(32), rel=0.1)
    assert {f"train/{t}" for t in ("cyclip", "clip_local", "clip_global", "pcc", "total")} <= set(curves["term"])
    assert list((tmp_path / "run" / "tensorboard" / "A" / "trial_0").glob("events.*"))


@pytest.mark.slow
def test_variants_and_compared_systems_are_scored_beside_hage(config, tmp_path):
    changes = {"no_ge": {"model.gene_informed": False}, "same": {"loss.pcc": config.loss.pcc}}
    settings = PretrainConfig.model_validate(
        {**one_fold(config).model_dump(), "methods": ("hage", "knn", "stnet"), "variants": changes, "trials": 2}
    )
    results = run(settings, tmp_path / "run")
    sources = {"no_ge", "no_ge_averaged", "same", "same_averaged", "knn", "stnet", "stnet_averaged"}
    assert {record.source for record in results.records} == METHODS | sources
    found = {(one["source"], one["metric"]): one for one in results.meta["differences"]}
    assert found["same", "pcc_all"]["mean"] == 0
    assert (found["no_ge", "pcc_all"]["n_pairs"], found["no_ge", "pcc_all"]["mean"] != 0) == (2, True)
    values = [results.value(source="no_ge", metric="pcc_all", fold="A", trial=t, section=None) for t in (0, 1)]
    hage = [results.value(source="hage", metric="pcc_all", fold="A", trial=t, section=None) for t in (0, 1)]
    assert found["no_ge", "pcc_all"]["mean"] == pytest.approx(np.mean(values) - np.mean(hage))
    assert GeneInformedEncoder.from_pretrained(tmp_path / "run/variants/no_ge/A/trial_0").gene_embeddings is None
    assert open_encoder(tmp_path / "run/systems/stnet/A/trial_1").card["made_by"] == "stnet"


def test_a_run_of_compared_systems_alone_needs_no_hage(config, tmp_path):
    settings = one_fold(config, methods=("knn",))
    results = run(settings, tmp_path / "run")
    assert {"knn", "ridge", "gene_mean"} <= {record.source for record in results.records}
    assert not (tmp_path / "run" / "encoder").exists()


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"a": {"preset": "spot_ln"}}, "may not change preset"),
        ({"a": {"model.embed_dims": 3}}, r"unknown key model.embed_dims \(nearest valid key: model.embed_dim\)"),
        ({"a": {"model.embed_dim": -1}}, "model.embed_dim"),
        ({"ridge_averaged": {"loss.pcc": 1}}, "give another"),
        ({"knn": {"loss.pcc": 1}}, "give another"),
        ({"ridge": {"loss.pcc": 1}}, "give another"),
        ({"spot_depth": {"loss.pcc": 1}}, "give another"),
        ({"my_zero_shot": {"loss.pcc": 1}}, "give another"),
    ],
)
def test_a_variant_that_cannot_be_trained_is_refused_by_name(config, variants, message):
    with pytest.raises(ValueError, match=message):
        PretrainConfig.model_validate({**config.model_dump(), "variants": variants})


def test_meta_says_what_the_numbers_depend_on(config, tmp_path):
    meta = run(one_fold(config, heg_from="test", methods=("knn",)), tmp_path / "run").meta
    assert (meta["preset"], meta["split_unit"]) == ("spot_log10", "patient")
    assert "test" in meta["heg_rule"]
    assert meta["folds"]["A"] == {"train": ["B1", "B2"], "test": ["A2", "A3"]}
    assert meta["ridge_alpha"]["A"] >= 1


def test_bagged_ridges_are_fitted_on_the_spots_that_the_trials_train_on(config, tmp_path):
    config = one_fold(config, trials=2, train=config.train.model_copy(update={"epochs": 1}))
    results = run(config, tmp_path / "run")
    inputs = read_inputs(config)
    data = fold_inputs(inputs, inputs.folds[0], config, run=tmp_path / "run").data(config.preset)
    rows = [validation_split(data.train.section, config.split, seed=trial_seed(config.seed, "A", k))[0] for k in (0, 1)]
    plain = make_pipeline(StandardScaler(), Ridge(alpha=results.meta["ridge_alpha"]["A"]))
    fits = [plain.fit(data.train.features[one], data.train.target[one]).predict(data.test.features) for one in rows]
    for trial, predicted in ((0, fits[0]), (1, fits[1]), (None, np.mean(fits, axis=0))):
        source = "bagged_ridge" if trial is not None else "bagged_ridge_averaged"
        mean = np.mean([pcc_mean(gene_pcc(predicted[own], data.test.target[own]))
                        for own in map(data.test.rows_of, data.test.section_names)])  # fmt: skip
        scored = results.value(source=source, trial=trial, metric="pcc_all", fold="A", section=None)
        assert scored == pytest.approx(mean, abs=1e-5)
    single, vote = (results.fold_values(f"bagged_ridge{name}", "pcc_all")["A"] for name in ("", "_averaged"))
    assert vote > single  # as a vote's must be, where fits differ


def test_missing_features_name_the_file_and_the_command(config, tmp_path):
    (config.features / "A3.h5").unlink()
    with pytest.raises(DataError, match=r"A3\.h5.*encode_sections"):
        run(config, tmp_path / "run")


def test_features_of_two_encoders_are_refused(config, tmp_path):
    features = read_features(config.features / "A3.h5")
    meta = type(features.meta)(**{**features.meta.__dict__, "encoder": "uni"})
    write_features(config.features / "A3.h5", features.features, meta, keys=features.keys)
    with pytest.raises(DataError, match=r"mixed.*A3 by uni"):
        run(config, tmp_path / "run")


def test_features_that_lack_a_spot_are_refused(config, tmp_path):
    features = read_features(config.features / "A3.h5")
    write_features(config.features / "A3.h5", features.features[:-2], features.meta, keys=features.keys[:-2])
    with pytest.raises(DataError, match=r"A3\.h5: lacks 2 of 64 spots"):
        run(config, tmp_path / "run")


def test_too_many_clusters_fail_the_run_with_the_remedy(config, tmp_path):
    settings = one_fold(config, clusters=config.clusters.model_copy(update={"k1": 500}))
    with pytest.raises(InputError, match=r"clusters\.k1 = 500"):
        run(settings, tmp_path / "run")


@pytest.mark.parametrize("change", sampled(["panel", "counts", "features"], "counts"))
def test_changed_inputs_are_never_answered_with_old_work(config, data_root, tmp_path, change):
    settings = one_fold(config)
    before = run(settings, tmp_path / "run")
    if change == "panel":
        (data_root.parent / "panel.txt").write_text("\n".join(f"GENE{number}" for number in range(30)))
    elif change == "counts":
        change_counts(data_root, "B1")
    else:
        features = read_features(config.features / "B1.h5")
        write_features(config.features / "B1.h5", -features.features, features.meta, keys=features.keys)
    again = run(settings, tmp_path / "run")
    assert again.meta["inputs_sha256"] != before.meta["inputs_sha256"]
    assert again == run(settings, tmp_path / "fresh")


@pytest.mark.slow
def test_inputs_changed_and_changed_back_leave_one_run_of_a_piece(config, data_root, tmp_path):
    settings = one_fold(config, methods=("hage",))
    panel = data_root.parent / "panel.txt"
    genes = panel.read_text()
    first = run(settings, tmp_path / "run")
    before = (tmp_path / "run" / "encoder" / "model.safetensors").read_bytes()
    panel.write_text("\n".join(genes.splitlines()[:30]))
    run(settings, tmp_path / "run")
    panel.write_text(genes)
    assert run(settings, tmp_path / "run") == first
    assert (tmp_path / "run" / "encoder" / "model.safetensors").read_bytes() == before
    assert anndata.read_h5ad(tmp_path / "run" / "predictions" / "A.h5ad").n_vars == len(genes.splitlines())


@pytest.mark.parametrize("change", [{"views": 8}, {"surround": True}])
def test_features_made_otherwise_than_the_config_says_are_refused(config, tmp_path, change):
    settings = config.model_copy(update={"encoder": config.encoder.model_copy(update=change)})
    with pytest.raises(DataError, match=rf"encoder\.{next(iter(change))}.*encode_sections"):
        run(settings, tmp_path / "run")


def test_features_of_two_recipes_are_refused(config, tmp_path):
    features = read_features(config.features / "A3.h5")
    meta = type(features.meta)(**{**features.meta.__dict__, "views": 8})
    write_features(config.features / "A3.h5", features.features, meta, keys=features.keys)
    with pytest.raises(DataError, match=r"mixed.*A3 by embedded.*8 views"):
        run(config, tmp_path / "run")


def test_a_config_that_gained_a_key_since_resumes_with_its_default(config, tmp_path):
    RunDirectory.open(tmp_path / "run", config)
    (tmp_path / "run" / "jobs").mkdir()
    path = tmp_path / "run" / "config.yaml"
    text = path.read_text()
    path.write_text("\n".join(line for line in text.splitlines() if "surround" not in line))
    assert path.read_text() != text
    RunDirectory.open(tmp_path / "run", config)
