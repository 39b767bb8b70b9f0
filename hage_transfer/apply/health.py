"""A new cohort beside the training cohort, before anything is scored: what differs, in words."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hage_transfer.apply.classifier import Classifier
from hage_transfer.apply.decide import RANGE
from hage_transfer.apply.looked import CHANNELS
from hage_transfer.bounded import BoundsError, read_json
from hage_transfer.errors import DataError
from hage_transfer.running.failures import read_failures

HEALTH_FILE, FINDINGS_FILE, HEALTH_PAGE = "health.csv", "health.json", "health.html"
OTHER_SCALE = 1.1
"""Ratio of um per px from which on two slides are of another resolution."""
MEASURES: Mapping[str, tuple[str, str]] = {
    "mpp_um_per_px": ("um per px", ".3g"),
    "tissue_share": ("tissue", ".1%"),
    "tiles": ("tiles", ".0f"),
    **{f"stain_{name}": (f"{name} density", ".2f") for name in CHANNELS},
    "stain_distance": ("stain, distance", ".2f"),
    "tile_distance": ("tiles, distance", ".2f"),
}
"""Columns of numbers: their names in a table, and the form of their numbers."""
DISTANCES = ("stain_distance", "tile_distance")
_UNLIKE = {"stain_distance": "stain unlike training", "tile_distance": "tiles unlike training"}
_CLEARLY = 1.0  # std of the training slides from which on a direction of the stain is named


@dataclass(frozen=True)
class Finding:
    """One way in which units differ from training.

    Attributes:
        words: what differs, of all of them.
        units: which do.
        own: what differs of each of these; empty: the same words.
    """

    words: str
    units: tuple[int, ...]
    own: tuple[str, ...] = ()

    def of_each(self) -> Iterator[tuple[int, str]]:
        """Every unit with its own words."""
        return zip(self.units, self.own or [self.words] * len(self.units), strict=True)


@dataclass(frozen=True, repr=False)
class Health(os.PathLike[str]):
    """What a look before applying found; a row a slide in ``frame()``, and it shows itself.

    Attributes:
        folder: of the look, and of the application that may follow.
        findings: what differs from the training cohort, a sentence each; empty where nothing does.
        not_known: what could not be compared, and why.
    """

    folder: Path
    findings: tuple[str, ...]
    not_known: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> "Health":
        """Reads what a look left.

        Raises:
            DataError: nothing, or a file that is damaged.
        """
        path = folder / FINDINGS_FILE
        try:
            facts = dict(read_json(path))
            return cls(folder, tuple(facts["findings"]), tuple(facts["not_known"]))
        except FileNotFoundError:
            raise DataError(f"{folder}: nothing was looked at ({FINDINGS_FILE} is missing); `look` does it") from None
        except (BoundsError, TypeError, ValueError, KeyError) as error:
            raise DataError(f"{path}: {error}; look again") from None

    def __fspath__(self) -> str:
        return str(self.folder)

    @cached_property
    def _table(self) -> pd.DataFrame:
        path = self.folder / HEALTH_FILE
        try:
            missing = {name: [""] for name in MEASURES}
            return pd.read_csv(path, dtype={"slide": str, "key": str}, keep_default_na=False, na_values=missing)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}); look again") from None

    def frame(self) -> pd.DataFrame:
        """Every row and column of ``health.csv``."""
        return self._table.copy()

    @property
    def failures(self) -> dict[str, str]:
        """Reason of each slide that could not be looked at."""
        return read_failures(self.folder)

    def caption(self) -> str:
        """How many differ, in a sentence."""
        table = self._table
        n_other = int((table["differs"] != "").sum())
        failed = f"; {len(self.failures)} could not be read" if self.failures else ""
        what = f"{n_other} of {len(table)} differ from the training cohort" if n_other else _ALIKE.format(len(table))
        return f"{self.folder}: {what}{failed}"

    def __repr__(self) -> str:
        lines = [self.caption(), *(f"- {one}" for one in (*self.findings, *self.not_known))]
        return "\n".join([*lines, self._table.to_string(max_rows=20)])

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        items = "".join(f"<li>{escape(one)}</li>" for one in (*self.findings, *self.not_known))
        return f"<p>{escape(self.caption())}</p><ul>{items}</ul>{self._table.to_html(max_rows=20)}"


_ALIKE = "all {} are like the training cohort, as far as is known"


def found_differences(classifier: Classifier, new: pd.DataFrame) -> tuple[list[Finding], list[str]]:
    """What differs, and what could not be compared.

    Args:
        classifier: with its training units.
        new: a row a unit: ``no_tiles`` and the columns of ``looked.COLUMNS`` and ``DISTANCES``.
    """
    training = classifier.training
    checks = [_no_tiles(new), _scale(new, training), _coarse(new, classifier.facts), _scanner(new, training)]
    checks += [_beyond(name, new, training) for name in DISTANCES]
    checks += [_outside(name, new, training) for name in ("tissue_share", "tiles")]
    return [one for one in checks if one is not None and one.units], _not_known(new, training)


def differs(findings: Sequence[Finding], n_units: int) -> list[str]:
    """Words of every unit that differs; empty of those that do not."""
    found: list[list[str]] = [[] for _ in range(n_units)]
    for one in findings:
        for unit, words in one.of_each():
            found[unit].append(words)
    return ["; ".join(words) for words in found]


def sentences(findings: Sequence[Finding], new: pd.DataFrame, training: pd.DataFrame) -> list[str]:
    """A sentence a way, with how many units go it, and how many units like training's would by chance."""
    return [_sentence(one, new, training) for one in findings]


def _sentence(one: Finding, new: pd.DataFrame, training: pd.DataFrame) -> str:
    text = f"{len(one.units)} of {len(new)}: {one.words}"
    name = next((column for column, words in _RANGED.items() if one.words.startswith(words)), None)
    if name is None:
        return text
    n_known, n_training = int(new[name].notna().sum()), int(training[name].notna().sum())
    ends = 1 if name in DISTANCES else 2
    by_chance = n_known * max(1 - RANGE, ends / (n_training + 1))
    values = _spread(new[name].iloc[list(one.units)], MEASURES[name][1])
    return f"{text} ({values}; training {_spread(training[name], MEASURES[name][1])}; about {by_chance:.1f} by chance)"


_RANGED = {**_UNLIKE, "tissue_share": "tissue", "tiles": "number of tiles"}


def _spread(values: "pd.Series[float]", form: str) -> str:
    low, high = (f"{value:{form}}" for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def _no_tiles(new: pd.DataFrame) -> Finding:
    return Finding("no tile to score", _places(new["no_tiles"] != ""))


def _scale(new: pd.DataFrame, training: pd.DataFrame) -> Finding | None:
    there = _known("mpp_um_per_px", training)
    if not len(there):
        return None
    mpp = new["mpp_um_per_px"].to_numpy(dtype=float)
    apart = np.abs(np.log(mpp[:, None] / np.unique(there)[None])).min(axis=1)
    units = _places(apart > np.log(OTHER_SCALE))
    met, trained = new["mpp_um_per_px"].iloc[list(units)], _spread(pd.Series(there), ".3g")
    own = tuple(f"{value:.3g} um per px, training slides {trained}" for value in met)
    return Finding(f"{_spread(met, '.3g')} um per px, training slides {trained}", units, own)


def _coarse(new: pd.DataFrame, facts: Mapping[str, Any]) -> Finding | None:
    """Slides that are coarser than the tiles that are cut of them, which no resampling makes sharp."""
    wanted = facts["features"].get("mpp_um_per_px")
    if wanted is None:
        return None
    units = _places(new["mpp_um_per_px"].to_numpy(dtype=float) > OTHER_SCALE * wanted)
    return Finding(f"coarser than the tiles that the classifier takes ({wanted:.3g} um per px)", units)


def _scanner(new: pd.DataFrame, training: pd.DataFrame) -> Finding | None:
    there = {name for name in training.get("scanner", pd.Series(dtype=str)).dropna() if name}
    if not there:
        return None
    units = _places(~new["scanner"].isin({*there, ""}))
    met, trained = new["scanner"].iloc[list(units)], ", ".join(sorted(there))
    own = tuple(f"scanner {name}, training {trained}" for name in met)
    return Finding(f"scanner {', '.join(sorted(set(met)))}, training {trained}", units, own)


def _beyond(name: str, new: pd.DataFrame, training: pd.DataFrame) -> Finding | None:
    """Units further than 95% of the training units, which were measured held out."""
    there = _known(name, training)
    if not len(there):
        return None
    units = _places(new[name].to_numpy(dtype=float) > np.quantile(there, RANGE))
    way = _stain_way(new.iloc[list(units)], training) if name == "stain_distance" and units else ""
    return Finding(f"{_UNLIKE[name]}{way}", units)


def _stain_way(new: pd.DataFrame, training: pd.DataFrame) -> str:
    """In which channels it is darker or paler, on the whole."""
    ways: dict[str, list[str]] = {}
    for channel in CHANNELS:
        there = _known(f"stain_{channel}", training)
        if len(there) and (std := there.std()) > 0:
            away = (new[f"stain_{channel}"].mean() - there.mean()) / std
            if abs(away) > _CLEARLY:
                ways.setdefault("darker" if away > 0 else "paler", []).append(channel)
    return "".join(f", {way} in {' and '.join([', '.join(c[:-1])] * (len(c) > 1) + c[-1:])}" for way, c in ways.items())


def _outside(name: str, new: pd.DataFrame, training: pd.DataFrame) -> Finding | None:
    """Units below or above the middle 95% of the training units."""
    there = _known(name, training)
    if not len(there):
        return None
    low, high = np.quantile(there, [(1 - RANGE) / 2, (1 + RANGE) / 2])
    values = new[name].to_numpy(dtype=float)
    return Finding(f"{_RANGED[name]} outside the training range", _places((values < low) | (values > high)))


def _not_known(new: pd.DataFrame, training: pd.DataFrame) -> list[str]:
    found = []
    for title, name in {"um per px": "mpp_um_per_px", "tissue": "tissue_share", "stain": "stain_distance"}.items():
        if not len(_known(name, training)):
            found.append(f"{title}: not compared, the classifier directory does not have the training slides'")
        elif not new[name].notna().any():
            found.append(f"{title}: not compared, it is not known of what was given")
    if not any(training.get("scanner", pd.Series(dtype=str)).fillna("")):
        found.append("scanner: not compared, no training slide names it")
    elif not any(new["scanner"]):
        found.append("scanner: not compared, no new slide names it")
    return found


def _known(name: str, training: pd.DataFrame) -> np.ndarray:
    return training[name].dropna().to_numpy(dtype=float) if name in training else np.zeros(0)


def _places(chosen: Any) -> tuple[int, ...]:
    return tuple(np.flatnonzero(np.asarray(chosen)).tolist())
