"""Feature files between this project's form, CLAM's, TRIDENT's and plain tensors."""

import logging
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hage_transfer.data.feature_layouts import (
    OPTIONS,
    Given,
    TridentGrid,
    find_feature_files,
    layout_paths,
    open_features,
    unknown_facts,
    write_layout,
)
from hage_transfer.errors import DataError
from hage_transfer.running.items import Items
from hage_transfer.running.job import Job
from hage_transfer.running.progress import Progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Converted(os.PathLike[str]):
    """Converted feature files; where a path is wanted, their folder is meant.

    Attributes:
        folder: that they are in.
        layout: that they have.
        written: how many slides were written; the others were there already.
        total: how many slides there are.
    """

    folder: Path
    layout: str
    written: int
    total: int

    def __fspath__(self) -> str:
        return str(self.folder)

    def __str__(self) -> str:
        return f"{self.folder}: {self.written} of {self.total} slides written as {self.layout}"


def convert_path(
    features: Path,
    *,
    to: str,
    out: Path,
    given: Given,
    grid: TridentGrid,
    coords: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Converted:
    """Converts a feature file, or every one of a folder, into the folder ``out``.

    Raises:
        InputError: nothing to convert, or output in the input's place; of a single file, or where no file of a folder
            can be converted, also what is wrong with it.
        ItemsFailedError: some files failed; they are in ``failures.csv``, the rest are done.
    """
    if features.resolve() == out.resolve() or (features.is_file() and features.parent.resolve() == out.resolve()):
        raise DataError(f"{out}: is where the features to convert are; give another out=")
    if out.is_file():
        raise DataError(f"{out}: is a file; out= names a folder")
    if features.suffix.lower() == ".npy" and not features.is_dir():
        raise DataError(
            f"{features}: an npy alone can be any array, of features, coords or labels; give the folder of the slides' "
            "features (torchmil: features/), and that of their coords with coords="
        )
    files = find_feature_files(features) if features.is_dir() else {features.stem: features}
    if coords is not None and not coords.exists():
        raise DataError(f"{coords}: no such file or folder of coords (coords=)")
    if coords is not None and coords.is_file() and len(files) > 1:
        raise DataError(f"{coords}: one file of coords for {len(files)} slides; give the folder of theirs as coords=")
    jobs = [
        Job(slide, None, _convert_file, (path, to, out, given, grid, coords, overwrite))
        for slide, path in files.items()
    ]
    items = Items(out, what="files", total=len(files), progress=progress)
    found = items.run(jobs).values()
    _say_unknown(Counter(name for _, names in found for name in names))
    converted = Converted(out, to, sum(made for made, _ in found), len(files))
    items.finish(converted)
    return converted


def _convert_file(
    path: Path,
    to: str,
    out: Path,
    given: Given,
    grid: TridentGrid,
    coords: Path | None,
    overwrite: bool,
) -> tuple[bool, list[str]]:
    """Whether the slide's files were written, and what is not known of it."""
    source = open_features(path, given=given, coords=coords)
    targets = layout_paths(source, to, out, grid=grid)
    if any(target.exists() and target.samefile(path) for target in targets):
        raise DataError(f"{path}: would be written over by itself; give another out=")
    made = write_layout(source, to, out, grid=grid, overwrite=overwrite)
    return bool(made), [] if to == "pt" else unknown_facts(source.meta)


def _say_unknown(unknown: Mapping[str, int]) -> None:
    if unknown:
        facts: list[Any] = [f"{name} ({count} slides; {OPTIONS[name]})" for name, count in unknown.items()]
        log.warning("written as unknown, since no file records it and no option says it: %s", ", ".join(facts))
