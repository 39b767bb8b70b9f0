"""A feature file of any layout, opened: what it says of itself is read, its rows stay on disk and come in blocks."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float, Int

from hage_transfer.data.feature_file import FeatureMeta, Features, read_meta, written
from hage_transfer.data.feature_layouts.coords_file import (
    TileCoords,
    coords_of,
    find_coords_file,
    open_h5,
    patch_sizes,
    plain_attributes,
    read_coords,
)
from hage_transfer.data.feature_layouts.recorded import Given, complete_own, foreign_meta, own_attributes
from hage_transfer.data.feature_layouts.tensor_file import load_tensor
from hage_transfer.errors import DataError

log = logging.getLogger(__name__)

BLOCK_BYTES = 8 << 20
KEPT_ATTRIBUTES, KEPT_DTYPE = "coords_attributes", "features_dtype"
RowReader = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class FeatureSource:
    """One slide's features, their rows not read yet.

    Attributes:
        path: the file; for rows in memory, the name of what was encoded.
        layout: ``hage``, ``clam``, ``trident`` or ``pt``, by the file's content.
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
        return self.path.stem if self.path.suffix in (".h5", ".pt") else self.path.name

    def blocks(self) -> Iterator[Float[np.ndarray, "batch feature"]]:
        """The rows in order, a few MB at a time.

        Raises:
            DataError: unreadable, or NaN or infinity among the rows.
        """
        step = max(1, BLOCK_BYTES // (self.width * self.dtype.itemsize))
        with self.open_rows() as rows:
            for start in range(0, self.n_rows, step):
                block = np.ascontiguousarray(rows(start, start + step), dtype=self.dtype)
                finite = np.isfinite(block).all(axis=1)
                if not finite.all():
                    first = start + int(np.flatnonzero(~finite)[0])
                    raise DataError(f"{self.path}: row {first} of {self.n_rows} holds NaN or infinity; encode it again")
                yield block

    def read(self) -> Features:
        """All of it in memory; errors as ``blocks``."""
        rows = np.empty((self.n_rows, self.width), self.dtype)
        start = 0
        for block in self.blocks():
            rows[start : start + len(block)] = block
            start += len(block)
        return Features(rows, self.keys, self.coords, self.meta)


def is_own_file(path: Path) -> bool:
    """Whether an h5 file carries this project's attributes, whole or damaged.

    Raises:
        DataError: an h5 file by its name that cannot be read as one.
    """
    if path.suffix != ".h5" and not h5py.is_hdf5(path):
        return False
    with open_h5(path) as file:
        return own_attributes(file.attrs)


def open_features(path: Path, *, given: Given | None = None, coords: Path | None = None) -> FeatureSource:
    """Opens a feature file of this project, of CLAM or of TRIDENT, or a tensor; its content says which it is.

    Args:
        path: h5 or tensor file of one slide.
        given: what the user says of a file that does not say it.
        coords: file of coordinates, or folder of them, for files that hold none or not their patch size; None: looked
            for in ``patches`` beside the file's folder.

    Raises:
        DataError: missing, neither h5 nor tensor, without ``features``, of a wrong shape or type, empty, with another
            number of coords than rows, a pickled object, or contradicted by what the user says.
    """
    given = given or Given()
    if not path.is_file():
        raise DataError(f"{path}: no such feature file")
    if path.suffix in (".pt", ".pth") and not h5py.is_hdf5(path):
        return _open_tensor(path, given, coords)
    with open_h5(path) as file:
        _check_names(path, file)
        n_rows, width = _shape(path, file["features"])
        own = own_attributes(file.attrs)
        found = coords_of(path, file)
        kept = json.loads(file.attrs[KEPT_ATTRIBUTES]) if own and KEPT_ATTRIBUTES in file.attrs else None
        dtype = _dtype(
            path, str(file.attrs[KEPT_DTYPE]) if own and KEPT_DTYPE in file.attrs else file["features"].dtype
        )
        keys = file["keys"].asstr()[...] if own and "keys" in file else None
        named = plain_attributes(file["features"].attrs)
    stamps = [path.name, written(path), json.dumps(asdict(given))]
    if own:
        meta, attributes, layout = complete_own(path, read_meta(path), given), kept or {}, "hage"
    else:
        found = _with_patch_size(path, found, coords, stamps)
        attributes = {} if found is None else found.attributes
        layout = "trident" if named or "target_magnification" in attributes else "clam"
        meta = _meta(path, attributes, given, stamps, encoder=named.get("encoder", ""))
    values = None if found is None else found.values
    for name, rows in (("coords", values), ("keys", keys)):
        if rows is not None and len(rows) != n_rows:
            raise DataError(f"{path}: {len(rows)} {name} for {n_rows} rows of features; encode it again")
    stamp = hashlib.sha256("\n".join(stamps).encode()).hexdigest()
    return FeatureSource(
        path, layout, n_rows, width, dtype, keys, values, attributes, meta, stamp, lambda: _h5_rows(path)
    )


def source_of(features: Features) -> FeatureSource:
    """Rows in memory as a source, for ``write_layout``; they are named by what their attributes say was encoded."""

    @contextmanager
    def rows() -> Iterator[RowReader]:
        yield lambda start, stop: features.features[start:stop]

    return FeatureSource(
        Path(features.meta.source),
        "hage",
        *_checked(Path(features.meta.source), features.features.shape),
        _dtype(Path(features.meta.source), features.features.dtype),
        features.keys,
        features.coords,
        {},
        features.meta,
        features.meta.config_sha256,
        rows,
    )


def _open_tensor(path: Path, given: Given, coords: Path | None) -> FeatureSource:
    tensor = load_tensor(path)
    n_rows, width = _checked(path, tuple(tensor.shape))
    stamps = [path.name, written(path), json.dumps(asdict(given))]
    found = _with_patch_size(path, None, coords, stamps)
    if found is not None and len(found.values) != n_rows:
        raise DataError(f"{path}: {n_rows} rows, but its file of coords holds {len(found.values)}; see --coords")
    attributes = {} if found is None else found.attributes
    meta = _meta(path, attributes, given, stamps, encoder="")

    @contextmanager
    def rows() -> Iterator[RowReader]:
        loaded = load_tensor(path)
        yield lambda start, stop: loaded[start:stop].numpy()

    dtype = _dtype(path, str(tensor.dtype).removeprefix("torch."))
    values = None if found is None else found.values
    stamp = hashlib.sha256("\n".join(stamps).encode()).hexdigest()
    return FeatureSource(path, "pt", n_rows, width, dtype, None, values, attributes, meta, stamp, rows)


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
        raise DataError(f"{path}: its coords are not those of {beside}; give the right ones with --coords")
    return coords


def _meta(path: Path, attributes: dict[str, Any], given: Given, stamps: list[str], *, encoder: str) -> FeatureMeta:
    size_px, level0_px = patch_sizes(path, attributes)
    recorded = {"encoder": str(encoder), "patch_size_px": size_px, "patch_size_level0_px": level0_px}
    if encoder and given.encoder not in (None, encoder):
        log.info("%s: records encoder %s; taken as %s, as you say", path, encoder, given.encoder)
    return foreign_meta(path, recorded=recorded, given=given, inputs="\n".join(stamps))


@contextmanager
def _h5_rows(path: Path) -> Iterator[RowReader]:
    with open_h5(path) as file:
        rows = file["features"]
        yield (lambda start, stop: rows[0, start:stop]) if rows.ndim == 3 else (lambda start, stop: rows[start:stop])


def _check_names(path: Path, file: h5py.File) -> None:
    if "features" in file and isinstance(file["features"], h5py.Dataset):
        return
    if "coords" in file:
        raise DataError(
            f"{path}: holds coords and no features: a file of patches; give the features made from it "
            "(CLAM: h5_files, TRIDENT: features_<encoder>), and this folder as --coords where they need it"
        )
    raise DataError(f"{path}: has no dataset `features`, only {sorted(file)}; not a feature file of CLAM or TRIDENT")


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
