"""Which sections train and which test: leave one patient out, or leave one section out, each under its own name."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from hage_transfer.errors import SplitError, nearest
from hage_transfer.pretrain.config import FoldSettings


@dataclass(frozen=True)
class LeftOut:
    """One held-out unit.

    Attributes:
        name: the held-out patient or section.
        train: sections that train (and validate).
        test: sections of the held-out unit.
        patients: of the training sections.
    """

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    patients: tuple[str, ...] = ()


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
        folds.append(LeftOut(unit, train, test, tuple(dict.fromkeys(patients[section] for section in train))))
    return folds


def validation_split(
    section: Int[np.ndarray, " spot"], settings: FoldSettings, *, seed: int
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " val"]]:
    """Row numbers of the training and of the validation spots of a fold's training sections.

    By spot they are drawn at random, so that every section is on both sides (paper: 4:1 by spots). By section, whole
    sections are drawn until the share is reached: stricter, since neighbouring spots resemble one another.

    Args:
        section: of each spot.
        settings: ``validation`` share and ``validation_by``.
        seed: of the draw.

    Raises:
        SplitError: too few spots, or a single section, for one on each side.
    """
    n_spots = len(section)
    n_validation = round(n_spots * settings.validation)
    rng = np.random.default_rng(seed)
    if settings.validation_by == "spot":
        if not 0 < n_validation < n_spots:
            raise SplitError(
                f"{n_spots} training spots cannot be split with split.validation = {settings.validation}; add sections"
            )
        order = rng.permutation(n_spots)
        return np.sort(order[n_validation:]), np.sort(order[:n_validation])
    sections, sizes = np.unique(section, return_counts=True)
    if len(sections) < 2:
        raise SplitError("split.validation_by = section needs two training sections or more, there is one; use spot")
    order = rng.permutation(len(sections))
    n_sections = int(np.searchsorted(np.cumsum(sizes[order]), n_validation)) + 1
    chosen = np.isin(section, sections[order[: min(n_sections, len(sections) - 1)]])
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _check_known(key: str, names: tuple[str, ...], known: set[str], *, what: str) -> None:
    for name in names:
        if name not in known:
            near = nearest(name, sorted(known))
            raise SplitError(
                f"{key}: no {what} {name} among the sections with features ({', '.join(sorted(known))}); "
                f"nearest is {near[0] if near else 'none'}"
            )
