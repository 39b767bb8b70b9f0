"""`hage predict` on a small data set: what it writes, what it refuses, and that it agrees with the pretraining run."""

import csv
import json
import re
import shutil
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pytest
import torch
from feature_meta import feature_meta
from PIL import Image

from hage_transfer import GeneInformedEncoder
from hage_transfer.cli.main import run
from hage_transfer.compare.genes import gene_pcc
from hage_transfer.data.feature_file import write_features
from hage_transfer.door.predict import predict
from hage_transfer.models.checkpoint import PREDICTOR_FILE

PRETRAIN = ["pretrain", "pretrain.yaml", "--device", "cpu", "--out", "runs/st"]
PREDICT = ["predict", "pretrain.yaml", "--device", "cpu", "--regions", "2", "--n-maps", "0"]
RUN = [*PREDICT, "--encoder", "runs/st", "--out", "predicted"]
OF_A = [*PREDICT, "--encoder", "runs/st/encoders/A/trial_*", "--out", "predicted"]
SLIDES = ["predict", "--features", "slides", "--device", "cpu", "--regions", "2", "--n-maps", "0", "--out", "predicted"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Where the one pretraining run of this module is kept; every bench holds the same data."""
    return tmp_path_factory.mktemp("finished") / "runs"


@pytest.fixture
def trained(bench, finished, capsys):
    """The bench with a pretraining run over both folds, and the features of two slides by the same encoder."""
    if not finished.exists():
        assert run([*PRETRAIN, "--set", "trials=2"]) == 0
        shutil.copytree(bench.root / "runs", finished)
    else:
        shutil.copytree(finished, bench.root / "runs")
    capsys.readouterr()
    rng = np.random.default_rng(0)
    for name, n in (("s1", 9), ("s2", 12)):
        meta = feature_meta(name, encoder_sha256="abc", patch_size_level0_px=448, config_sha256="hash")
        coords = np.stack([np.arange(n) % 3, np.arange(n) // 3], axis=1) * 448
        write_features(bench.root / f"slides/{name}.h5", rng.normal(size=(n, 5)).astype("f4"), meta, coords=coords)
    return bench


def read(path: Path) -> ad.AnnData:
    return ad.read_h5ad(path)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as handle:
        return list(csv.DictReader(handle))


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def test_each_section_is_predicted_by_the_encoders_that_did_not_train_on_it(trained):
    assert run(RUN) == 0
    for section, patient in (("A2", "A"), ("B1", "B")):
        predicted = read(trained.root / f"predicted/{section}.h5ad")
        of_run = read(trained.root / f"runs/st/predictions/{patient}.h5ad")
        assert [Path(folder).parent.name for folder in predicted.uns["hage"]["encoders"]] == [patient] * 2
        assert not predicted.uns["hage"]["trained_on"]
        np.testing.assert_allclose(predicted.layers["raw"], of_run.layers["raw"], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(predicted.layers["target"], of_run.layers["target"], rtol=1e-6)
        assert predicted.obs_names.tolist() == [name.split(":")[1] for name in of_run.obs_names]
        np.testing.assert_array_equal(predicted.obsm["spatial"], of_run.obsm["spatial"])


def test_sections_are_those_of_the_encoders_run_where_no_config_is_given(trained):
    assert run(RUN) == 0
    told = []
    moved = [f"data.root={trained.root / 'st'}"]
    found = predict(
        trained.root / "runs/st", features=trained.root / "features", changes=moved, out=trained.root / "again",
        regions=2, n_maps=0, device="cpu", progress=lambda *now: told.append(now),
    )  # fmt: skip
    assert list(found) == ["A2", "B1"]
    assert told[-1][:2] == (2, 2)
    for name, prediction in found.items():
        of_command = read(trained.root / f"predicted/{name}.h5ad")
        np.testing.assert_array_equal(prediction.X, of_command.X)
        np.testing.assert_array_equal(prediction.layers["target"], of_command.layers["target"])
    assert (trained.root / "again/gene_pcc.csv").read_text() == (trained.root / "predicted/gene_pcc.csv").read_text()
    pcc = found.frame().query("name == 'A2'")["pcc"]
    assert found.table().loc["A2", "pcc_all"] == pytest.approx(pcc.mean(), abs=1e-6)
    assert "<table" in found._repr_html_()
    assert Path(found) == trained.root / "again"


@pytest.mark.slow
def test_one_trial_calibrates_as_the_run_does(bench, capsys):
    assert run(PRETRAIN) == 0
    assert run(OF_A) == 0
    of_run = read(bench.root / "runs/st/predictions/A.h5ad")
    np.testing.assert_allclose(read(bench.root / "predicted/A2.h5ad").X, of_run.X, rtol=1e-4, atol=1e-5)


def test_the_csv_of_genes_holds_the_pcc_of_the_file(trained):
    assert run([*OF_A, "--sections", "A2", "--n-maps", "1"]) == 0
    predicted = read(trained.root / "predicted/A2.h5ad")
    pcc = dict(zip(predicted.var_names, gene_pcc(predicted.X, predicted.layers["target"]), strict=True))
    found = rows_of(trained.root / "predicted/gene_pcc.csv")
    assert len(found) == predicted.n_vars
    assert all(float(row["pcc"]) == pytest.approx(pcc[row["gene"]], abs=1e-5) for row in found)
    assert {row["trained_on"] for row in found} == {"False"}
    best = found[0]["gene"]
    assert (trained.root / f"predicted/maps/A2.{best}.png").is_file()


def test_attention_is_written_by_region_and_head(trained):
    assert run([*OF_A, "--sections", "A2", "--genes", "GENE3,GENE7"]) == 0
    predicted = read(trained.root / "predicted/A2.h5ad")
    np.testing.assert_allclose(np.asarray(predicted.layers["attention"]).sum(1), 1, rtol=1e-4)
    found = rows_of(trained.root / "predicted/A2.attention.csv")
    regions = {row["region"]: int(row["n_spots"]) for row in found}
    assert regions == predicted.obs["region"].value_counts().to_dict()
    assert {row["head"] for row in found} == {"mean", "0", "1"}
    assert len({row["encoder"] for row in found}) == 3  # two trials and their mean
    row = next(row for row in found if row["encoder"] == "mean")
    inside = predicted[predicted.obs["region"] == row["region"], row["gene"]].layers["attention"]
    assert float(row["attention"]) == pytest.approx(float(np.mean(inside)), rel=1e-3)
    maps = {path.name for path in (trained.root / "predicted/maps").glob("*.png")}
    assert maps == {f"A2.{middle}{gene}.png" for gene in ("GENE3", "GENE7") for middle in ("", "attention.")}


def test_regions_come_from_a_csv_of_the_users(trained, capsys):
    names = [f"{x}x{y}" for y in range(1, 7) for x in range(1, 7)]
    lines = [f"A2,{name},{'tumour' if number < 20 else 'stroma'}" for number, name in enumerate(names[:30])]
    (trained.root / "labels.csv").write_text("section,spot,region\n" + "\n".join(lines))
    assert run([*OF_A, "--sections", "A2", "--regions", "labels.csv"]) == 0
    predicted = read(trained.root / "predicted/A2.h5ad")
    assert predicted.obs["region"].value_counts().to_dict() == {"tumour": 20, "stroma": 10, "unlabelled": 6}
    assert predicted.uns["hage"]["regions_from"] == "labels.csv"


def test_regions_come_from_a_column_of_an_anndata_section(trained, capsys):
    rng = np.random.default_rng(0)
    section = ad.AnnData(rng.poisson(3, (8, 30)).astype("f4"), obsm={"spatial": rng.uniform(20, 140, (8, 2))})
    section.obs_names, section.var_names = [f"spot{n}" for n in range(8)], [f"GENE{n}" for n in range(30)]
    section.obs["label"] = ["immune"] * 3 + ["stroma"] * 5
    section.write_h5ad(trained.root / "x1.h5ad")
    Image.new("RGB", (160, 160), "white").save(trained.root / "x1.png")
    meta = feature_meta(
        "x1", encoder_sha256="abc", patch_size_px=16, patch_size_level0_px=16, mpp_um_per_px=None, config_sha256="hash"
    )
    rows = rng.normal(size=(8, 5)).astype("f4")
    write_features(trained.root / "features/x1.h5", rows, meta, keys=list(section.obs_names))
    layout = ["--set", "data.layout=anndata", "--set", f"data.root={trained.root / 'x1.h5ad'}"]
    assert run([*OF_A, *layout, "--regions", "label"]) == 0
    predicted = read(trained.root / "predicted/x1.h5ad")
    assert predicted.obs["region"].astype(str).tolist() == ["immune"] * 3 + ["stroma"] * 5
    assert run([*OF_A, *layout, "--regions", "labels"]) == 2
    assert "x1 has no obs column" in error_of(capsys)


def test_every_tile_of_slides_is_predicted_by_all_encoders(trained):
    assert run([*SLIDES, "--encoder", "runs/st/encoders/*/trial_0"]) == 0
    predicted = read(trained.root / "predicted/s2.h5ad")
    assert predicted.n_obs == 12
    assert predicted.obsm["spatial"][4].tolist() == [448 + 224, 448 + 224]
    assert predicted.obs.iloc[4][["x_level0_px", "y_level0_px"]].tolist() == [448, 448]
    assert len(predicted.uns["hage"]["encoders"]) == 2
    assert predicted.uns["spatial"]["s2"]["scalefactors"]["spot_diameter_fullres"] == 448
    assert predicted.uns["hage"]["mpp_um_per_px"] == 0.25
    assert "target" not in predicted.layers
    assert not (trained.root / "predicted/gene_pcc.csv").exists()


@pytest.mark.slow
def test_a_second_run_keeps_what_is_done_and_draws_other_genes(trained):
    assert run([*OF_A, "--sections", "A2", "--genes", "GENE3"]) == 0
    before = (trained.root / "predicted/A2.h5ad").stat().st_mtime_ns
    assert run([*OF_A, "--sections", "A2", "--genes", "GENE5"]) == 0
    assert (trained.root / "predicted/A2.h5ad").stat().st_mtime_ns == before
    assert (trained.root / "predicted/maps/A2.GENE5.png").is_file()
    assert run([*OF_A, "--sections", "A2", "--genes", "GENE5", "--regions", "3"]) == 0
    assert len(read(trained.root / "predicted/A2.h5ad").obs["region"].cat.categories) == 3


def test_a_section_that_was_trained_on_is_refused_or_marked(trained, capsys):
    of_a = [*OF_A, "--sections", "B1"]
    assert run(of_a) == 2
    assert re.search(r"B1: every encoder given trained on it.*--allow-trained", error_of(capsys))
    assert not (trained.root / "predicted").exists()
    assert run([*of_a, "--allow-trained", "--n-maps", "1"]) == 0
    assert "TRAINED" in capsys.readouterr().out
    assert read(trained.root / "predicted/B1.h5ad").uns["hage"]["trained_on"]
    assert {row["trained_on"] for row in rows_of(trained.root / "predicted/gene_pcc.csv")} == {"True"}
    (picture,) = (trained.root / "predicted/maps").glob("B1.GENE*.svg")
    assert "the encoders trained on this section" in picture.read_text()


def test_sections_not_named_are_left_out_where_trained_on(trained):
    assert run(OF_A) == 0
    assert sorted(path.name for path in (trained.root / "predicted").glob("*.h5ad")) == ["A2.h5ad"]


def test_an_encoder_without_genes_predicts_and_says_it_has_no_attention(bench, capsys):
    assert run([*PRETRAIN, "--set", "model.gene_informed=false"]) == 0
    capsys.readouterr()
    assert run([*OF_A, "--sections", "A2"]) == 0
    assert "no attention" in " ".join(capsys.readouterr().err.split())
    assert "attention" not in read(bench.root / "predicted/A2.h5ad").layers
    assert not (bench.root / "predicted/A2.attention.csv").exists()


@pytest.mark.slow
def test_context_of_training_is_given_to_sections_and_slides(trained):
    recipe = ["--set", "context.neighbours=4", "--set", "context.standardise=true"]
    assert run([*PRETRAIN[:-1], "runs/context", *recipe]) == 0
    command = [*PREDICT, "--encoder", "runs/context/encoders/A/trial_*", "--out", "predicted", "--sections", "A2"]
    assert run(command) == 0
    of_run = read(trained.root / "runs/context/predictions/A.h5ad")
    found = read(trained.root / "predicted/A2.h5ad")
    np.testing.assert_allclose(found.layers["raw"], of_run.layers["raw"], rtol=1e-4, atol=1e-5)
    assert run([*SLIDES[:-1], "of_slides", "--encoder", "runs/context/encoders/A/trial_0"]) == 0


def test_a_damaged_slide_fails_alone(trained, capsys):
    with h5py.File(trained.root / "slides/s1.h5", "r+") as file:
        file["features"][2, 1] = np.nan
    assert run([*SLIDES, "--encoder", "runs/st/encoders/A/trial_0"]) == 1
    (failure,) = rows_of(trained.root / "predicted/failures.csv")
    assert failure["item"] == "s1"
    assert "NaN" in failure["reason"]
    assert (trained.root / "predicted/s2.h5ad").is_file()


def old_directory(bench) -> None:
    (bench.root / "runs/st/encoders/A/trial_0" / PREDICTOR_FILE).unlink()


def other_encoder(bench) -> None:
    with h5py.File(bench.root / "slides/s1.h5", "r+") as file:
        file.attrs["encoder"] = "uni"


def embeddings(bench) -> None:
    with h5py.File(bench.root / "slides/s1.h5", "r+") as file:
        file.attrs["frozen_encoder"] = "embedded"


def wider(bench) -> None:
    with h5py.File(bench.root / "slides/s1.h5", "r+") as file:
        del file["features"]
        file["features"] = np.zeros((9, 7), np.float32)


def encoder_alone(bench) -> None:
    card = {"frozen_encoder": "embedded", "frozen_encoder_sha256": "abc"}
    GeneInformedEncoder(torch.randn(3, 4), feature_dim=5, embed_dim=8, n_heads=2).save_pretrained(
        bench.root / "alone", card=card
    )


def sent_away(bench) -> None:
    shutil.copytree(bench.root / "runs/st/encoders/A/trial_0", bench.root / "away")


ENCODER = ["--encoder", "runs/st/encoders/A/trial_0"]
CASES = {
    "unknown gene": (None, [*RUN, "--genes", "GENE3,GENA7"], r"--genes GENA7: not in the panel of 30 .*GENE7"),
    "another frozen encoder": (other_encoder, [*SLIDES, *ENCODER], r"trained on features of embedded, .*s1.* uni"),
    "embeddings": (embeddings, [*SLIDES, *ENCODER], r"s1: these are embeddings"),
    "another width": (wider, [*SLIDES, *ENCODER], r"features of width 5, s1 has 7"),
    "no feature file": (None, ["predict", "--features", "images", *ENCODER, "--out", "p"], r"images: holds no feature"),
    "missing feature file": (None, ["predict", "--features", "s9.h5", *ENCODER, "--out", "p"], r"s9\.h5: no such"),
    "other files in the folder": (None, [*OF_A[:-1], "images"], r"images: exists and holds other files"),
    "old directory": (old_directory, RUN, r"predictor\.safetensors.*hage pretrain"),
    "encoder alone": (encoder_alone, [*SLIDES, "--encoder", "alone"], r"alone: holds no predictor\.safetensors"),
    "no encoder directory": (None, [*SLIDES, "--encoder", "images"], r"--encoder images: is no encoder directory"),
    "encoder that matches nothing": (None, [*SLIDES, "--encoder", "runs/none*"], r"--encoder runs/none\*: no such"),
    "unknown section": (None, [*RUN, "--sections", "A9"], r"no section A9"),
    "unknown regions": (None, [*RUN, "--regions", "label"], r"--regions label: A2 has no obs column"),
    "no regions": (None, [*RUN, "--regions", "0"], r"--regions 0"),
    "both inputs": (None, [*RUN, "--features", "slides"], r"either config or"),
    "no input": (sent_away, ["predict", "--encoder", "away", "--out", "p"], r"away: lies in no pretraining run"),
    "sections as slides": (
        sent_away,
        ["predict", "--features", "features", "--encoder", "away", "--out", "p"],
        r"away: lies in no pretraining run.* give a config",
    ),
    "run whose data have moved": (None, ["predict", *ENCODER, "--out", "p"], r"wanted the sections; --set data.root"),
    "no out": (None, ["predict", "pretrain.yaml", *ENCODER], r"--encoder .*--out"),
    "slide without its picture": (None, [*SLIDES, *ENCODER, "--slides", "images"], r"slide s1: no such file"),
}


@pytest.mark.parametrize("kind", CASES)
def test_bad_input_ends_with_one_clear_message(trained, capsys, kind):
    spoil, command, message = CASES[kind]
    if spoil is not None:
        spoil(trained)
    assert run(command) == 2
    found = error_of(capsys)
    assert re.search(message, found), found


def test_predictions_of_other_encoders_are_not_mixed(trained, capsys):
    assert run([*OF_A, "--sections", "A2"]) == 0
    assert run(RUN) == 2
    assert "of other encoders" in error_of(capsys)
    assert run([*RUN, "--overwrite"]) == 0
    assert len(json.loads((trained.root / "predicted/predict.json").read_text())["encoders"]) == 4


def test_changed_counts_are_not_answered_with_the_old_correlation(trained):
    assert run([*OF_A, "--sections", "A2"]) == 0
    before = read(trained.root / "predicted/A2.h5ad")
    counts = trained.read_counts("A2")
    trained.write_counts("A2", counts.iloc[::-1].set_axis(counts.index))  # the same sums, other spots
    assert run([*OF_A, "--sections", "A2"]) == 0
    after = read(trained.root / "predicted/A2.h5ad")
    np.testing.assert_array_equal(after.X, before.X)
    np.testing.assert_array_equal(after.layers["target"], before.layers["target"][::-1])
