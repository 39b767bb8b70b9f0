"""The feature file: the one form in which features and embeddings travel between stages (h5).

Datasets ``features`` (N, D) float16 or float32, and ``keys`` (N,) text (spot, patch id) and/or ``coords`` (N, 2) int,
level-0 top-left (x, y). Attributes: see ``FeatureMeta``. The form is documented in docs/file-formats.md.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import Field, asdict, dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float, Int

from hage_transfer.data.h5_file import check_memory, open_h5, stored_dataset, text_rows
from hage_transfer.data.h5_writing import new_h5
from hage_transfer.data.tile_coords import coords_of
from hage_transfer.errors import DataError, some

SCHEMA_VERSION = 1
_MOST = 2**31 - 1


# attributes that older files lack
_LATER = ("views", "surround", "mpp_source", "trained_um_per_px", "trained_on", "control", "synthetic")


@dataclass(frozen=True, kw_only=True)
class FeatureMeta:
    """What a feature file says of itself.

    Attributes:
        source: what was encoded (a section's name, a slide's, a patch set's).
        encoder: frozen encoder's name; for embeddings, what made the encoder (``hage:``, ``pca:``) and its directory's
            name.
        encoder_sha256: hash of the weights that made the rows.
        encoder_licence: licence of those weights, which a derived model inherits.
        patch_size_px: side of the square the encoder was given, in pixels it saw.
        patch_size_level0_px: side of that square at level 0 of the image.
        mpp_um_per_px: micrometres per pixel that the encoder saw; None where it is not known.
        precision: arithmetic of the encoder.
        config_sha256: hash of all that decides the rows, the image included; a file that agrees is kept.
        frozen_encoder: for embeddings, the frozen encoder beneath; empty for features.
        views: flips and quarter turns that the features are the mean of; 1 in files that do not say.
        surround: whether they are of the patch's centre and of the whole, side by side; False in files that do not say.
        mpp_source: what told the resolution of level 0, in words; empty where nothing did, or the file does not say.
        trained_um_per_px: for embeddings, what the gene-informed encoder was trained at; None where it is not known.
        trained_on: for embeddings, patients and sections that trained that encoder, a line each.
        control: for embeddings of a control, which one (``untrained``, ``pca``, ...); empty for all else.
        synthetic: whether the images were made by a generator.
    """

    source: str
    encoder: str
    encoder_sha256: str
    encoder_licence: str
    patch_size_px: int
    patch_size_level0_px: int
    mpp_um_per_px: float | None
    precision: str
    config_sha256: str
    frozen_encoder: str = ""
    views: int = 1
    surround: bool = False
    trained_um_per_px: float | None = None
    trained_on: str = ""
    control: str = ""
    synthetic: bool = False
    schema_version: int = SCHEMA_VERSION
    mpp_source: str = ""


@dataclass(frozen=True)
class Features:
    """Rows of a feature file with their keys or coordinates."""

    features: Float[np.ndarray, "batch feature"]
    keys: np.ndarray | None
    coords: Int[np.ndarray, "batch 2"] | None
    meta: FeatureMeta

    def __len__(self) -> int:
        return len(self.features)


def write_features(
    path: Path,
    features: Float[np.ndarray, "batch feature"],
    meta: FeatureMeta,
    *,
    keys: np.ndarray | list[str] | None = None,
    coords: Int[np.ndarray, "batch 2"] | None = None,
) -> None:
    """Writes a feature file atomically.

    Raises:
        DataError: no row, NaN or infinity among the rows, or keys and coords that do not fit them.
    """
    if features.ndim != 2 or not len(features):
        raise DataError(f"{path}: features are (N, D) with N > 0, these have shape {features.shape}")
    if not np.isfinite(features).all():
        rows = np.flatnonzero(~np.isfinite(features).all(axis=1))
        raise DataError(f"{path}: {len(rows)} of {len(features)} rows hold NaN or infinity (first row {rows[0]})")
    write_blocks(path, [features], meta, shape=features.shape, dtype=features.dtype, keys=keys, coords=coords)


def write_blocks(
    path: Path,
    blocks: Iterable[Float[np.ndarray, "block feature"]],
    meta: FeatureMeta,
    *,
    shape: tuple[int, int],
    dtype: np.dtype,
    keys: np.ndarray | list[str] | None = None,
    coords: Int[np.ndarray, "batch 2"] | None = None,
) -> None:
    """Writes a feature file atomically from blocks of rows that are never in memory together.

    Args:
        path: the file.
        blocks: the rows, in order.
        meta: what the file says of itself.
        shape: (N, D) of all rows.
        dtype: of the rows.
        keys: names of the rows.
        coords: level-0 top-left of each.

    Raises:
        DataError: no row, blocks that do not make ``shape``, or keys and coords that do not fit it.
    """
    if keys is None and coords is None:
        raise DataError(f"{path}: a feature file needs keys or coords to say what each row is")
    for name, values in (("keys", keys), ("coords", coords)):
        if values is not None and len(values) != shape[0]:
            raise DataError(f"{path}: {len(values)} {name} for {shape[0]} rows")
    with new_h5(path) as file:
        store(path, file, blocks, meta, shape=shape, dtype=dtype, keys=keys, coords=coords)


def store(
    path: Path,
    file: h5py.File,
    blocks: Iterable[Float[np.ndarray, "block feature"]],
    meta: FeatureMeta,
    *,
    shape: tuple[int, int],
    dtype: np.dtype,
    keys: np.ndarray | list[str] | None,
    coords: Int[np.ndarray, "batch 2"] | None,
) -> None:
    """Writes rows and what is said of them into an open file; arguments as ``write_blocks``.

    Raises:
        DataError: blocks that do not make ``shape``, or NaN or infinity among them.
    """
    dataset, done = file.create_dataset("features", shape=shape, dtype=dtype), 0
    for block in blocks:
        if not np.isfinite(block).all():
            first = done + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
            raise DataError(f"{path}: row {first} of {shape[0]} holds NaN or infinity, so it is not written")
        dataset[done : done + len(block)] = block
        file.flush()
        done += len(block)
    if done != shape[0] or not done:
        raise DataError(f"{path}: {done} rows of features for {shape[0]} places; encode it again")
    if keys is not None:
        file.create_dataset("keys", data=np.asarray(keys, dtype=object), dtype=h5py.string_dtype())
    if coords is not None:
        file.create_dataset("coords", data=np.asarray(coords, dtype=np.int64))
    attributes = file.attrs
    for name, value in asdict(meta).items():
        attributes[name] = np.nan if value is None else value


def read_features(path: Path | str) -> Features:
    """Reads a whole feature file.

    Raises:
        DataError: missing, not h5, without ``features``, an attribute missing, a later schema, or NaN among the rows.

    >>> import tempfile
    >>> meta = FeatureMeta(
    ...     source="C4", encoder="embedded", encoder_sha256="abc", encoder_licence="Apache-2.0", patch_size_px=224,
    ...     patch_size_level0_px=224, mpp_um_per_px=0.5, precision="float32", config_sha256="def",
    ... )
    >>> path = Path(tempfile.mkdtemp()) / "C4.h5"
    >>> write_features(path, np.ones((2, 3), np.float32), meta, keys=["1x1", "1x2"])
    >>> read_features(path).features.shape
    (2, 3)
    """
    path = Path(path)
    with _open(path) as file:
        meta, (n_rows, _), keys, coords = read_facts(path, file)
        stored = file["features"]
        check_memory(path, stored.size * stored.dtype.itemsize)
        features = stored[...]
    if not np.isfinite(features).all():
        rows = np.flatnonzero(~np.isfinite(features).all(axis=1))
        raise DataError(
            f"{path}: {len(rows)} of {n_rows} rows hold NaN or infinity (first row {rows[0]}); encode it again"
        )
    return Features(features, keys, coords, meta)


def read_meta(path: Path) -> FeatureMeta:
    """Reads the attributes alone; errors as ``read_features``."""
    return read_header(path)[0]


def read_header(path: Path) -> tuple[FeatureMeta, tuple[int, int]]:
    """Reads the attributes and (N, D) of the rows, without the rows; errors as ``read_features``."""
    with _open(path) as file:
        return read_facts(path, file)[:2]


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    with open_h5(path, absent="no such feature file; `encode_*` makes it") as file:
        yield file


def read_facts(
    path: Path, file: h5py.File
) -> tuple[FeatureMeta, tuple[int, int], np.ndarray | None, Int[np.ndarray, "batch 2"] | None]:
    """Attributes, (N, D) of the rows, keys and coords of an open file of this project; errors as ``read_features``."""
    if "schema_version" not in file.attrs:
        raise DataError(
            f"{path}: no feature file of this project (schema_version missing; it holds {some(sorted(file))}); "
            "`convert` makes one of a file of CLAM, TRIDENT or STAMP, `mil` reads those as they are"
        )
    features = stored_dataset(path, file, "features", kinds="f")
    if features is None:
        raise DataError(f"{path}: has no dataset `features`, only {sorted(file)}; not a feature file")
    if features.ndim != 2 or not features.shape[1]:
        raise DataError(
            f"{path}: features are (N, D) floats, these are {features.dtype} of shape {features.shape}; encode it again"
        )
    n_rows, width = map(int, features.shape)
    meta = _read_meta(path, file)
    if not n_rows:
        raise DataError(
            f"{path}: an empty bag: features have shape {features.shape}, wanted (N, D) with N > 0; leave it out, or "
            "encode it with less tissue wanted (data.min_tissue)"
        )
    keys, coords = stored_dataset(path, file, "keys", kinds="T"), coords_of(path, file)
    places = None if coords is None else coords.values
    for name, there in (("keys", keys), ("coords", places)):
        if there is not None and there.shape[:1] != (n_rows,):
            raise DataError(f"{path}: {name} of shape {there.shape} for {n_rows} rows of features; encode it again")
    return meta, (n_rows, width), None if keys is None else text_rows(path, keys), places


def _read_meta(path: Path, file: h5py.File) -> FeatureMeta:
    wanted, attributes = [field.name for field in fields(FeatureMeta) if field.name not in _LATER], file.attrs
    names = set(attributes)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataError(f"{path}: attribute {', '.join(missing)} missing; encode it again with `encode_*`")
    version = attributes["schema_version"]
    if isinstance(version, int | np.integer) and version > SCHEMA_VERSION:
        raise DataError(f"{path}: schema_version {version} is newer than {SCHEMA_VERSION}; upgrade")
    there = (field for field in fields(FeatureMeta) if field.name in names)
    return FeatureMeta(**{field.name: _attribute(path, field, attributes[field.name]) for field in there})


def _attribute(path: Path, field: "Field[Any]", value: Any) -> Any:
    """An attribute of its field's type."""
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    fits: Any
    if field.type is str:
        wanted, fits = "text", isinstance(value, str)
    elif field.type in (int, bool):
        wanted = f"a whole number of 0 to {_MOST}"
        fits = isinstance(value, int | np.integer | np.bool_) and 0 <= value <= _MOST
    else:
        wanted = "a positive number, or NaN where it is not known"
        fits = isinstance(value, int | float | np.integer | np.floating) and (np.isnan(value) or 0 < value < np.inf)
    if not fits:
        raise DataError(f"{path}: attribute {field.name} is {str(value)[:60]!r}, wanted {wanted}; encode it again")
    if field.type in (str, int, bool):
        return field.type(value)
    return None if np.isnan(value) else float(value)
