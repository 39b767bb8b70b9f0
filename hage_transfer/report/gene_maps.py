"""Maps of genes for the page: from a pretraining run's held-out predictions, and from folders of `hage predict`."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hage_transfer.compare.genes import gene_pcc
from hage_transfer.data.expression import UNITS
from hage_transfer.data.h5_file import read_h5ad
from hage_transfer.report.cells import Number, Table
from hage_transfer.report.layout import Section
from hage_transfer.report.maps import MANY
from hage_transfer.report.pictures import Picture, read_picture
from hage_transfer.report.plots import PANEL_INCHES, Plot, draw_figure
from hage_transfer.report.runs import PREDICT_FILE, Run

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.collections import EllipseCollection
    from matplotlib.figure import Figure

MAX_SECTIONS, MAX_MAPS, TOP_GENES = 3, 8, 5
_RANKS = {"best predicted": 1.0, "upper quarter": 0.75, "median": 0.5}


@dataclass(frozen=True)
class PredictFolder:
    """A folder of `hage predict`."""

    path: Path
    name: str


def is_predict_folder(path: Path) -> bool:
    """Whether `hage predict` wrote it."""
    return (path / PREDICT_FILE).is_file()


def run_maps(run: Run) -> tuple[tuple[Plot, ...], str]:
    """Measured and predicted expression of three genes of each held-out section, and a note of what is left out.

    The genes are chosen by their rank in the section (best, upper quarter, median), not by how well their map looks.

    Raises:
        DataError: a prediction file is damaged.
    """
    files = sorted((run.path / "predictions").glob("*.h5ad"))
    plots: list[Plot] = []
    shown = 0
    unit = UNITS.get(str(run.meta.get("preset")), "expression")
    for path in files:
        for section, spots in _sections(path):
            if shown < MAX_SECTIONS:
                plots += _section_maps(spots, section, run.name, unit)
                shown += 1
        if shown >= MAX_SECTIONS:
            break
    left = len({str(r.section) for r in run.section_records()}) - shown
    return tuple(plots), f"{left} more held-out sections are in predictions/." if shown and left > 0 else ""


def predict_section(folder: PredictFolder, anchor: str) -> Section:
    """Maps and most attended genes of a folder of `hage predict`.

    Raises:
        DataError: a map or table is damaged.
    """
    scores = _scores(folder.path / "gene_pcc.csv")
    maps = sorted((folder.path / "maps").glob("*.png"))
    expression = [path for path in maps if ".attention." not in path.name]
    attention = [path for path in maps if ".attention." in path.name]
    shown = [*expression[:MAX_MAPS], *attention[: MAX_MAPS // 2]]
    pictures = tuple(_predict_map(path, scores) for path in shown)
    text = ["Maps of hage predict: measured (where counts are at hand) and predicted expression, on held-out tissue."]
    if len(shown) < len(maps):
        text.append(f"{len(maps) - len(shown)} more maps are in {folder.name}/maps.")
    found = (_attention_table(path) for path in sorted(folder.path.glob("*.attention.csv")))
    tables = tuple(table for table in found if table is not None)
    return Section(f"Gene maps ({folder.name})", anchor, tuple(text), tables, pictures=pictures, maps_first=True)


def _sections(path: Path) -> Iterator[tuple[str, "AnnData"]]:
    prediction = read_h5ad(path, what="cannot be read as predictions", remedy="run the pretraining again")
    if "target" not in prediction.layers or "spatial" not in prediction.obsm or "section" not in prediction.obs:
        return
    for name in dict.fromkeys(prediction.obs["section"].astype(str)):
        yield name, prediction[(prediction.obs["section"].astype(str) == name).to_numpy()]


def _section_maps(spots: "AnnData", section: str, run: str, unit: str) -> Iterator[Plot]:
    predicted, target = np.asarray(spots.X), np.asarray(spots.layers["target"])
    pcc = gene_pcc(predicted, target)
    order = np.argsort(np.where(np.isfinite(pcc), pcc, -np.inf))[-int(np.isfinite(pcc).sum()) :]
    chosen = {title: order[round(share * (len(order) - 1))] for title, share in _RANKS.items()}
    places = np.asarray(spots.obsm["spatial"], dtype=float)
    for rank, place in chosen.items():
        gene, values = str(spots.var_names[place]), {"measured": target[:, place], "predicted": predicted[:, place]}
        data = pd.DataFrame(
            {"x_px": places[:, 0], "y_px": places[:, 1], **values}, index=spots.obs_names.rename("spot")
        )
        title = f"{gene} in {section}, {rank}, PCC {pcc[place]:.3f} ({run})"
        alt = f"Measured beside predicted expression of {gene} ({rank}) in held-out {section}: PCC {pcc[place]:.3f}"
        yield Plot(title, _draw(places, values, unit), alt, data.reset_index())


def _draw(places: np.ndarray, values: Mapping[str, np.ndarray], unit: str) -> str:
    """A panel each for what was measured and predicted, on a scale of its own with a colour bar below."""
    width, height = np.ptp(places, axis=0) + 1

    def draw(figure: "Figure") -> None:
        for axes, (title, one) in zip(figure.subplots(1, len(values)), values.items(), strict=True):
            shown = _spots(axes, places, one)
            axes.set_title(title, fontsize=9.5)
            bar = figure.colorbar(shown, ax=axes, orientation="horizontal", fraction=0.07, pad=0.03)
            bar.ax.locator_params(nbins=4)
            bar.ax.tick_params(labelsize=8)
        figure.supxlabel(unit, fontsize=8)

    return draw_figure(draw, inches=(PANEL_INCHES[0], 0.95 + 1.75 * min(max(height / width, 0.4), 1.6)))


def _spots(axes: "Axes", places: np.ndarray, values: np.ndarray) -> "EllipseCollection":
    """Spots as circles as wide as they are apart, y downwards as in the image."""
    from matplotlib.collections import EllipseCollection
    from scipy.spatial import cKDTree

    apart = float(np.median(cKDTree(places).query(places, k=2)[0][:, 1])) if len(places) > 1 else 1.0
    size: Any = np.full(len(places), 0.92 * apart)
    shapes = EllipseCollection(size, size, np.zeros(len(places)), units="xy", offsets=places, linewidths=0)
    shapes.set_offset_transform(axes.transData)
    shapes.set_array(values)
    shapes.set_cmap("viridis")
    axes.add_collection(shapes)
    low, high = places.min(0) - apart, places.max(0) + apart
    axes.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), aspect="equal")
    axes.set_axis_off()
    shapes.set_rasterized(len(places) > MANY)
    return shapes


def _predict_map(path: Path, scores: dict[tuple[str, str], str]) -> Picture:
    name, _, gene = path.stem.rpartition(".")
    if name.endswith(".attention"):
        section = name.removesuffix(".attention")
        return read_picture(path, title=f"Attention to {gene}, {section}", alt=f"Where {section} attends to {gene}")
    pcc = scores.get((name, gene))
    alt = f"Predicted expression of {gene} in {name}" + (f", PCC {pcc} with the measured" if pcc else "")
    return read_picture(path, title=f"{gene}, {name}", alt=alt)


def _scores(path: Path) -> dict[tuple[str, str], str]:
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as handle:
        return {
            (row.get("name", ""), row.get("gene", "")): f"{float(row['pcc']):.3f}"
            for row in csv.DictReader(handle)
            if row.get("pcc")
        }


def _attention_table(path: Path) -> Table | None:
    """The genes of most attention in each region, mean over encoders and heads."""
    with path.open(newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if row.get("encoder") == row.get("head") == "mean"]
    if not rows:
        return None
    name = path.name.removesuffix(".attention.csv")
    regions: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        regions.setdefault(row["region"], []).append(row)
    cells = []
    for region, found in regions.items():
        by_attention = sorted(found, key=lambda row: int(row["rank_by_attention"]))[:TOP_GENES]
        by_effect = sorted((r for r in found if r["rank_by_effect"]), key=lambda row: int(row["rank_by_effect"]))
        most = ", ".join(f"{row['gene']} ×{float(row['times_uniform']):.3f}" for row in by_attention)
        apart = ", ".join(f"{row['gene']} {float(row['effect_size']):+z.2f}" for row in by_effect[:TOP_GENES])
        cells.append((region, most, apart or "–", Number(found[0]["n_spots"], float(found[0]["n_spots"]))))
    caption = (
        "× is the attention against an even share (1 is even: the gene is not singled out); d is Cohen's, this region "
        "against the rest, and tests nothing. How the encoder weighs a gene's embedding, no measurement of expression."
    )
    header = ("Region", "Most attended", "Most above the rest, d", "Spots")
    return Table(caption, header, tuple(cells), text_columns=3, title=f"Most attended genes, {name}")
