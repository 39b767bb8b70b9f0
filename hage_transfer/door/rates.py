"""Rates of stages as they were measured: the file that holds them, and the fit of a few runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, NonNegativeFloat
from scipy.optimize import nnls

from hage_transfer.bounded import BoundsError, read_json
from hage_transfer.config import Settings, make_config
from hage_transfer.errors import DataError
from hage_transfer.running.atomic import write_json

Work = Mapping[str, float]
"""Amounts of work by kind: slides, tiles, spots times epochs."""
NEAR = 0.25
"""Relative difference of a size up to which a rate is taken for another."""


class PartRates(Settings):
    """Seconds for a unit of each kind of work, by the clock and of cores."""

    seconds: dict[str, NonNegativeFloat]
    core_seconds: dict[str, NonNegativeFloat] = Field({})


class StageRates(Settings):
    """What was measured of a stage; kinds of work that are left out cost nothing."""

    at: dict[str, Any] = Field({}, description="settings that the rates hold for")
    parts: dict[str, PartRates] = Field({}, description="by part of the stage")
    disk_bytes: dict[str, NonNegativeFloat] = Field({}, description="left on disk for a unit of each kind of work")
    peak_bytes: dict[str, NonNegativeFloat] = Field({}, description="of memory of the process, likewise")
    basis: str = Field("", description="what was run")
    error: float = Field(0.0, ge=0, description="largest relative difference of a run from what the rates give for it")
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
    stages: dict[str, StageRates]

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


def fit(samples: Sequence[tuple[Work, float]]) -> tuple[dict[str, float], float]:
    """Rates of each kind of work from a few runs, none negative, by least squares of the relative differences.

    Returns:
        The rates, and the largest relative difference.
    """
    terms = list(dict.fromkeys(term for work, _ in samples for term in work))
    measured = np.maximum([value for _, value in samples], 1e-9)
    amounts = np.array([[work.get(term, 0.0) for term in terms] for work, _ in samples]) / measured[:, None]
    scale = np.maximum(amounts.max(axis=0), 1e-300)
    found, _ = nnls(amounts / scale, np.ones(len(samples)))
    rates = dict(zip(terms, (found / scale).tolist(), strict=True))
    return rates, float(np.abs(amounts @ (found / scale) - 1).max())
