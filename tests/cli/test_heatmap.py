"""`hage heatmap` on slides whose deciding tiles, and the gene that is high in them, are known."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from hage_transfer import ExpressionModel, GeneInformedEncoder
from hage_transfer.cli.main import run
from hage_transfer.data.feature_file import FeatureMeta, write_features
from hage_transfer.door.explain import explain
from hage_transfer.models.expression import build_predictor
from hage_transfer.models.expression_model import GeneLines
from hage_transfer.running.locks import try_lock

GENES = ("FLAT1", "FLAT2", "MARK", "OTHER", "ANTI")
SIDE, ROWS, COLUMNS, N_SLIDES = 16, 6, 8, 12
META = {"encoder": "embedded", "encoder_sha256": "a" * 64, "encoder_licence": "Apache-2.0"}
FILES = {
    "attention.png", "attention.geojson", "contact_sheet.png", "tiles.csv", "tiles.h5ad", "genes.csv", "heatmap.json"
}  # fmt: skip


def features_of(rng, marked):
    """Feature 0 is high in marked tiles, the others say nothing."""
    rows = rng.normal(0, 0.3, size=(ROWS * COLUMNS, 4)).astype(np.float32)
    rows[marked, 0] += 6
    return rows


def make_slides(root):
    rng = np.random.default_rng(0)
    y, x = np.divmod(np.arange(ROWS * COLUMNS), COLUMNS)
    coords = np.stack([x, y], axis=1) * SIDE
    lines = ["slide,label,group"]
    for number in range(N_SLIDES):
        name, label = f"s{number}", ("normal", "tumour")[number % 2]
        marked = np.zeros(ROWS * COLUMNS, dtype=bool)
        if label == "tumour":
            marked[[number, number + 1, number + COLUMNS, number + COLUMNS + 1, number + 2]] = True
        sizes = {"patch_size_px": SIDE, "patch_size_level0_px": SIDE, "mpp_um_per_px": 0.5}
        meta = FeatureMeta(source=name, **META, **sizes, precision="float32", config_sha256="settings")
        write_features(root / "bags" / f"{name}.h5", features_of(rng, marked), meta, coords=coords)
        pixels = np.full((ROWS * SIDE, COLUMNS * SIDE, 3), (230, 180, 210), dtype=np.uint8)
        for left, top in coords[marked]:
            pixels[top : top + SIDE, left : left + SIDE] = (90, 30, 120)
        (root / "images").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(root / "images" / f"{name}.png")
        lines.append(f"{name},{label},p{number}")
    (root / "labels.csv").write_text("\n".join(lines))


def make_encoder(folder):
    """An expression model that has learned MARK = feature 0, ANTI = -feature 0, OTHER = feature 1, FLAT = 1."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = GeneInformedEncoder(torch.randn(5, 6), feature_dim=4, embed_dim=16, n_heads=2)
        predictor = build_predictor("mlp", embed_dim=16, n_genes=5)
        optimiser = torch.optim.Adam([*encoder.parameters(), *predictor.parameters()], lr=0.01)
        for _ in range(150):
            rows = 3 * torch.randn(256, 4, generator=generator)
            flat = torch.ones(256)
            target = torch.stack([flat, flat, rows[:, 0], rows[:, 1], -rows[:, 0]], dim=1)
            loss = (predictor(encoder(rows)) - target).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    lines = GeneLines(np.ones(5), np.zeros(5), np.array([np.nan, 0.0, 0.5, 0.4, 0.3]))
    model = ExpressionModel(encoder, predictor, genes=GENES, lines=lines).eval()
    card = {"preset": "spot_log10", "frozen_encoder": "embedded", "frozen_encoder_sha256": "a" * 64, "fold": "A2"}
    model.save_pretrained(folder, card=card)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Slides, an encoder and a finished MIL run of the frozen source and of the encoder's embeddings."""
    root = tmp_path_factory.mktemp("heatmap")
    torch.set_num_threads(1)
    make_slides(root)
    make_encoder(root / "encoder")
    tree = {
        "data": {"layout": "features", "root": str(root / "bags"), "labels": str(root / "labels.csv")},
        "sources": {"frozen": {}, "hage": {"encoder": str(root / "encoder")}},
        "split": {"folds": 2, "by_group": True},
        "model": {"hidden_dim": 8, "attention_dim": 4, "dropout": 0.0},
        "train": {"epochs": 20, "standardise": False, "validation": 0, "bags_per_step": 1, "learning_rate": 0.02},
    }
    (root / "mil.yaml").write_text(yaml.safe_dump(tree))
    assert run(["mil", str(root / "mil.yaml"), "--out", str(root / "run"), "--device", "cpu"]) == 0
    return root


def heatmap(made, out, *arguments):
    return run(["heatmap", str(made / "run"), "--out", str(out), "--device", "cpu", *map(str, arguments)])


def pictured(made, out, *arguments):
    return heatmap(made, out, "--slides", made / "images", "--encoder", made / "encoder", "--top", 2, *arguments)


@pytest.fixture(scope="module")
def explained(made, tmp_path_factory):
    """Every slide of the frozen source, explained."""
    out = tmp_path_factory.mktemp("out")
    assert pictured(made, out, "--source", "frozen", "--deciding", 0.1) == 0
    return out / "frozen"


def test_every_slide_has_its_files_and_a_row(explained):
    slides = pd.read_csv(explained / "slides.csv")
    assert set(slides["slide"]) == {f"s{number}" for number in range(N_SLIDES)}
    assert all({path.name for path in (explained / slide).iterdir()} == FILES for slide in slides["slide"])
    assert (slides["predicted"] == slides["label"]).all()
    assert (slides["mpp"] == 0.5).all()
    assert (slides["n_tiles"] == ROWS * COLUMNS).all()


def test_the_function_gives_slides_with_tiles_and_genes(made, explained, tmp_path, capsys):
    told = []
    found = explain(
        str(made / "run"), source="frozen", slides=["s3", "s1"], out=tmp_path / "why", encoders=made / "encoder",
        slide_folder=made / "images", top=2, device="cpu", progress=lambda *now: told.append(now),
    )  # fmt: skip
    assert capsys.readouterr().out == ""
    assert list(found) == ["s3", "s1"]
    assert told == [(1, 2, "frozen/s3"), (2, 2, "frozen/s1")]
    for table in ("tiles", "genes"):
        of_command = pd.read_csv(explained / "s3" / f"{table}.csv")
        pd.testing.assert_frame_equal(getattr(found["s3"], table), of_command)
    assert found["s3"].genes["gene"][0] in {"MARK", "ANTI"}
    assert found["s3"].expression.n_obs == ROWS * COLUMNS
    assert found["s3"].picture.is_file()
    assert found.frame()["slide"].tolist() == ["s3", "s1"]
    assert {"gene", "mean_rank_biserial", "q_value"} <= set(found.table().columns)
    assert "data:image/png" in found["s3"]._repr_html_()
    assert "<table" in found._repr_html_()
    with pytest.raises(KeyError):
        found["s2"]


def test_slides_of_several_sources_go_by_source_and_name(made, tmp_path):
    found = explain(made / "run", slides=["s1"], out=tmp_path / "why", genes=False, device="cpu")
    assert list(found) == [("frozen", "s1"), ("hage", "s1")]
    assert found["hage", "s1"].tiles["attention"].sum() == pytest.approx(1, abs=1e-6)
    assert found["hage", "s1"].genes.empty
    assert found["hage", "s1"].picture is None
    with pytest.raises(KeyError, match="several sources"):
        found["s1"]


def test_tiles_that_decide_are_the_marked_ones(explained):
    tiles = pd.read_csv(explained / "s3" / "tiles.csv")
    assert set(tiles[tiles["deciding"] == 1]["tile"]) == {3, 4, 11, 12, 5}
    assert tiles["attention"].sum() == pytest.approx(1, abs=1e-6)
    assert tiles["probability_tumour"][3] > 0.9 > tiles["probability_tumour"][40]
    assert (tiles["x_px"][12], tiles["y_px"][12], tiles["width_px"][12]) == (4 * SIDE, SIDE, SIDE)


def test_the_planted_gene_and_its_mirror_rank_first(explained):
    genes = pd.read_csv(explained / "s3" / "genes.csv").set_index("gene")
    assert set(genes.index[:2]) == {"MARK", "ANTI"}
    assert genes.loc["MARK", "rank_biserial"] > 0.95
    assert genes.loc["ANTI", "rank_biserial"] < -0.95
    assert genes.loc["MARK", "hedges_g"] > 2
    assert genes.loc["MARK", "difference"] == pytest.approx(6, abs=1.5)
    assert genes.loc["MARK", "validation_pcc"] == 0.5
    assert genes.loc["MARK", "shift_p"] < 0.05
    assert abs(genes.loc["OTHER", "hedges_g"]) < 1.5


def test_genes_over_slides_find_the_planted_ones(explained):
    genes = pd.read_csv(explained / "genes.csv")
    tumour = genes[genes["predicted"] == "tumour"].set_index("gene")
    assert set(tumour.index[:2]) == {"MARK", "ANTI"}
    assert tumour.loc["MARK", "sign_agreement"] == 1
    assert tumour.loc["MARK", "low"] > 0.9
    assert (tumour.loc["MARK", "n_slides"], tumour.loc["MARK", "n_groups"]) == (6, 6)
    assert tumour.loc["MARK", "q_value"] < 0.1  # the least that six patients allow, times five genes over two


def test_the_h5ad_holds_the_expression_that_the_model_predicts(made, explained):
    tiles = ad.read_h5ad(explained / "s3" / "tiles.h5ad")
    model = ExpressionModel.from_pretrained(made / "encoder")
    with np.errstate(all="raise"):
        import h5py

        with h5py.File(made / "bags" / "s3.h5") as file:
            wanted = model.predict(file["features"][...])
    np.testing.assert_allclose(tiles.X, wanted, rtol=1e-4, atol=1e-5)
    assert tiles.X.dtype == np.float32
    assert tuple(tiles.var_names) == GENES
    assert list(tiles.obs.columns) == list(pd.read_csv(explained / "s3" / "tiles.csv").columns)
    np.testing.assert_array_equal(tiles.obsm["spatial"][12], [4.5 * SIDE, 1.5 * SIDE])


def test_the_geojson_colours_the_marked_tiles_highest(explained):
    features = json.loads((explained / "s3" / "attention.geojson").read_text())["features"]
    top = {
        number for number, one in enumerate(features) if one["properties"]["classification"]["name"].endswith("100%")
    }
    assert {3, 4, 11, 12} <= top | {5}
    assert len(features) == ROWS * COLUMNS


def test_a_second_call_keeps_slides_and_a_changed_option_makes_them_anew(made, tmp_path):
    record = tmp_path / "frozen" / "s1" / "heatmap.json"
    arguments = ("--source", "frozen", "--slide", "s1", "--slide", "s2")
    assert pictured(made, tmp_path, *arguments) == 0
    before = record.stat().st_mtime_ns
    assert pictured(made, tmp_path, *arguments) == 0
    assert record.stat().st_mtime_ns == before
    assert pictured(made, tmp_path, *arguments[:4], "--deciding", 0.2) == 0
    assert record.stat().st_mtime_ns > before
    assert pd.read_csv(tmp_path / "frozen" / "slides.csv")["slide"].tolist() == ["s1"]  # s2 is of the other share


def test_a_slide_that_was_cut_short_is_done_again(made, tmp_path):
    assert pictured(made, tmp_path, "--source", "frozen", "--slide", "s1") == 0
    folder = tmp_path / "frozen" / "s1"
    table = (folder / "genes.csv").read_bytes()
    (folder / "heatmap.json").unlink()
    (folder / "genes.csv").write_text("half")
    (folder / ".partial-abc-attention.png").write_text("half")
    assert pictured(made, tmp_path, "--source", "frozen", "--slide", "s1") == 0
    assert (folder / "genes.csv").read_bytes() == table
    assert {path.name for path in folder.iterdir()} == FILES


def test_without_images_there_are_tables_and_that_is_said(made, tmp_path, capsys):
    assert heatmap(made, tmp_path, "--source", "hage", "--slide", "s1") == 0
    assert "tables only; --slides FOLDER" in " ".join(capsys.readouterr().err.split())
    files = {path.name for path in (tmp_path / "hage" / "s1").iterdir()}
    assert files == {"tiles.csv", "tiles.h5ad", "genes.csv", "heatmap.json"}


def test_no_file_of_an_earlier_call_with_other_options_stays(made, tmp_path):
    assert pictured(made, tmp_path, "--source", "frozen", "--slide", "s1") == 0
    assert heatmap(made, tmp_path, "--source", "frozen", "--slide", "s1", "--no-genes") == 0
    files = {path.name for path in (tmp_path / "frozen" / "s1").iterdir()}
    assert files == {"tiles.csv", "tiles.h5ad", "heatmap.json"}


def test_frozen_takes_the_genes_of_the_runs_gene_informed_source(made, tmp_path, capsys):
    assert heatmap(made, tmp_path, "--source", "frozen", "--slide", "s1") == 0
    assert "genes are those of the encoders of source hage" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "frozen" / "s1" / "genes.csv").is_file()


def test_without_genes_there_is_no_gene_table(made, tmp_path):
    assert heatmap(made, tmp_path, "--source", "frozen", "--slide", "s1", "--no-genes") == 0
    assert not (tmp_path / "frozen" / "s1" / "genes.csv").exists()
    assert ad.read_h5ad(tmp_path / "frozen" / "s1" / "tiles.h5ad").n_vars == 0


def test_an_encoder_without_predictor_is_said_and_the_rest_is_done(made, tmp_path, capsys):
    predictor = made / "encoder" / "predictor.safetensors"
    kept = predictor.read_bytes()
    predictor.unlink()
    try:
        assert heatmap(made, tmp_path, "--source", "hage", "--slide", "s1") == 0
    finally:
        predictor.write_bytes(kept)
    assert "source hage: no genes" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "hage" / "s1" / "tiles.csv").is_file()


def test_a_slide_without_an_image_fails_and_the_others_are_done(made, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "s1.png").write_bytes((made / "images" / "s1.png").read_bytes())
    out = tmp_path / "out"
    arguments = ("--source", "frozen", "--slides", tmp_path / "images", "--slide", "s1", "--slide", "s2")
    assert heatmap(made, out, *arguments) == 1
    failures = pd.read_csv(out / "failures.csv")
    assert failures["item"].tolist() == ["frozen/s2"]
    assert "slide s2: no such file" in failures["reason"][0]
    assert pd.read_csv(out / "frozen" / "slides.csv")["slide"].tolist() == ["s1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--source", "hagel"), "has no such source; nearest: hage"),
        (("--slide", "s99"), "has no such slide; nearest: s9"),
        (("--slides", "nowhere"), "nowhere: no such file or folder; wanted slides"),
        (("--deciding", "1.5"), "a share between 0 and 1"),
        (("--encoder", "nowhere/*"), "--encoder nowhere/*: no such directory"),
    ],
)
def test_wrong_input_is_one_message_and_exit_code_2(made, tmp_path, capsys, arguments, message):
    assert heatmap(made, tmp_path / "out", *arguments) == 2
    printed = " ".join(capsys.readouterr().err.split())
    assert message in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "out").exists()


def test_what_is_no_mil_run_is_refused_with_a_remedy(made, tmp_path, capsys):
    def message(folder):
        assert run(["heatmap", str(folder)]) == 2
        return " ".join(capsys.readouterr().err.split())

    assert "wanted a run of `hage mil`" in message(tmp_path / "nowhere")
    assert "is no run directory" in message(made / "bags")
    old = tmp_path / "old"
    old.mkdir()
    for name in ("config.yaml", "results.json"):
        (old / name).write_bytes((made / "run" / name).read_bytes())
    assert "keeps no models" in message(old)
    (old / "results.json").write_text('{"records": [{"task": "probe"}]}')
    assert "is a run of `hage probe`" in message(old)
    (old / "results.json").unlink()
    assert "run `hage mil` to its end first" in message(old)


@pytest.mark.parametrize(("kind", "caution"), [("mean", "no tile decided"), ("max", "attends to one tile")])
def test_pooling_without_attention_is_explained_as_such(made, tmp_path, kind, caution):
    changes = [f"model.kind={kind}", "train.epochs=1", "sources={frozen: {}}"]
    sets = [part for change in changes for part in ("--set", change)]
    folder = tmp_path / kind
    assert run(["mil", str(made / "mil.yaml"), "--out", str(folder), "--device", "cpu", *sets]) == 0
    arguments = ["--slides", str(made / "images"), "--encoder", str(made / "encoder"), "--slide", "s1"]
    assert run(["heatmap", str(folder), "--device", "cpu", *arguments]) == 0
    slides = pd.read_csv(folder / "heatmaps" / "frozen" / "slides.csv")
    assert caution in slides["cautions"][0]
    assert slides["n_deciding"][0] == (0 if kind == "mean" else 1)
    assert (folder / "heatmaps" / "frozen" / "s1" / "attention.png").is_file()
    assert (folder / "heatmaps" / "frozen" / "s1" / "genes.csv").is_file() == (kind == "max")


def test_a_folder_takes_one_writer_at_a_time(made, tmp_path, capsys):
    with try_lock(tmp_path / "out", "heatmap"):
        assert heatmap(made, tmp_path / "out") == 2
    assert "another `hage heatmap` writes there now" in capsys.readouterr().err
