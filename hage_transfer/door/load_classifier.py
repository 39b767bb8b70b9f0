"""`load_classifier`: what a run trained, without the run."""

import os
from collections.abc import Callable
from typing import Any

from hage_transfer.apply.classifier import Classifier
from hage_transfer.apply.found import find_classifier
from hage_transfer.door.given import PathLike


def load_classifier(
    classifier: PathLike, *, source: str | None = None, model: Callable[..., Any] | None = None
) -> Classifier:
    """Loads a trained classifier from its directory, from a run of ``mil`` or ``probe``, or from the hub.

    Args:
        classifier: classifier directory, run, or ``organisation/name`` on the hub.
        source: feature source of a run that has several.
        model: the class of a bag classifier of your own; the one that was trained, by name and code.

    Raises:
        DataError: no classifier directory, or a file in it is missing or was changed.
        ConfigError: a run of several sources without ``source``; a class of your own that is missing or another.
        WeightsError: not to be had from the hub.
    """
    own = model or getattr(classifier, "model", None)
    return find_classifier(os.fspath(classifier), source=source, own=own)
