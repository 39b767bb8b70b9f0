"""`selected.json`: which encoder directory did best in a probe, and by which numbers; `hage mil` takes it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hage_transfer.bounded import BoundsError, read_json
from hage_transfer.compare.records import MEAN
from hage_transfer.compare.results import Results
from hage_transfer.errors import DataError
from hage_transfer.models.checkpoint import encoder_sha256
from hage_transfer.running.atomic import write_json

SELECTED_FILE = "selected.json"
RULE = (
    "The encoder of the best mean {metric} over {what} of this probe; the paper takes the best on PCAM to its slides."
)
HONEST = {
    "validation": "The validation part trained nothing and is not the test part, so the test numbers stay honest.",
    "test": (
        "These are the probe's own test folds: the selected encoder's numbers there are the best of several and no "
        "estimate any more. On other data (slides) the choice is fair."
    ),
}


def select(
    results: Results, among: Sequence[tuple[str, int | None, Path]], *, metric: str, run: Path
) -> dict[str, Any]:
    """Writes ``selected.json`` into the run and returns what it says.

    Validation rows decide where the split has them, else the test folds; the file says which.

    Raises:
        DataError: the metric is defined for no candidate.
    """
    split = "validation" if results.select(split="validation") else "test"
    scored: list[dict[str, Any]] = []
    for source, trial, encoder in among:
        found = results.select(source=source, trial=trial, metric=metric, split=split, fold=MEAN)
        value = found[0].value if found else None
        scored.append({"source": source, "trial": trial, "encoder": encoder.as_posix(), metric: value})
    known = [row for row in scored if row[metric] is not None]
    if not known:
        raise DataError(f"{run}: {metric} is defined for no encoder; choose another set select_by=...")
    best = max(known, key=lambda row: row[metric])
    what = "the validation part" if split == "validation" else "the test folds"
    selected = {
        "schema_version": 1,
        **best,
        "encoder_sha256": encoder_sha256(Path(best["encoder"])),
        "selected_by": {"metric": metric, "rows": split, "rule": RULE.format(metric=metric, what=what)},
        "read_with_care": HONEST[split],
        "probe": run.as_posix(),
        "candidates": scored,
    }
    write_json(run / SELECTED_FILE, selected)
    return selected


def read_selection(path: Path) -> Path:
    """The encoder directory that a ``selected.json`` names.

    Raises:
        DataError: no such file, not one of these, its encoder is not there, or was trained again since.
    """
    try:
        tree = read_json(path)
        encoder, sha256 = Path(tree["encoder"]), str(tree["encoder_sha256"])
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; `probe(select=True)` writes it") from None
    except (BoundsError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not a file of `probe(select=True)`: {error}") from None
    if not encoder.is_dir():
        raise DataError(f"{path}: names the encoder {encoder}, and no such folder is here; run from the same folder")
    if encoder_sha256(encoder) != sha256:
        raise DataError(f"{path}: {encoder} has been trained again since it was selected; run `probe(select=True)`")
    return encoder
