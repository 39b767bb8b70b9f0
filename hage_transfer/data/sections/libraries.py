"""Which spots of an h5ad file are a section: all of them, those of ``obs["section"]``, or those of a library."""

import logging
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from hage_transfer.csv_table import names_nobody
from hage_transfer.data.sections.h5ad import H5adFile
from hage_transfer.errors import DataError, some

log = logging.getLogger(__name__)

LIBRARY = "library_id"
_OF_A_LIBRARY = frozenset({"images", "scalefactors", "metadata"})
_MAY_NAME_SECTIONS = frozenset(
    {"section", "sectionid", "library", "libraryid", "sample", "sampleid", "samplename", "origident", "batch", "slide"}
    | {"slideid", "capturearea", "tissuesection", "dataset", "imageid"}
)
IS_SINGLE = "is_single"
"""CELLxGENE's flag beside the libraries: whether all spots are of one section."""


@dataclass(frozen=True)
class Part:
    """A section's share of a file.

    Attributes:
        rows: mask of its spots.
        library: its entry of ``uns["spatial"]``, "" where that is a library's itself; None where that is not known, or
            there is none.
        of_several: whether the file was split by its libraries.
    """

    rows: np.ndarray
    library: str | None
    of_several: bool = False

    @property
    def key(self) -> str:
        """Where the file has the library."""
        return f"uns/spatial/{self.library}" if self.library else "uns/spatial"

    @property
    def said(self) -> str:
        """The same, as AnnData has it."""
        return f'uns["spatial"]["{self.library}"]' if self.library else 'uns["spatial"]'


def parts(file: H5adFile) -> dict[str, Part]:
    """Every section of a file, in the order of its spots.

    Raises:
        DataError: spots without a section among others that have one, or several libraries (or sections, as CELLxGENE
            flags them) that the file does not tell apart.
    """
    entries = file.groups("uns/spatial")
    if "scalefactors" in entries and set(entries) <= _OF_A_LIBRARY:
        entries = [""]
    sections = _filled(file, "section")
    if sections is not None:
        return {
            str(name): Part(rows, _library_of(file, entries, str(name), rows))
            for name, rows in _by_value(sections).items()
        }
    everything = np.ones(len(file.index("obs")), dtype=bool)
    column = _library_column(file, entries)
    if column is None:
        _refuse_several_unnamed(file)
        return {file.path.stem: Part(everything, entries[0] if len(entries) == 1 else None)}
    libraries = _by_value(column)
    if len(libraries) == 1:
        library = next(iter(libraries))
        return {file.path.stem: Part(everything, library if library in entries else next(iter(entries), None))}
    return {name: Part(rows, name, of_several=True) for name, rows in libraries.items()}


def _library_column(file: H5adFile, entries: list[str]) -> pd.Series | None:
    """The column that tells the libraries of ``uns["spatial"]`` apart; None where there is but one."""
    named = _filled(file, LIBRARY) if LIBRARY in file.keys("obs") else None
    if named is not None and (named.nunique() == 1 or set(named) <= set(entries)):
        return named
    if len(entries) > 1:
        for name in file.keys("obs"):
            if name == LIBRARY or name.startswith("_"):
                continue
            column = file.column("obs", name)
            if column is not None and not column.map(names_nobody).any() and set(column.astype(str)) <= set(entries):
                return column.astype(str)
    several = entries if named is None else list(named.unique())
    if len(several) < 2:
        return None
    where = 'uns["spatial"]' if named is None else f'obs["{LIBRARY}"]'
    raise DataError(
        f'{file.path}: {where} has {len(several)} libraries ({some(several)}), and obs["{LIBRARY}"] and uns["spatial"] '
        'do not tell which spots are whose; give obs["section"] and obs["patient"], or a file for each'
    )


def _refuse_several_unnamed(file: H5adFile) -> None:
    flag = file.element(f"uns/spatial/{IS_SINGLE}") if IS_SINGLE in file.keys("uns/spatial") else None
    if isinstance(flag, bool | np.bool_) and not flag:
        raise DataError(
            f'{file.path}: uns["spatial"]["{IS_SINGLE}"] is False, so its spots are of several sections, and obs has '
            'neither section nor library_id; give obs["section"], or a file for each'
        )


def say_unread(file: H5adFile) -> None:
    """Warns where a column that is not read may tell several sections apart, in a file that is taken as one."""
    if _filled(file, "section") is not None:
        return
    for name in file.keys("obs"):
        if re.sub(r"[^a-z]", "", name.lower()) not in _MAY_NAME_SECTIONS or name in ("section", LIBRARY):
            continue
        column = file.column("obs", name)
        values = [] if column is None else [str(value) for value in column.unique() if not names_nobody(value)]
        if len(values) > 1:
            log.warning(
                '%s: obs["%s"] tells %d groups of spots apart (%s) and is not read, so the file is taken as one '
                'section; if they are sections, call it obs["section"]',
                file.path,
                name,
                len(values),
                some(values),
            )
            return


def _filled(file: H5adFile, name: str) -> pd.Series | None:
    """A column of names as text; None where it is absent or wholly empty."""
    column = file.column("obs", name)
    if column is None:
        return None
    empty = column.map(names_nobody)
    if empty.all():
        return None
    if empty.any():
        raise DataError(
            f'{file.path}: {int(empty.sum())} of {len(column)} spots have no {name} in obs["{name}"], the first '
            f"{file.index('obs')[int(np.argmax(empty))]}; fill it in, or leave those spots out"
        )
    return column.astype(str).str.strip()


def _library_of(file: H5adFile, entries: list[str], name: str, rows: np.ndarray) -> str | None:
    if name in entries:
        return name
    column = file.column("obs", LIBRARY) if LIBRARY in file.keys("obs") else None
    if column is not None:
        named = set(column[rows].astype(str)) & set(entries)
        if len(named) == 1:
            return named.pop()
    return entries[0] if len(entries) == 1 else None


def _by_value(column: pd.Series) -> dict[str, np.ndarray]:
    return {str(value): (column == value).to_numpy(dtype=bool) for value in column.unique()}
