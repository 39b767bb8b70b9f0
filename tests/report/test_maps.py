import warnings
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hage_transfer.compare.genes import gene_pcc
from hage_transfer.models.ensemble import Expression
from hage_transfer.report.maps import draw_attention, draw_gene
from hage_transfer.report.prediction_file import (
    Place,
    inputs_sha256,
    make_prediction,
    read_prediction,
    thumbnail_of,
    write_prediction,
)
from hage_transfer.report.thumbnail import read_thumbnail

GENES = ("ERBB2", "HLA-DRB1/5", "KRT8")
SIDE = 4


def place(image: Path | None = None, *, shape: str = "square") -> Place:
    x, y = (part.ravel() for part in np.meshgrid(np.arange(SIDE), np.arange(SIDE)))
    centres = np.stack([x, y], axis=1) * 100.0 + 150
    obs = pd.DataFrame(
        {"section": pd.Categorical(["C4"] * len(x))}, index=[f"{a}x{b}" for a, b in zip(x, y, strict=True)]
    )
    return Place(name="C4", obs=obs, centres_px=centres, diameter_px=100.0, shape=shape, image=image, mpp_um_per_px=0.5)


def prediction(image: Path | None = None, *, truth: bool = True, shape: str = "square"):
    rng = np.random.default_rng(0)
    n = SIDE**2
    calibrated = rng.uniform(1, 2, (n, 3)).astype(np.float32)
    target = np.concatenate([calibrated[:, :2] + rng.normal(0, 0.3, (n, 2)), np.ones((n, 1))], axis=1).astype(
        np.float32
    )
    where = place(image, shape=shape)
    where.obs["region"] = pd.Categorical(np.where(np.arange(n) < 6, "tumour", "stroma"))
    return make_prediction(
        Expression(calibrated, 10 * calibrated),
        where,
        genes=GENES,
        validation_pcc=np.array([0.1, 0.2, np.nan]),
        provenance={
            "preset": "spot_log10",
            "inputs_sha256": "abc",
            "trained_on": False,
            "attention_uniform": 1 / 3,
            "regions_from": "labels",
        },
        target=target if truth else None,
        attention=rng.dirichlet(np.ones(3), n).astype(np.float32),
    )


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """2,000 x 1,000 px, left half red and right half blue."""
    pixels = np.zeros((1000, 2000, 3), np.uint8)
    pixels[:, :1000, 0], pixels[:, 1000:, 2] = 255, 255
    Image.fromarray(pixels).save(tmp_path / "he.png")
    return tmp_path / "he.png"


def pixel(path: Path, x: float, y: float) -> np.ndarray:
    """Colour of a PNG at shares of its width and height."""
    picture = np.asarray(Image.open(path).convert("RGB"))
    return picture[int(y * picture.shape[0]), int(x * picture.shape[1])]


def test_pcc_of_a_prediction_is_that_of_its_x_and_nan_where_the_truth_is_constant():
    made = prediction()
    np.testing.assert_allclose(made.var["pcc"], gene_pcc(made.X, made.layers["target"]))
    assert np.isnan(made.var.loc["KRT8", "pcc"])


def test_a_prediction_round_trips_and_says_what_it_was_made_from(tmp_path, image):
    path = tmp_path / "C4.h5ad"
    made = prediction(image)
    write_prediction(path, made)
    again = read_prediction(path)
    np.testing.assert_array_equal(again.X, made.X)
    np.testing.assert_array_equal(again.layers["raw"], made.layers["raw"])
    assert inputs_sha256(path) == "abc"
    assert inputs_sha256(tmp_path / "nothing.h5ad") is None
    assert list(again.var_names) == list(GENES)


def test_a_thumbnail_keeps_its_scale(image):
    thumbnail = read_thumbnail(image, max_px=200)
    assert thumbnail.image.shape == (100, 200, 3)
    assert thumbnail.scale == 0.1
    assert thumbnail.image[50, 50].tolist() == [255, 0, 0]
    assert thumbnail.image[50, 150].tolist() == [0, 0, 255]


@pytest.mark.parametrize("with_image", [True, False])
def test_scanpy_opens_and_draws_a_prediction(tmp_path, image, with_image):
    import scanpy as sc

    mpl.use("Agg")
    write_prediction(tmp_path / "C4.h5ad", prediction(image if with_image else None))
    opened = read_prediction(tmp_path / "C4.h5ad")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Use `squidpy", category=FutureWarning)
        warnings.filterwarnings("ignore", message="The set_bad function", category=PendingDeprecationWarning)
        (axes,) = sc.pl.spatial(opened, color="ERBB2", show=False)
    drawn = axes.collections[0]
    np.testing.assert_allclose(np.sort(drawn.get_array()), np.sort(opened.X[:, 0]), rtol=1e-6)
    factors = opened.uns["spatial"]["C4"]["scalefactors"]
    assert set(factors) == {"spot_diameter_fullres", "tissue_hires_scalef"}  # what squidpy reads by default
    height, width = opened.uns["spatial"]["C4"]["images"]["hires"].shape[:2]
    inside = opened.obsm["spatial"] * factors["tissue_hires_scalef"]
    assert (inside > 0).all()
    assert (inside < [width, height]).all()
    axes.figure.clear()


def test_a_prediction_without_an_image_has_no_thumbnail(image):
    assert thumbnail_of(prediction()) is None
    assert thumbnail_of(prediction(image)).scale == 0.5


def test_the_map_runs_downwards_as_the_image_and_in_true_size(tmp_path):
    """Four tiles: low in the top row, high in the bottom row; the picture must show the first colour above the last."""
    made = prediction(truth=False)
    made.X = np.where(made.obsm["spatial"][:, 1:] < 300, 0.0, 1.0).repeat(3, 1).astype(np.float32)
    draw_gene(made, "ERBB2", tmp_path / "map.png")
    colours = (np.array(mpl.colormaps["viridis"]([0.0, 1.0]))[:, :3] * 255).round()
    picture = np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).astype(float)
    low, high = (np.argwhere(np.abs(picture - colour).max(-1) <= 1) for colour in colours)
    panel = [part[part[:, 0] < 0.8 * len(picture)] for part in (low, high)]  # the colour bar is below
    assert panel[0][:, 0].max() < panel[1][:, 0].min()
    sides = np.ptp(np.concatenate(panel), axis=0)
    assert sides[0] == pytest.approx(sides[1], rel=0.02)  # a square grid is drawn square


def test_figure_two_draws_truth_and_prediction_on_one_scale(tmp_path):
    """A prediction that is a fifth as wide as the truth is flat on its scale and full on its own."""
    made = prediction(shape="circle")
    target = np.linspace(0, 1, SIDE**2).astype(np.float32)
    made.layers["target"] = np.repeat(target[:, None], 3, 1)
    made.X = (0.4 + 0.2 * np.repeat(target[:, None], 3, 1)).astype(np.float32)
    draw_gene(made, "ERBB2", tmp_path / "map.png")
    yellow = np.array(mpl.colormaps["viridis"](1.0))[:3] * 255
    picture = np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).astype(float)
    picture = picture[: int(0.8 * len(picture))]
    where = np.argwhere(np.abs(picture - yellow).max(-1) <= 2)[:, 1] / picture.shape[1]
    panels = np.unique((where * 3).astype(int))
    assert panels.tolist() == [0, 2]  # of measured, on the measured scale, on its own


def text_of(svg: Path) -> str:
    """Matplotlib draws letters as shapes and leaves the text as comments."""
    return svg.read_text()


def test_titles_say_pcc_and_svg_text_names_the_unit(tmp_path):
    draw_gene(prediction(), "KRT8", tmp_path / "map.png", note="a note")
    assert (tmp_path / "map.svg").stat().st_size > 1000
    assert "measured values are constant" in text_of(tmp_path / "map.svg")
    assert "a note" in text_of(tmp_path / "map.svg")
    assert "log10(1 + counts per 10,000" in text_of(tmp_path / "map.svg")


def test_the_same_prediction_gives_the_same_picture(tmp_path, image):
    for name in ("a", "b"):
        draw_gene(prediction(image), "ERBB2", tmp_path / f"{name}.png")
    for ending in (".png", ".svg"):
        assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


def test_an_attention_map_names_its_regions(tmp_path, image):
    draw_attention(prediction(image), "ERBB2", tmp_path / "map.png")
    text = text_of(tmp_path / "map.svg")
    assert "tumour (6)" in text
    assert "stroma (10)" in text
    assert "no measurement" in text
