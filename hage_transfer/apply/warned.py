"""What a reader of an external validation is warned of, whatever was learnt; and which units trained the classifier."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hage_transfer.apply.classifier import Classifier
from hage_transfer.apply.scores import Scores
from hage_transfer.compare.bootstrap import MIN_GROUPS
from hage_transfer.config import read_yaml
from hage_transfer.csv_table import csv_table
from hage_transfer.data.labels import LabelTable, read_labels
from hage_transfer.errors import InputError, some
from hage_transfer.running.run_directory import CONFIG_FILE
from hage_transfer.slide_names import match_names

DOUBTFUL_SHARE = 0.2
"""Of the units, beyond which the page warns."""
_FEW_PATIENTS = 12
NOT_KNOWN = (
    "whether some of these trained the classifier is not known here: its directory names no slide and no patient, and "
    "the run that made it, with its label table, is not beside it"
)


def warned(scores: Scores, *, n_rows: int, n_patients: int, doubtful: np.ndarray) -> list[str]:
    """What holds of classes and of other targets.

    Args:
        scores: that are validated.
        n_rows: of them that have a true value.
        n_patients: of these.
        doubtful: whether each is beyond the training range.
    """
    found = [] if scores.facts.get("trained_on") == "" else [scores.facts.get("trained_on") or NOT_KNOWN]
    if len(scores) > n_rows:
        found.append(f"{len(scores) - n_rows} of {len(scores)} that were scored have no true value and are left out")
    if n_patients < MIN_GROUPS:
        found.append("too few patients for an interval")
    elif n_patients < _FEW_PATIENTS:
        found.append(f"{n_patients} patients: 95% intervals of so few are too short (88% in truth where there are 7)")
    if (share := float(doubtful.mean())) > DOUBTFUL_SHARE:
        found.append(
            f"{share:.0%} of these are doubtful (5% of units like training's would be): another population, stain or "
            "scanner"
        )
    return found


def trained_on(classifier: Classifier, names: Sequence[str], table: Path | None) -> str | None:
    """Which of these units, or of their patients, trained the classifier, in words; empty: none did.

    None where it is not known: a directory away from its run names no slide and no patient, nor does a run whose label
    table is gone name patients.

    Args:
        classifier: that scored them.
        names: of slides, or keys of patches.
        table: of the caller's, whose groups are their patients.
    """
    run = classifier.own_run
    if run is None:
        return None
    with csv_table(run / "predictions.csv", absent="no such file") as predictions:
        own = list(dict.fromkeys(row[predictions.columns[2]] for _, row in predictions.rows))
    slides = list(match_names(names, own))
    training = _training_table(run)
    patients = sorted(_patients(training, own) & _patients(_table(table), names))
    told = [f"{len(slides)} of {len(names)} (first: {some(slides, 1)})"] if slides else []
    told += [f"{len(patients)} of their patients (first: {some(patients, 1)})"] if patients else []
    if not told and training is None:
        return None
    return f"{' and '.join(told)} trained the classifier: what it scores of these is no external result" if told else ""


def _training_table(run: Path) -> LabelTable | None:
    """The label table of a run where it still lies where the run read it."""
    config = read_yaml(run / CONFIG_FILE)
    data = config["data"] if isinstance(config.get("data"), dict) else {}
    places = [data.get("labels"), data.get("manifest"), f"{config.get('features', '.')}/labels.csv"]
    return next((found for place in places if place and (found := _table(Path(place))) is not None), None)


def _table(path: Path | None) -> LabelTable | None:
    try:
        return None if path is None or not path.is_file() else read_labels(path, labels_needed=False)
    except InputError:
        return None


def _patients(table: LabelTable | None, names: Sequence[str]) -> set[str]:
    """Groups of some units."""
    if table is None or table.groups is None:
        return set()
    known = set(match_names(names, table.keys.tolist()).values())
    return {group for key, group in zip(table.keys.tolist(), table.groups.tolist(), strict=True) if key in known}
