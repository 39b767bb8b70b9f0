"""The page of a look before applying: what differs, every measure drawn beside training's, a row a slide."""

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from hage_transfer.apply.classifier import Classifier
from hage_transfer.apply.health import MEASURES, Health
from hage_transfer.apply.looked import CHANNELS
from hage_transfer.report.answer import Answer
from hage_transfer.report.cells import MISSING, Table, number
from hage_transfer.report.layout import Page, Reproduction, Section
from hage_transfer.report.plots import Plot, draw_svg
from hage_transfer.running.run_directory import CONFIG_FILE, ENVIRONMENT_FILE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TRAINING, _NEW, _OTHER = "#777777", "#0072B2", "#D55E00"
_INCHES = (3.7, 1.9)
_MOST_ROWS = 500
_UNNAMED = "not recorded"
_TITLES = {
    "mpp_um_per_px": "Resolution, um per px of level 0",
    "tissue_share": "Tissue, share of the slide's area",
    "tiles": "Tiles a slide",
    **{f"stain_{name}": f"Stain, optical density in {name}" for name in CHANNELS},
    "stain_distance": "Stain, distance from training",
    "tile_distance": "Tiles, distance from training",
}


class _Looked(Answer):
    """What the page says first."""

    @property
    def headline(self) -> str:
        """Whether anything differs; no verdict, for nothing was scored."""
        return "Some slides are not like the training slides" if self.verdict == "loss" else "Like the training cohort"


def health_page(health: Health, classifier: Classifier) -> Page:
    """All that the page says."""
    table, training = health.frame(), classifier.training
    other = (table["differs"] != "").to_numpy()
    environment = json.loads((health.folder / ENVIRONMENT_FILE).read_text(encoding="utf-8"))
    config = (health.folder / CONFIG_FILE).read_text(encoding="utf-8")
    again = Reproduction(
        name=health.folder.name, command=" ".join(environment["command"]), facts=(), hashes=(), config=config
    )
    what = "slides" if classifier.task == "mil" else "images"
    sentence = (
        f"{int(other.sum())} of {len(table)} {what} differ from the {len(training)} training {what}. Nothing was "
        "scored yet."
    )
    return Page(
        title="Before applying",
        question="Are the new slides like those that the classifier was trained on?",
        answer=_Looked("loss" if other.any() else "not judged", sentence, ()),
        sections=(_beside(table, training, other), *_scanners(table, training), _rows(table)),
        warnings=(*health.findings, *health.not_known, *(f"{k}: {v}" for k, v in health.failures.items())),
        reproduction=(again,),
    )


def _beside(table: pd.DataFrame, training: pd.DataFrame, other: np.ndarray) -> Section:
    plots = [
        _strip(name, table[name], training[name], other)
        for name in MEASURES
        if name in training and training[name].notna().any() and table[name].notna().any()
    ]
    text = (
        "Every dot is a slide; the grey band holds the middle 95% of the training slides (of a distance, all but the "
        "furthest 5%)."
    )
    return Section(title="Beside the training cohort", anchor="beside", text=(text,), plots=tuple(plots))


def _strip(name: str, new: "pd.Series[float]", training: "pd.Series[float]", other: np.ndarray) -> Plot:
    rows = [
        ("training", training, _TRAINING, "o"),
        ("new, alike", new[~other], _NEW, "o"),
        ("new, differs", new[other], _OTHER, "^"),
    ]
    is_distance = name.endswith("_distance")
    low, high = np.quantile(training.dropna(), [0, 0.95] if is_distance else [0.025, 0.975])

    def draw(axes: "Axes") -> None:
        axes.axvspan(0 if is_distance else low, high, color="#E6E6E6", lw=0, zorder=0)
        for place, (_, values, shade, mark) in enumerate(rows):
            known = values.dropna().to_numpy()
            around = place + 0.5 * (np.random.default_rng(0).uniform(size=len(known)) - 0.5)
            axes.plot(known, around, mark, color=shade, ms=4, alpha=0.75, mew=0)
        axes.set(yticks=range(len(rows)), yticklabels=[row[0] for row in rows], ylim=(2.6, -0.6))
        if name == "tissue_share":
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")

    words = [f"{label} {_middle(values, MEASURES[name][1])}" for label, values, *_ in rows if values.notna().any()]
    drawn = pd.concat([pd.DataFrame({"of": label, name: values.dropna()}) for label, values, *_ in rows])
    return Plot(_TITLES[name], draw_svg(draw, inches=_INCHES), f"Medians: {', '.join(words)}.", drawn)


def _middle(values: "pd.Series[float]", form: str) -> str:
    return f"{values.median():{form}}"


def _scanners(table: pd.DataFrame, training: pd.DataFrame) -> list[Section]:
    """None where no file names one."""
    counts = [
        _counted(training["scanner"].astype(object) if "scanner" in training else pd.Series(dtype=object)),
        _counted(table["scanner"]),
    ]
    names = sorted({*counts[0], *counts[1]})
    if names == [_UNNAMED]:
        return []
    rows = tuple((name, *(str(one.get(name, 0)) for one in counts)) for name in names)
    caption = "Slides by the scanner that their files name."
    shown = Table(caption=caption, header=("scanner", "training", "new"), rows=rows)
    return [Section(title="Scanners", anchor="scanners", tables=(shown,))]


def _counted(names: "pd.Series[str]") -> dict[str, int]:
    found = names.fillna("").replace("", _UNNAMED)
    return {str(name): int(count) for name, count in found.value_counts().items()}


def _rows(table: pd.DataFrame) -> Section:
    known = [name for name in MEASURES if table[name].notna().any()]
    words = ["scanner"] if any(table["scanner"]) else []
    ordered = table.assign(like=table["differs"] == "").sort_values("like", kind="stable").head(_MOST_ROWS)
    rows = tuple(
        (
            row.iloc[0],
            row["differs"] or MISSING,
            *(row[one] or _UNNAMED for one in words),
            *(_cell(row, n) for n in known),
        )
        for _, row in ordered.iterrows()
    )
    left = f" The first {_MOST_ROWS} of {len(table)}; health.csv has all." if len(table) > _MOST_ROWS else ""
    shown = Table(
        caption=f"Those that differ come first. Densities are optical densities of the tissue: higher is darker.{left}",
        header=(str(table.columns[0]), "differs", *words, *(MEASURES[name][0] for name in known)),
        rows=rows,
        text_columns=2 + len(words),
    )
    return Section(title="Slide by slide", anchor="slides", tables=(shown,))


def _cell(row: "pd.Series[float]", name: str) -> str:
    value = row[name]
    return number(None if pd.isna(value) else float(value), MEASURES[name][1])
