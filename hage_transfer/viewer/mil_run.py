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
    CALLS,
    GRADE,
    PREDICTED,
    PREDICTIONS,
    PROBABILITY,
    RISK,
    SCORES,
    TRUTH,
    MilSlide,
    add_expected_grade,
    add_heatmaps,
    add_scores,
    read_predicted,
)
from hage_transfer.viewer.slide_files import SlideFiles, seen_from

_MOST_CLASSES, CLASSES = 4, "classes"
_HEADINGS = {"predicted": "Predicted", "probability": "Prob."}


def read_mil_run(run: Path, *, slides: Path | None) -> Contents:
    """A MIL run: the slides of `predictions.csv`, with what `heatmaps/` in it holds.

    Raises:
        DataError: a probe run, or a table that is not in its form.
    """
    found, scores = read_predicted(run / PREDICTIONS)
    add_heatmaps(found, run / HEATMAPS_FOLDER)
    config = read_yaml(run / CONFIG_FILE)
    target = config["target"] if isinstance(config.get("target"), dict) else {}
    if run.name == "as_run" and (run.parent / SCORES).is_file():
        return _application(run.parent, found, scores, target, slides)
    data = config["data"] if isinstance(config.get("data"), dict) else {}
    files = SlideFiles(slides, [] if data.get("layout") == "features" else [Path(data.get("root", "."))], run=run)
    columns = {"label": "Label", **_said(target, found, scores, config.get("positive")), "fold": "Fold"}
    return _contents(run, found, files, f"MIL run{_of(target)}", columns, _tissue(config, data))


def _application(
    folder: Path, found: dict[str, MilSlide], scores: list[str], target: Mapping[str, Any], slides: Path | None
) -> Contents:
    """New slides that a classifier scored."""
    add_scores(found, folder / SCORES, is_called=_is_of_classes(target))
    try:
        positive = dict(read_json(folder / "apply.json")).get("positive")
    except (FileNotFoundError, BoundsError, TypeError, ValueError) as error:
        raise DataError(f"{folder / 'apply.json'}: {error}; run `apply` again") from None
    columns = {**_said(target, found, scores, positive), "calibrated": "Calibrated", "doubt": "Doubt"}
    there = {name for one in found.values() for facts in one.facts.values() for name, value in facts.items() if value}
    kept = {name: heading for name, heading in columns.items() if name != "calibrated" or name in there}
    kept = {"label": "Label", **kept} if "label" in there else kept
    kind = f"application to new slides{_of(target)}"
    return _contents(folder, found, SlideFiles(slides, run=folder), kind, kept, folder / "input" / "geojson")


def _is_of_classes(target: Mapping[str, Any]) -> bool:
    return target.get("kind", CLASSES) == CLASSES


def _of(target: Mapping[str, Any]) -> str:
    """What is scored beyond classes and in what, to follow what the folder is."""
    column, kind = target.get("column", "value"), target.get("kind")
    units = {
        "survival": "risk is minus the intervals survived"
        if target.get("loss") == "hazards"
        else "risk is the log hazard from the training mean",
        "regression": f"{column} in its own unit",
        "ordinal": f"expected {column}, 0 for the lowest",
        "multilabel": "a probability a label",
    }
    return f": {kind}, {units[kind]}" if kind in units else ""


def _said(
    target: Mapping[str, Any], found: Mapping[str, MilSlide], scores: list[str], positive: object
) -> dict[str, str]:
    """Columns of what the models say: classes, or what a target beyond classes scores, after what was true."""
    there = {name for one in found.values() for facts in one.facts.values() for name in facts}
    if scores == [RISK]:
        return {**{name: str(target.get(name) or name) for name in TRUTH if name in there}, RISK: "Risk"}
    if scores == [PREDICTED]:
        return {PREDICTED: f"Predicted {target.get('column', 'value')}"}
    called = next(({name: heading} for name, heading in CALLS.items() if name in there), {})
    if _is_of_classes(target):
        return {**called, **_scores(scores, positive)}
    if target["kind"] == "ordinal":
        add_expected_grade(found, scores)
        called |= {GRADE: f"Expected {target.get('column', 'grade')}"}
    return {**called, **{name: f"P({name.removeprefix(PROBABILITY)})" for name in scores[:_MOST_CLASSES]}}


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
        else f"hage heatmap {run} makes attention maps to lay over slides"
    )
    return Contents(run.name, kind, columns, sources, by_name(listed, run), hint)
