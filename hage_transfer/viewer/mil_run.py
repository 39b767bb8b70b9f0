"""A run of `hage mil`, with or without the heatmaps of `hage heatmap`; and a folder of heatmaps on its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hage_transfer.bounded import BoundsError, read_json
from hage_transfer.config import read_yaml
from hage_transfer.errors import DataError
from hage_transfer.running.run_directory import CONFIG_FILE, HEATMAPS_FOLDER, SLIDES_FILE
from hage_transfer.viewer.contents import Contents, ListedSlide, by_name
from hage_transfer.viewer.mil_tables import (
    PREDICTED,
    PREDICTIONS,
    PROBABILITY,
    RISK,
    SCORES,
    TRUTH,
    MilSlide,
    add_heatmaps,
    add_scores,
    read_predicted,
)
from hage_transfer.viewer.slide_files import SlideFiles, seen_from

_MOST_CLASSES = 4
_HEADINGS = {"predicted": "Predicted", "probability": "Prob."}


def read_mil_run(run: Path, *, slides: Path | None) -> Contents:
    """A MIL run: the slides of `predictions.csv`, with what `heatmaps/` in it holds.

    Raises:
        DataError: a probe run, or a table that is not in its form.
    """
    found, classes = read_predicted(run / PREDICTIONS)
    add_heatmaps(found, run / HEATMAPS_FOLDER)
    if run.name == "as_run" and (run.parent / SCORES).is_file():
        return _application(run.parent, found, classes, slides)
    config = read_yaml(run / CONFIG_FILE)
    data = config["data"] if isinstance(config.get("data"), dict) else {}
    files = SlideFiles(slides, [] if data.get("layout") == "features" else [Path(data.get("root", "."))], run=run)
    columns = {**_said(config, found, classes), "fold": "Fold"}
    return _contents(run, found, files, "MIL run", columns, _tissue(config, data))


def _application(folder: Path, found: dict[str, MilSlide], classes: list[str], slides: Path | None) -> Contents:
    """New slides that a classifier called."""
    add_scores(found, folder / SCORES)
    try:
        positive = dict(read_json(folder / "apply.json")).get("positive")
    except (FileNotFoundError, BoundsError, TypeError, ValueError) as error:
        raise DataError(f"{folder / 'apply.json'}: {error}; run `apply` again") from None
    columns = {"call": "Call", **_scores(classes, positive), "calibrated": "Calibrated", "doubt": "Doubt"}
    if any(facts.get("label") for one in found.values() for facts in one.facts.values()):
        columns = {"label": "Label", **columns}
    tissue = folder / "input" / "geojson"
    return _contents(folder, found, SlideFiles(slides, run=folder), "application to new slides", columns, tissue)


def _said(config: Mapping[str, Any], found: Mapping[str, MilSlide], scores: list[str]) -> dict[str, str]:
    """Columns of what a slide is and what the models say: classes, or what a target beyond classes scores."""
    target = config["target"] if isinstance(config.get("target"), dict) else {}
    if scores == [RISK]:
        return {"label": "Label", **{name: str(target.get(name) or name) for name in TRUTH}, RISK: "Risk"}
    if scores == [PREDICTED]:
        return {"label": "Label", PREDICTED: f"Predicted {target.get('column', 'value')}"}
    there = {name for one in found.values() for facts in one.facts.values() for name in facts}
    called = {PREDICTED: "Predicted"} if PREDICTED in there else {}
    if target.get("kind", "classes") != "classes":
        named = {name: f"P({name.removeprefix(PROBABILITY)})" for name in scores[:_MOST_CLASSES]}
        return {"label": "Label", **called, **named}
    return {"label": "Label", PREDICTED: "Predicted", **_scores(scores, config.get("positive"))}


def _scores(classes: list[str], positive: object) -> dict[str, str]:
    """Columns of probabilities; of two classes one says it all: the positive one, by default the last."""
    if len(classes) == 2:
        given = f"{PROBABILITY}{positive}"
        classes = [given if given in classes else classes[-1]]
    return {name: f"P({name.removeprefix(PROBABILITY)})" for name in classes[:_MOST_CLASSES]}


def is_heatmap_folder(folder: Path) -> bool:
    """Whether `hage heatmap` wrote it."""
    return any(folder.glob(f"*/{SLIDES_FILE}"))


def read_heatmap_folder(folder: Path, *, slides: Path | None) -> Contents:
    """The folder that `hage heatmap --out` wrote to.

    Raises:
        DataError: a table that is not in its form.
    """
    found: dict[str, MilSlide] = {}
    add_heatmaps(found, folder)
    files = SlideFiles(slides, run=folder)
    facts = [facts for one in found.values() for facts in one.facts.values()]
    said = dict.fromkeys(name for one in facts for name in one if name not in ("label", "fold"))
    columns = {"label": "Label", **{name: _HEADINGS.get(name, name) for name in said}, "fold": "Fold"}
    return _contents(folder, found, files, "heatmaps", columns, None)


def _tissue(config: Mapping[str, Any], data: Mapping[str, Any]) -> Path | None:
    """Folder of the tissue that `hage encode slides` found; None where images were cut without looking for tissue."""
    features = config.get("features")
    return Path(features) / "geojson" if isinstance(features, str) and data.get("layout") == "slides" else None


def _contents(
    run: Path,
    found: Mapping[str, MilSlide],
    files: SlideFiles,
    kind: str,
    columns: Mapping[str, str],
    tissue: Path | None,
) -> Contents:
    listed = []
    for name, one in found.items():
        outline = None if tissue is None else (seen_from(run, tissue) / f"{name}.geojson").resolve()
        listed.append(
            ListedSlide(
                name=name,
                path=files.find(name, one.path),
                sought=files.sought(one.path),
                facts=one.facts,
                overlays=one.overlays,
                tissue=outline if outline is not None and outline.is_file() else None,
                mpp_um_per_px=one.mpp_um_per_px,
            )
        )
    sources = tuple(dict.fromkeys(source for one in found.values() for source in one.facts))
    hint = (
        ""
        if any(one.overlays for one in found.values())
        else f"`hage heatmap {run}` makes attention maps to lay over slides"
    )
    return Contents(run.name, kind, columns, sources, by_name(listed, run), hint)
