"""What the tables of a MIL run say of its slides: `predictions.csv`, and `slides.csv` of each source's heatmaps."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hage_transfer.csv_table import as_number, csv_table, is_plain_name
from hage_transfer.errors import DataError
from hage_transfer.running.run_directory import H5AD_FILE, SLIDES_FILE
from hage_transfer.viewer.contents import Fact

PREDICTIONS, SCORES = "predictions.csv", "scores.csv"
PROBABILITY, UNLABELLED = "probability_", "unlabelled"
PROBABLE = "probability"
RISK, PREDICTED, GRADE, TRUTH = "risk", "predicted", "expected_grade", ("time", "event")
CALLS = {"call": "Call", PREDICTED: "Predicted"}
"""Of a new slide the call at the operating point; of a run's the class of highest probability."""


@dataclass
class MilSlide:
    """One slide, source by source.

    Attributes:
        facts: of each source.
        overlays: tile table of each source that has one.
        path: as the heatmaps recorded it.
        mpp_um_per_px: of level 0, as the heatmaps recorded it.
    """

    facts: dict[str, dict[str, Fact]] = field(default_factory=dict)
    overlays: dict[str, Path] = field(default_factory=dict)
    path: Path | None = None
    mpp_um_per_px: float | None = None


def read_predicted(path: Path) -> tuple[dict[str, MilSlide], list[str]]:
    """Slides of `predictions.csv` and columns of scores, averaged over trials: probabilities, a risk or a number.

    Raises:
        DataError: missing, or of a probe run.
    """
    with csv_table(path, absent="no such file; is the run finished?") as table:
        if "slide" not in table.columns:
            raise DataError(f"{path}: has no column slide: a probe's run has patches, not slides, to view")
        classes = [name for name in table.columns if name.startswith(PROBABILITY)]
        numbers = [name for name in (RISK, PREDICTED) if name in table.columns]
        scores = classes or numbers[:1]
        if not scores:
            raise DataError(f"{path}: has no column {PROBABILITY}<class>; `mil` writes them")
        rows: dict[tuple[str, str], list[dict[str, str]]] = {}
        for _, row in table.rows:
            rows.setdefault((row["slide"], row["source"]), []).append(row)
    found: dict[str, MilSlide] = {}
    for (slide, source), trials in rows.items():
        means = {name: sum(as_number(row[name]) or 0.0 for row in trials) / len(trials) for name in scores}
        facts: dict[str, Fact] = {name: trials[0][name] for name in ("label", "fold", *TRUTH) if name in trials[0]}
        if classes and PREDICTED in trials[0]:
            best = max(means, key=lambda name: means[name])
            facts[PREDICTED] = trials[0][PREDICTED] if len(trials) == 1 else best.removeprefix(PROBABILITY)
        found.setdefault(slide, MilSlide()).facts[source] = {**facts, **means}
    return found, scores


def add_heatmaps(found: dict[str, MilSlide], folder: Path) -> None:
    """Adds what `<source>/slides.csv` and `<source>/<slide>/tiles.h5ad` hold.

    Raises:
        DataError: a table that is not in its form.
    """
    for source, row in _rows(folder):
        slide = found.setdefault(row["slide"], MilSlide())
        facts = slide.facts.setdefault(source, {})
        for key in ("label", "fold"):
            facts[key] = row.get(key) or facts.get(key)
        for key in told(row):
            number = None if key == PREDICTED and PROBABLE in row else as_number(row[key])
            facts[key] = (row[key] or None) if number is None else number
        slide.path = Path(row["path"]) if row.get("path") else slide.path
        slide.mpp_um_per_px = as_number(row.get("mpp", "")) or slide.mpp_um_per_px
        tiles = folder / source / row["slide"] / H5AD_FILE
        if tiles.is_file():
            slide.overlays[source] = tiles


def add_expected_grade(found: Mapping[str, MilSlide], grades: Sequence[str]) -> None:
    """Adds the mean place of the grade, by the probabilities of all grades, the lowest first."""
    for facts in (facts for one in found.values() for facts in one.facts.values()):
        shares = [share for share in map(facts.get, grades) if isinstance(share, float)]
        if len(shares) == len(grades):
            facts[GRADE] = sum(place * share for place, share in enumerate(shares))


def add_scores(found: dict[str, MilSlide], path: Path, *, is_called: bool) -> None:
    """Adds what `scores.csv` of an application says of its slides: the call, and how far it is to be doubted.

    Args:
        found: the slides.
        path: of the table.
        is_called: whether every slide has a call.

    Raises:
        DataError: a table that is not in its form.
    """
    with csv_table(path, absent="no such file; is the application finished?") as table:
        wanted = ("slide", "doubt", *(("call",) if is_called else ()))
        if missing := [name for name in wanted if name not in table.columns]:
            raise DataError(f"{path}: has no column {missing[0]}; `apply` writes it")
        for _, row in table.rows:
            abstained = " (abstained)" if row.get("abstained") == "True" else ""
            told: dict[str, Fact] = {"doubt": as_number(row["doubt"]), "why": row.get("why") or None}
            told |= {"call": row["call"] + abstained} if "call" in row else {}
            told |= {"calibrated": as_number(row["calibrated"])} if "calibrated" in row else {}
            for facts in found.get(row["slide"], MilSlide()).facts.values():
                facts.update(told)
                if facts.get("label") == UNLABELLED:
                    facts["label"] = None


def told(row: Iterable[str]) -> list[str]:
    """Columns of `slides.csv` that say what models say: those between the label and the fold."""
    names = list(row)
    return names[names.index("label") + 1 : names.index("fold")] if {"label", "fold"} <= set(names) else []


def _rows(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    for path in sorted(folder.glob(f"*/{SLIDES_FILE}")):
        with csv_table(path, absent="no such file") as table:
            if "slide" not in table.columns:
                raise DataError(f"{path}: has no column slide; `explain` writes it")
            for line, row in table.rows:
                if not is_plain_name(row["slide"]):
                    raise DataError(f"{path}: line {line}: {row['slide']!r} is no slide's name; it has folders in it")
                yield path.parent.name, row
