"""A feature file of any layout, opened: what it says of itself is read, its rows stay on disk and come in blocks."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float, Int

from hage_transfer.data.feature_file import FeatureMeta, Features, read_facts
from hage_transfer.data.feature_layouts.array_file import load_array
from hage_transfer.data.feature_layouts.coords_file import find_coords_file, patch_sizes, read_coords
from hage_transfer.data.feature_layouts.folders import slide_of_file
from hage_transfer.data.feature_layouts.odd_tiles import check_tiles, tell_zero_rows
from hage_transfer.data.feature_layouts.recorded import Given, complete_own, foreign_meta, own_attributes
from hage_transfer.data.feature_layouts.rows_dataset import (
    STAMP_ROWS,
    recorded_by_stamp,
    rows_name,
    unit_of_coords,
)
from hage_transfer.data.feature_layouts.tensor_file import load_tensor
from hage_transfer.data.h5_file import check_memory, open_h5, plain_attributes, stored_dataset
from hage_transfer.data.tile_coords import TileCoords, coords_of
from hage_transfer.errors import DataError
from hage_transfer.running.file_stamp import written

log = logging.getLogger(__name__)

BLOCK_BYTES = 8 << 20
KEPT_ATTRIBUTES, KEPT_DTYPE = "coords_attributes", "features_dtype"
RowReader = Callable[[int, int], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class FeatureSource:
    """One slide's features, their rows not read yet.

    Attributes:
        path: the file; for rows in memory, the name of what was encoded.
        layout: ``hage``, ``clam``, ``trident``, ``stamp``, ``pt`` or ``npy``, by the file's content.
        n_rows: rows, at least one.
        width: numbers a row.
        dtype: float16 or float32.
        keys: row names, or None.
        coords: level-0 top-left (x, y) of each row, or None.
        coord_attributes: what CLAM or TRIDENT recorded beside the coords, for writing it again.
        meta: attributes; what nobody said is unknown in them (``unknown_facts``).
        stamp: changes with the file, and with what the user said of it.
        open_rows: gives a reader of rows from a first to before a last.
    """

    path: Path
    layout: str
    n_rows: int
    width: int
    dtype: np.dtype
    keys: np.ndarray | None
    coords: Int[np.ndarray, "batch 2"] | None
    coord_attributes: dict[str, Any]
    meta: FeatureMeta
    stamp: str
    open_rows: Callable[[], AbstractContextManager[RowReader]]

    @property
    def slide(self) -> str:
        """The slide's name."""
        return slide_of_file(self.path)

    def blocks(self) -> Iterator[Float[np.ndarray, "batch feature"]]:
        """The rows in order, a few MB at a time.

        Raises:
            DataError: unreadable, or NaN or infinity among the rows.
        """
        step, n_zero = max(1, BLOCK_BYTES // (self.width * self.dtype.itemsize)), 0
        with self.open_rows() as rows:
            for start in range(0, self.n_rows, step):
                block = np.ascontiguousarray(rows(start, start + step), dtype=self.dtype)
                finite = np.isfinite(block).all(axis=1)
                if not finite.all():
                    first = start + int(np.flatnonzero(~finite)[0])
                    raise DataError(f"{self.path}: row {first} of {self.n_rows} holds NaN or infinity; encode it again")
                n_zero += int((~block.any(axis=1)).sum())
                yield block
        tell_zero_rows(self.path, n_zero, self.n_rows)

    def read(self) -> Features:
        """All of it in memory; errors as ``blocks``."""
        check_memory(self.path, self.n_rows * self.width * self.dtype.itemsize)
        rows = np.empty((self.n_rows, self.width), self.dtype)
        start = 0
        for block in self.blocks():
            rows[start : start + len(block)] = block
            start += len(block)
        return Features(rows, self.keys, self.coords, self.meta)


def open_features(path: Path, *, given: Given | None = None, coords: Path | None = None) -> FeatureSource:
    """Opens a feature file of this project or of another tool, a tensor or an array; its content says which it is.

    Args:
        path: h5, tensor or array file of one slide.
        given: what the user says of a file that does not say it.
        coords: file of coordinates, or folder of them, for files that hold none or not their patch size; None: looked
            for in ``patches`` beside the file's folder.

    Raises:
        DataError: missing, neither h5 nor tensor nor array, without rows, of a wrong shape or type, empty, with
            another number of coords than rows, a pickled object, or contradicted by what the user says.
    """
    given = given or Given()
    if not path.is_file():
        raise DataError(f"{path}: no such feature file")
    is_array = path.suffix.lower() in (".npy", ".pt", ".pth") and not h5py.is_hdf5(path)
    return _open_array(path, given, coords) if is_array else _open_h5(path, given, coords)


def _open_h5(path: Path, given: Given, coords: Path | None) -> FeatureSource:
    stamps = [path.name, written(path), json.dumps(asdict(given))]
    with open_h5(path) as file:
        if own_attributes(file.attrs):
            return _open_own(path, file, given, stamps)
        name = rows_name(path, file, given.dataset)
        rows = stored_dataset(path, file, name, kinds="f")
        if rows is None:
            raise DataError(f"{path}: has no dataset `{name}`, only {sorted(file)}; not a feature file")
        unit = unit_of_coords(path, file, name, given)
        found = coords_of(path, file, um_per_px=unit)
        named, shape, dtype = plain_attributes(rows.attrs), _shape(path, rows), rows.dtype
        stamp_facts = recorded_by_stamp(path, file, unit and given.slide_mpp_um_per_px) if name == STAMP_ROWS else {}
    found = found if name == STAMP_ROWS else _with_patch_size(path, found, coords, stamps)
    is_trident = named or (found is not None and "target_magnification" in found.attributes)
    layout = "stamp" if name == STAMP_ROWS else "trident" if is_trident else "clam"
    recorded = {"encoder": named.get("encoder", ""), **stamp_facts}
    meta = _meta(path, found, given, stamps, recorded=recorded)
    return _foreign(path, layout, shape, dtype, found, meta, stamps, partial(_h5_rows, path, name))


def _open_own(path: Path, file: h5py.File, given: Given, stamps: list[str]) -> FeatureSource:
    """A file of this project: whatever layout it also follows, its attributes say all."""
    meta, (n_rows, width), keys, values = read_facts(path, file)
    attributes = file.attrs
    kept = json.loads(attributes[KEPT_ATTRIBUTES]) if KEPT_ATTRIBUTES in attributes else {}
    dtype = _dtype(path, str(attributes[KEPT_DTYPE]) if KEPT_DTYPE in attributes else file["features"].dtype)
    if not isinstance(kept, dict):
        raise DataError(f"{path}: attribute {KEPT_ATTRIBUTES} is {kept!r:.40}, wanted a mapping; convert it again")
    meta, rows = complete_own(path, meta, given), partial(_h5_rows, path, "features")
    return FeatureSource(
        path=path,
        layout="hage",
        n_rows=n_rows,
        width=width,
        dtype=dtype,
        keys=keys,
        coords=values,
        coord_attributes=kept,
        meta=meta,
        stamp=_stamp(stamps),
        open_rows=rows,
    )


def source_of(features: Features) -> FeatureSource:
    """Rows in memory as a source, for ``write_layout``; they are named by what their attributes say was encoded."""

    @contextmanager
    def rows() -> Iterator[RowReader]:
        yield lambda start, stop: features.features[start:stop]

    path = Path(features.meta.source)
    n_rows, width = _checked(path, features.features.shape)
    return FeatureSource(
        path=path,
        layout="hage",
        n_rows=n_rows,
        width=width,
        dtype=_dtype(path, features.features.dtype),
        keys=features.keys,
        coords=features.coords,
        coord_attributes={},
        meta=features.meta,
        stamp=features.meta.config_sha256,
        open_rows=rows,
    )


def _open_array(path: Path, given: Given, coords: Path | None) -> FeatureSource:
    """Rows alone, of a file that says nothing of them."""
    layout = "npy" if path.suffix.lower() == ".npy" else "pt"

    def load() -> np.ndarray:
        return load_array(path, kinds="f") if layout == "npy" else load_tensor(path).numpy()

    @contextmanager
    def rows() -> Iterator[RowReader]:
        loaded = load()
        yield lambda start, stop: np.asarray(loaded[start:stop])

    array = load()
    stamps = [path.name, written(path), json.dumps(asdict(given))]
    found = _with_patch_size(path, None, coords, stamps)
    meta = _meta(path, found, given, stamps, recorded={})
    return _foreign(path, layout, _checked(path, array.shape), array.dtype, found, meta, stamps, rows)


def _foreign(
    path: Path,
    layout: str,
    shape: tuple[int, int],
    dtype: Any,
    found: TileCoords | None,
    meta: FeatureMeta,
    stamps: list[str],
    rows: Callable[[], AbstractContextManager[RowReader]],
) -> FeatureSource:
    """A file of another tool with what is known of its tiles."""
    check_tiles(path, found, shape[0])
    return FeatureSource(
        path=path,
        layout=layout,
        n_rows=shape[0],
        width=shape[1],
        dtype=_dtype(path, dtype),
        keys=None,
        coords=None if found is None else found.values,
        coord_attributes={} if found is None else found.attributes,
        meta=meta,
        stamp=_stamp(stamps),
        open_rows=rows,
    )


def _with_patch_size(path: Path, found: TileCoords | None, given: Path | None, stamps: list[str]) -> TileCoords | None:
    """Coords of a foreign file, with the attributes of its file of patches where its own say no patch size."""
    if found is not None and "patch_size" in found.attributes:
        return found
    beside = find_coords_file(path, given)
    if beside is None:
        return found
    coords = read_coords(beside)
    stamps.append(written(beside))
    if found is not None and not np.array_equal(found.values, coords.values):
        raise DataError(f"{path}: its coords are not those of {beside}; give the right ones with coords=")
    return coords


def _meta(
    path: Path, found: TileCoords | None, given: Given, stamps: list[str], *, recorded: dict[str, Any]
) -> FeatureMeta:
    size_px, level0_px = patch_sizes(path, {} if found is None else found.attributes)
    facts = {"patch_size_px": size_px, "patch_size_level0_px": level0_px, **recorded}
    encoder = str(facts.get("encoder", ""))
    if encoder and given.encoder not in (None, encoder):
        log.info("%s: records encoder %s; taken as %s, as you say", path, encoder, given.encoder)
    return foreign_meta(path, recorded={**facts, "encoder": encoder}, given=given, inputs="\n".join(stamps))


def _stamp(stamps: list[str]) -> str:
    return hashlib.sha256("\n".join(stamps).encode()).hexdigest()


@contextmanager
def _h5_rows(path: Path, name: str) -> Iterator[RowReader]:
    with open_h5(path) as file:
        rows = file[name]
        yield (lambda start, stop: rows[0, start:stop]) if rows.ndim == 3 else (lambda start, stop: rows[start:stop])


def _shape(path: Path, features: h5py.Dataset) -> tuple[int, int]:
    if features.ndim == 1:
        raise DataError(f"{path}: features have shape {features.shape}: one row for the whole slide, not one a tile")
    return _checked(path, features.shape[1:] if features.ndim == 3 and features.shape[0] == 1 else features.shape)


def _checked(path: Path, shape: tuple[int, ...]) -> tuple[int, int]:
    if len(shape) != 2 or shape[1] == 0:
        raise DataError(f"{path}: features are (N, D), these have shape {shape}")
    if shape[0] == 0:
        raise DataError(
            f"{path}: an empty bag: features have shape {shape}, wanted at least one tile; leave the slide out, or "
            "encode it with less tissue wanted"
        )
    return int(shape[0]), int(shape[1])


def _dtype(path: Path, dtype: Any) -> np.dtype:
    kind = np.dtype(dtype)
    if kind.kind != "f" or kind.itemsize not in (2, 4, 8):
        raise DataError(f"{path}: features of type {kind}, wanted float32 or float16")
    if kind.itemsize == 8:
        log.warning("%s: float64 features are rounded to float32", path)
    return np.dtype(np.float16 if kind.itemsize == 2 else np.float32)
