"""The controls of a pretraining run as sources of a comparison, beside the encoders that they belong to."""

import logging
from collections.abc import Mapping
from pathlib import Path

from hage_transfer.compare.source_settings import SourceSettings
from hage_transfer.encode.sources import find_encoders, run_of
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.models.checkpoint import read_card
from hage_transfer.models.model_card import is_control

log = logging.getLogger(__name__)
FOLDER = "controls"


def with_controls(
    sources: Mapping[str, SourceSettings], wanted: bool | Path | None, *, by_default: bool
) -> dict[str, SourceSettings]:
    """The sources, and after them a source for each control of their pretraining run, under the control's name.

    A control stands in for the same folds (held-out units) as the encoders of the first source that has some, with as
    many trials as it has there. A source of a control's name that is there already is kept.

    Args:
        sources: of the config.
        wanted: ``controls`` of the config.
        by_default: whether ``wanted`` None means those that are there.

    Raises:
        ConfigError: controls are wanted, and no source has an encoder.
        DataError: controls are wanted, and the run has none for these encoders, or is none.
    """
    if wanted is False or (wanted is None and not by_default):
        return dict(sources)
    first = _first(sources)
    if first is None:
        if wanted is None:
            return dict(sources)
        raise ConfigError("controls=True: no source has an encoder that they could stand beside; give sources one")
    source, encoders = first
    run = wanted if isinstance(wanted, Path) else run_of(encoders[0])
    folds = dict.fromkeys(str(read_card(encoder).get("fold", encoder.parent.name)) for encoder in encoders)
    found = {
        name.name: tuple(str(path) for fold in folds for path in _trials(name / fold))
        for name in sorted((run / FOLDER).glob("*"))
    }
    found = {name: paths for name, paths in found.items() if paths}
    if wanted is not None and not found:
        raise DataError(
            f"{run / FOLDER}: holds no control of the folds {', '.join(folds)}; `pretrain(controls=True)` with the "
            "config of that run makes them, or set controls=<folder of a pretraining run>"
        )
    if found:
        log.info("controls of %s: %s", run, ", ".join(found))
    made = {name: source.model_copy(update={"encoder": paths}) for name, paths in found.items()}
    return {**sources, **{k: v for k, v in made.items() if k not in sources}}


def _first(sources: Mapping[str, SourceSettings]) -> tuple[SourceSettings, list[Path]] | None:
    """The first source that has encoder directories and is no control itself, and these."""
    for name, source in sources.items():
        if source.encoder is not None:
            found = find_encoders(name, source.encoder)
            if not is_control(read_card(found[0])):
                return source, found
    return None


def _trials(folder: Path) -> list[Path]:
    return sorted(folder.glob("trial_*"), key=lambda path: int(path.name.removeprefix("trial_")))
