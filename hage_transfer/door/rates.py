"""Rates of stages as they were measured: the file that holds them, and the fit of a few runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, NonNegativeFloat
from scipy.optimize import nnls

from hage_transfer.bounded import BoundsError, read_json
from hage_transfer.config import Settings, make_config
from hage_transfer.errors import DataError
from hage_transfer.running.atomic import write_json

Work = Mapping[str, float]
"""Amounts of work by kind: slides, tiles, spots times epochs."""
NEAR = 0.25
"""Relative difference of a size up to which a rate is taken for another."""


STAGES = ("encode st", "encode patches", "encode slides", "pretrain", "embed", "probe", "mil")
KINDS = (
    *("start", "run", "job", "trial", "fold", "file", "row", "row_row", "trial_row"),
    *("slide", "tile", "slide_epoch", "tile_epoch", "patch", "section", "spot", "spot_epoch", "trial_spot"),
)
"""Kinds of work: ``slide_epoch`` is a slide in an epoch, ``trial_spot`` a spot that a trial predicts, and so on."""
AT = (
    *("name", "precision", "views", "surround", "genes", "width", "embed_dim", "batch_size", "folds"),
    *("kind", "hidden_dim"),
)
"""Settings that rates may say they were measured at."""


def _known(names: Sequence[str], what: str) -> AfterValidator:
    def check(found: dict[str, Any]) -> dict[str, Any]:
        if strange := [name for name in found if name not in names]:
            raise ValueError(f"{', '.join(strange)}: no {what}; known: {', '.join(names)}")
        return found

    return AfterValidator(check)


ByKind = Annotated[dict[str, NonNegativeFloat], _known(KINDS, "kind of work")]


class PartRates(Settings):
    """Seconds for a unit of each kind of work, by the clock and of cores."""

    seconds: ByKind
    core_seconds: ByKind = Field({})


class StageRates(Settings):
    """What was measured of a stage; kinds of work that are left out cost nothing."""

    at: Annotated[dict[str, Any], _known(AT, "setting of rates")] = Field(
        {}, description="settings that the rates hold for"
    )
    parts: dict[str, PartRates] = Field({}, description="by part of the stage")
    disk_bytes: ByKind = Field({}, description="left on disk for a unit of each kind of work")
    peak_bytes: ByKind = Field({}, description="of memory of the process, likewise")
    basis: str = Field("", description="what was run")
    error: float | None = Field(
        None, ge=0, description="largest relative difference of a run from what the rates give for it; None: not known"
    )
    why_not: str = Field("", description="why nothing was measured")

    def unlike(self, wanted: Mapping[str, Any]) -> list[str]:
        """Settings of a plan that these rates were not measured at; what they do not say is taken as it is."""
        return [
            f"{key} {self.at[key]} (here {value})"
            for key, value in wanted.items()
            if key in self.at and not _near(self.at[key], value)
        ]


class Rates(Settings):
    """Rates of one kind of machine."""

    device: str = Field(description="in words, for people")
    kind: Literal["cpu", "cuda"]
    measured: str = Field("", description="when")
    stages: Annotated[dict[str, StageRates], _known(STAGES, "stage")]

    def save(self, path: Path) -> None:
        """Writes the file."""
        write_json(path, self.model_dump())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a file.

        Raises:
            DataError: no such file, or no JSON.
            ConfigError: it is no file of rates; the message says which key is wrong.
        """
        try:
            tree = read_json(path)
        except FileNotFoundError:
            raise DataError(f"{path}: no such file of rates; measure=True with rates= writes one") from None
        except BoundsError as error:
            raise DataError(f"{path}: {error}") from None
        if not isinstance(tree, dict):
            raise DataError(f"{path}: is no file of rates; wanted device, kind and stages")
        return make_config(cls, tree, where=str(path))


def _near(one: Any, other: Any) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return abs(one - other) <= NEAR * max(abs(one), abs(other))
    return bool(one == other)


def cost(rates: Work, work: Work) -> float:
    """Of some work at these rates."""
    return sum(rates.get(term, 0.0) * amount for term, amount in work.items())


def fit(samples: Sequence[tuple[Work, float]]) -> tuple[dict[str, float], float | None]:
    """Rates of each kind of work from a few runs, none negative, by least squares of the relative differences.

    Returns:
        The rates, and the largest relative difference: None where there are no more runs than rates.
    """
    terms = list(dict.fromkeys(term for work, _ in samples for term in work))
    measured = np.maximum([value for _, value in samples], 1e-9)
    amounts = np.array([[work.get(term, 0.0) for term in terms] for work, _ in samples]) / measured[:, None]
    scale = np.maximum(amounts.max(axis=0), 1e-300)
    found, _ = nnls(amounts / scale, np.ones(len(samples)))
    rates = dict(zip(terms, (found / scale).tolist(), strict=True))
    off = float(np.abs(amounts @ (found / scale) - 1).max())
    return rates, off if len(samples) > len(terms) else None
