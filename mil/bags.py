"""Bags: one feature file per slide, read when needed, kept in memory as far as a limit allows."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from hage_transfer.data.feature_file import FeatureMeta, read_features
from hage_transfer.data.feature_layouts import find_feature_files, open_features
from hage_transfer.data.h5_file import open_h5
from hage_transfer.data.labels import LabelTable
from hage_transfer.errors import DataError, nearest, some
from hage_transfer.mil.bag_headers import (
    Note,
    check_alike,
    one_row_notes,
    read_bag_header,
    scale_notes,
    twin_notes,
    unknown_notes,
)
from hage_transfer.running.file_stamp import written
from hage_transfer.slide_names import match_names

log = logging.getLogger(__name__)

MEMORY_LIMIT_BYTES = 1 << 30


@dataclass(kw_only=True)
class BagSet:
    """Labelled slides and where their tiles' features are.

    Attributes:
        slides: names, in the order of the labels.
        paths: feature file of each.
        n_tiles: tiles of each, at least one.
        feature_dim: width, the same for all.
        meta: what the first file says of itself; encoder, weights and resolution are the same in all.
        sha256: changes when any file is made of other inputs or by another encoder.
        is_own: whether each file is of this project's own form.
        memory_limit_bytes: features kept in memory once read; past it they are read anew each time.
        parts: bag sets whose columns stand side by side in this one; empty where it has files of its own.
        notes: what is odd about the files, for the log: level and message.
    """

    slides: tuple[str, ...]
    paths: tuple[Path, ...]
    n_tiles: Int[np.ndarray, " bag"]
    feature_dim: int
    meta: FeatureMeta
    sha256: str
    is_own: tuple[bool, ...] = ()
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES
    parts: tuple["BagSet", ...] = ()
    notes: tuple[Note, ...] = ()
    _kept: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False)
    _kept_bytes: int = field(default=0, init=False, repr=False)
    _coords: dict[int, np.ndarray | None] = field(default_factory=dict, init=False, repr=False)
    _too_large: set[int] = field(default_factory=set, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.slides)

    def load(self, bag: int, tiles: Int[np.ndarray, " tile"] | None = None) -> Float[np.ndarray, "tile feature"]:
        """Features of one bag's tiles, float32.

        Features are kept as they are stored. A bag that was read before and is too large to be kept is read anew, but
        for the wanted tiles alone.

        Args:
            bag: its place.
            tiles: those wanted, ascending; None: all.

        Raises:
            DataError: unreadable file, or NaN or infinity among the rows.
        """
        rows = self._kept.get(bag)
        if rows is None and tiles is not None and bag in self._too_large:
            return self._read_tiles(bag, tiles).astype(np.float32, copy=False)
        if rows is None:
            rows = self._read(bag)[0]
            if self._kept_bytes + rows.nbytes <= self.memory_limit_bytes:
                self._kept[bag] = rows
                self._kept_bytes += rows.nbytes
            else:
                self._too_large.add(bag)
        return (rows if tiles is None else rows[tiles]).astype(np.float32, copy=False)

    def coords(self, bag: int) -> Int[np.ndarray, "tile 2"] | None:
        """Where each tile of a bag lies, level-0 px of its top left; None where its file does not say.

        Raises:
            DataError: unreadable file.
        """
        if bag not in self._coords:
            coords = self._read(bag)[1]
            self._coords[bag] = None if coords is None else np.asarray(coords, dtype=np.int64)
        return self._coords[bag]

    def _read_tiles(self, bag: int, tiles: Int[np.ndarray, " tile"]) -> Float[np.ndarray, "tile feature"]:
        """Some rows as stored, of a bag that was found sound before."""
        if self.parts:
            return np.concatenate([part._read_tiles(bag, tiles) for part in self.parts], axis=1)
        path = self.paths[bag]
        if not self.is_own[bag]:
            return open_features(path).read().features[tiles]
        with open_h5(path, what="cannot be read any more", remedy="run again once it is there") as file:
            rows: np.ndarray = file["features"][tiles]
        if not np.isfinite(rows).all():
            raise DataError(f"{path}: its rows hold NaN or infinity now; encode it again, and run again")
        return rows

    def _read(self, bag: int) -> tuple[Float[np.ndarray, "tile feature"], Int[np.ndarray, "tile 2"] | None]:
        """Rows as stored, and where each tile is."""
        if not self.parts:
            path = self.paths[bag]
            features = read_features(path) if self.is_own[bag] else open_features(path).read()
            return features.features, features.coords
        found = [part._read(bag) for part in self.parts]
        first_rows, coords = found[0]
        for part, (rows, others) in zip(self.parts[1:], found[1:], strict=True):
            if len(rows) != len(first_rows) or not _same_places(coords, others):
                raise DataError(
                    f"{part.paths[bag]}: its tiles are not those of {self.parts[0].paths[bag]}; sources stand side by "
                    "side where they are of the same tiles: embed the same frozen features again"
                )
        return np.concatenate([rows for rows, _ in found], axis=1), coords


def open_bags(
    folders: Path | Sequence[Path],
    labels: LabelTable,
    *,
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
    quiet: bool = False,
) -> BagSet:
    """Finds the feature file of every labelled slide and checks that all go together.

    Several folders stand side by side: a tile's features are those of all of them, one after the other. A folder is
    one of this project's, of CLAM's or TRIDENT's, or one of tensors (see ``find_feature_files``). Feature
    files without a label are left out, and the log says how many.

    Args:
        folders: one, or several side by side.
        labels: of the slides.
        memory_limit_bytes: features kept in memory.
        quiet: nothing is said in the log; ``say_notes`` says it later.

    Raises:
        DataError: no such folder; labelled slides without a file; two files of one slide; an empty bag; files of
            different width, encoder, weights or resolution; a file that is not a feature file; folders side by side
            whose slides have other tiles.
    """
    parts = [_open_folder(folder, labels) for folder in ([folders] if isinstance(folders, Path) else folders)]
    if not quiet:
        for part in parts:
            say_notes(part)
    return side_by_side_bags(parts, memory_limit_bytes=memory_limit_bytes)


def say_notes(bags: BagSet) -> None:
    """Tells the log what is odd about the files."""
    for level, note in bags.notes:
        log.log(level, "%s", note)


def side_by_side_bags(parts: Sequence[BagSet], *, memory_limit_bytes: int) -> BagSet:
    """Bags whose tiles have the columns of all ``parts``, with a memory of their own.

    Raises:
        DataError: a slide has other tiles in one of them.
    """
    if len(parts) == 1:
        return replace(parts[0], memory_limit_bytes=memory_limit_bytes)
    for part in parts[1:]:
        for bag in np.flatnonzero(part.n_tiles != parts[0].n_tiles).tolist():
            raise DataError(
                f"{part.paths[bag]}: has {part.n_tiles[bag]} tiles, {parts[0].paths[bag]} has {parts[0].n_tiles[bag]}; "
                "sources stand side by side where they are of the same tiles"
            )
    return BagSet(
        slides=parts[0].slides,
        paths=parts[0].paths,
        n_tiles=parts[0].n_tiles,
        feature_dim=sum(part.feature_dim for part in parts),
        meta=replace(
            parts[0].meta,
            encoder=" + ".join(part.meta.encoder for part in parts),
            encoder_sha256=hashlib.sha256("".join(part.meta.encoder_sha256 for part in parts).encode()).hexdigest(),
        ),
        sha256=hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest(),
        memory_limit_bytes=memory_limit_bytes,
        parts=tuple(parts),
    )


def _open_folder(folder: Path, labels: LabelTable) -> BagSet:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of feature files; `encode_slides` makes it")
    found = find_feature_files(folder)
    slides = tuple(labels.keys.tolist())
    names = match_names(slides, list(found))
    missing = [slide for slide in slides if slide not in names]
    if missing:
        near = [found[name].name for name in nearest(missing[0], found)]
        raise DataError(
            f"{folder}: {len(missing)} of {len(slides)} labelled slides have no feature file "
            f"(first: {missing[0]}; nearest there: {some(near) or 'none'}); encode "
            "them, or take them out of the label table"
        )
    other = [slide for slide in slides if names[slide] != slide]
    paths = tuple(found[names[slide]] for slide in slides)
    unlabelled = len(found) - len(slides)
    headers = [read_bag_header(path) for path in paths]
    metas, shapes = [header.meta for header in headers], [header.shape for header in headers]
    for path, header in zip(paths, headers, strict=True):
        check_alike(path, header, paths[0], headers[0])
    notes = [*unknown_notes(folder, metas[0]), *scale_notes(folder, metas), *one_row_notes(folder, shapes)]
    notes += twin_notes(folder, paths, headers)
    if unlabelled:
        notes.insert(0, (logging.INFO, f"{folder}: {unlabelled} feature files have no label and are left out"))
    if other:
        about = f"{len(other)} slides by another name (first: {other[0]} is {names[other[0]]})"
        notes.insert(0, (logging.INFO, f"{folder}: {about}"))
    made_of = "\n".join(
        f"{meta.encoder_sha256} {meta.config_sha256} {written(path)}" for path, meta in zip(paths, metas, strict=True)
    )
    return BagSet(
        slides=slides,
        paths=paths,
        n_tiles=np.array([n for n, _ in shapes]),
        feature_dim=shapes[0][1],
        meta=metas[0],
        sha256=hashlib.sha256(made_of.encode()).hexdigest(),
        is_own=tuple(header.is_own for header in headers),
        notes=tuple(notes),
    )


def _same_places(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is None or other is None or np.array_equal(one, other)
