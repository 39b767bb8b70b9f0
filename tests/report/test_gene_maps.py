import io
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hage_transfer.errors import DataError
from hage_transfer.report.attention_table import COLUMNS
from hage_transfer.report.gene_maps import PredictFolder, is_predict_folder, predict_section, run_maps
from hage_transfer.report.page import make_page, write_report
from hage_transfer.report.pictures import read_picture
from hage_transfer.report.runs import read_run

SPOTS = 30
ATTENTION = f"""{",".join(COLUMNS)}
tumour,12,mean,mean,ERBB2,0.01,1.5,0.008,0.9,1,1
tumour,12,mean,mean,KRT8,0.009,1.2,0.008,,2,
tumour,12,trial_0,0,FASN,0.5,9.9,0.1,3.0,1,1
"""


def write_held_out(path: Path, sections: tuple[str, ...]) -> None:
    """Gene g0 is predicted exactly, g4 is noise, g5 is constant."""
    rng = np.random.default_rng(0)
    n = SPOTS * len(sections)
    target = rng.normal(size=(n, 6)).astype(np.float32)
    target[:, 5] = 1.0
    noise = rng.normal(size=(n, 6)).astype(np.float32)
    predicted = target + noise * np.array([0, 0.5, 1, 2, 9, 1], dtype=np.float32)
    names = np.repeat(sections, SPOTS)
    made = ad.AnnData(
        X=predicted,
        obs=pd.DataFrame({"section": pd.Categorical(names)}, index=[f"s{i}" for i in range(n)]),
        var=pd.DataFrame(index=[f"g{i}" for i in range(6)]),
        layers={"target": target},
        obsm={"spatial": np.stack([np.arange(n) % 6, np.arange(n) // 6], axis=1) * 100.0},
    )
    path.parent.mkdir()
    made.write_h5ad(path)


@pytest.fixture
def predicted(tmp_path: Path) -> Path:
    """A folder as `hage predict` leaves it."""
    folder = tmp_path / "pred"
    (folder / "maps").mkdir(parents=True)
    (folder / "predict.json").write_text("{}")
    for number in range(10):
        Image.new("RGB", (2400, 800), "white").save(folder / "maps" / f"C4.GENE{number}.png")
    Image.new("RGBA", (60, 60), (0, 0, 0, 0)).save(folder / "maps" / "C4.attention.ERBB2.png")
    (folder / "gene_pcc.csv").write_text("name,gene,pcc\nC4,GENE0,0.61163\nC4,GENE1,\n")
    (folder / "C4.attention.csv").write_text(ATTENTION)
    return folder


def test_maps_of_a_run_show_genes_by_their_rank(runs):
    write_held_out(runs["pretrain"] / "predictions" / "B.h5ad", ("B1",))
    plots, left = run_maps(read_run(runs["pretrain"]))
    assert [plot.title.rpartition(",")[0] for plot in plots] == [
        "g0 in B1, best predicted", "g1 in B1, upper quarter", "g2 in B1, median",
    ]  # fmt: skip
    assert "expression of g0 (best predicted) in held-out B1: PCC 1.000" in plots[0].alt
    assert plots[0].data[["x_px", "y_px", "measured"]].shape == (SPOTS, 3)
    assert "log10(1 + counts per 10,000 of the spot's panel)" in plots[0].svg  # the colour bar's unit
    assert left == "3 more held-out sections are in predictions/."


def test_maps_are_few_however_many_sections_there_are(runs):
    write_held_out(runs["pretrain"] / "predictions" / "B.h5ad", ("B1", "B2", "B3", "B4", "B5"))
    assert len(run_maps(read_run(runs["pretrain"]))[0]) == 3 * 3


def test_a_run_without_predictions_has_no_maps(runs):
    assert run_maps(read_run(runs["pretrain"])) == ((), "")


def test_a_damaged_prediction_is_named(runs):
    (runs["pretrain"] / "predictions").mkdir()
    (runs["pretrain"] / "predictions" / "B.h5ad").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"B\.h5ad"):
        run_maps(read_run(runs["pretrain"]))


def test_a_predict_folder_shows_some_maps_and_counts_the_rest(predicted):
    assert is_predict_folder(predicted)
    section = predict_section(PredictFolder(predicted, "pred"), "maps-pred")
    assert [picture.title for picture in section.pictures] == [
        *(f"GENE{k}, C4" for k in range(8)), "Attention to ERBB2, C4",
    ]  # fmt: skip
    assert section.pictures[0].alt.endswith("PCC 0.612 with the measured")
    assert section.text[1] == "2 more maps are in pred/maps."


def test_most_attended_genes_are_those_of_the_mean_over_heads(predicted):
    (table,) = predict_section(PredictFolder(predicted, "pred"), "maps-pred").tables
    assert table.rows == (("tumour", "ERBB2 ×1.500, KRT8 ×1.200", "ERBB2 +0.90", "12"),)


@pytest.mark.usefixtures("sketched")
def test_maps_join_the_page_of_a_run_and_alone_are_refused(runs, predicted, tmp_path):
    write_report([runs["mil"], predicted], tmp_path / "out")
    assert "Gene maps (pred)" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    with pytest.raises(DataError, match="needs the directory of a run beside"):
        write_report([predicted], tmp_path / "out")


def test_pictures_are_made_smaller_and_opaque(predicted):
    wide = read_picture(predicted / "maps" / "C4.GENE0.png", title="t", alt="a")
    assert Image.open(io.BytesIO(wide.jpeg)).size == (1100, 367)
    clear = read_picture(predicted / "maps" / "C4.attention.ERBB2.png", title="t", alt="a")
    assert Image.open(io.BytesIO(clear.jpeg)).getpixel((30, 30)) == (255, 255, 255)
    (predicted / "maps" / "torn.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"torn\.png"):
        read_picture(predicted / "maps" / "torn.png", title="t", alt="a")


def write_heatmaps(run: Path, n_slides: int = 5) -> None:
    folder = run / "heatmaps" / "hage"
    lines = ["slide,path,label,predicted,probability,fold,n_tiles,mpp"]
    for k in range(n_slides):
        label, called = ("ab"[k % 2], "ab"[k % 2 if k else 1])  # slide 0 is wrong
        lines.append(f"s{k},/slides/s{k}.svs,{label},{called},{0.9 - 0.05 * k:.2f},{k},{100 * k + 1},0.5")
        (folder / f"s{k}").mkdir(parents=True)
        Image.new("RGB", (1000, 500), "white").save(folder / f"s{k}" / "attention.png")
        (folder / f"s{k}" / "genes.csv").write_text(
            f"gene,rank_biserial,gene_attention_deciding\nG{k},0.8,1.01\nERBB2,-0.31,1.2\n"
        )
    over = "predicted,rank,gene,mean_rank_biserial,low,high,q_value,heldout_pcc,n_slides,reason\n"
    (folder / "genes.csv").write_text(over + "b,1,ERBB2,0.4,0.1,0.7,0.04,0.3,4,\n")
    (folder / "slides.csv").write_text("\n".join(lines) + "\n")


def test_attention_maps_begin_with_the_surest_wrong_call(runs):
    write_heatmaps(runs["mil"])
    section = make_page([read_run(runs["mil"])]).sections[2]
    assert section.title == "Where it looked (mil)"
    assert [picture.title.split(",")[0] for picture in section.pictures] == ["s0", "s2", "s1", "s4", "s3"]
    assert "called b (0.90), is a" in section.pictures[0].alt
    assert Image.open(io.BytesIO(section.pictures[0].jpeg)).width == 1000
    slides, over, genes = section.tables
    assert over.rows == (("ERBB2", "b", "+0.40", "+0.10 to +0.70", "0.040", "0.30", "4"),)
    assert slides.rows[1] == ("s1", "b", "b", "0.850", "1", "101")
    assert genes.rows[0] == ("s0", "a", "G0 +0.80, ERBB2 -0.31", "ERBB2 ×1.200, G0 ×1.010")


def test_many_attention_maps_are_counted_not_shown(runs):
    write_heatmaps(runs["mil"], n_slides=9)
    section = make_page([read_run(runs["mil"])]).sections[2]
    assert len(section.pictures) == 6
    assert section.text[1] == "3 more attention maps are in mil/heatmaps."
