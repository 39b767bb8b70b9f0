"""Which sections train and which test: leave one patient out, or leave one section out, each under its own name."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from jaxtyping import Int

from hage_transfer.errors import SplitError
from pretrain.config import FoldSettings


@dataclass(frozen=True)
class LeftOut:
    """One held-out unit.

    Attributes:
        name: the held-out patient or section.
        train: sections that train (and validate).
        test: sections of the held-out unit.
    """

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]


def leave_out_folds(patients: Mapping[str, str], settings: FoldSettings) -> list[LeftOut]:
    """The folds over sections (``patients`` maps each section's name to its patient's).

    By patient, no section of a held-out patient trains. By section, other sections of its patient do: the results
    say which of the two was used.

    Raises:
        SplitError: an unknown unit or section, a fold without training sections, or ``split.train`` naming the
            held-out unit.
    """
    units = {section: section if settings.unit == "section" else patient for section, patient in patients.items()}
    held_out = settings.held_out or tuple(dict.fromkeys(units.values()))
    _check_known("split.held_out", held_out, set(units.values()), what=settings.unit)
    allowed = settings.train if settings.train is not None else tuple(patients)
    _check_known("split.train", allowed, set(patients), what="section")
    folds = []
    for unit in held_out:
        test = tuple(section for section in patients if units[section] == unit)
        leaking = [section for section in allowed if section in test]
        if settings.train is not None and leaking:
            raise SplitError(
                f"split.train names {', '.join(leaking)}, which is held out with {settings.unit} {unit}; "
                "take it out of split.train or out of split.held_out"
            )
        train = tuple(section for section in allowed if section not in test)
        if not train:
            raise SplitError(f"holding out {settings.unit} {unit} leaves no section to train on; add sections")
        folds.append(LeftOut(unit, train, test))
    return folds


def split_spots(n_spots: int, *, share: float, seed: int) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " val"]]:
    """Row numbers of the training and of the validation spots, drawn at random (paper: 4:1 by spots).

    Raises:
        SplitError: too few spots for one on each side.
    """
    n_validation = round(n_spots * share)
    if not 0 < n_validation < n_spots:
        raise SplitError(f"{n_spots} training spots cannot be split with split.validation = {share}; add sections")
    order = np.random.default_rng(seed).permutation(n_spots)
    return np.sort(order[n_validation:]), np.sort(order[:n_validation])


def _check_known(key: str, names: tuple[str, ...], known: set[str], *, what: str) -> None:
    for name in names:
        if name not in known:
            near = get_close_matches(name, sorted(known), n=1, cutoff=0.0)
            raise SplitError(
                f"{key}: no {what} {name} among the sections with features ({', '.join(sorted(known))}); "
                f"nearest is {near[0] if near else 'none'}"
            )
