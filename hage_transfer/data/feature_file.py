"""The feature file: the one form in which features and embeddings travel between stages (h5).

Datasets ``features`` (N, D) float16 or float32, and ``keys`` (N,) text (spot, patch id) and/or ``coords`` (N, 2) int,
level-0 top-left (x, y). Attributes: see ``FeatureMeta``. The form is documented in docs/file-formats.md.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float, Int

from hage_transfer.errors import DataError
from hage_transfer.running.atomic import atomic_path

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class FeatureMeta:
    """What a feature file says of itself.

    Attributes:
        source: what was encoded (a section's name, a slide's, a patch set's).
        encoder: frozen encoder's name; for embeddings, ``hage:`` and the encoder directory's name.
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
    schema_version: int = SCHEMA_VERSION


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
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        dataset, done = file.create_dataset("features", shape=shape, dtype=dtype), 0
        for block in blocks:
            dataset[done : done + len(block)] = block
            done += len(block)
        if done != shape[0] or not done:
            raise DataError(f"{path}: {done} rows of features for {shape[0]} places; encode it again")
        if keys is not None:
            file.create_dataset("keys", data=np.asarray(keys, dtype=object), dtype=h5py.string_dtype())
        if coords is not None:
            file.create_dataset("coords", data=np.asarray(coords, dtype=np.int64))
        for name, value in asdict(meta).items():
            file.attrs[name] = np.nan if value is None else value


def read_features(path: Path | str) -> Features:
    """Reads a whole feature file.

    Raises:
        DataError: missing, not h5, without ``features``, an attribute missing, a later schema, or NaN among the rows.

    >>> import tempfile
    >>> meta = FeatureMeta("C4", "embedded", "abc", "Apache-2.0", 224, 224, 0.5, "float32", "def")
    >>> path = Path(tempfile.mkdtemp()) / "C4.h5"
    >>> write_features(path, np.ones((2, 3), np.float32), meta, keys=["1x1", "1x2"])
    >>> read_features(path).features.shape
    (2, 3)
    """
    path = Path(path)
    with _open(path) as file:
        meta = _read_meta(path, file)
        features = file["features"][...]
        keys = file["keys"].asstr()[...] if "keys" in file else None
        coords = file["coords"][...] if "coords" in file else None
    if features.ndim != 2 or not len(features):
        raise DataError(f"{path}: features are (N, D) with N > 0, these have shape {features.shape}")
    if not np.isfinite(features).all():
        rows = np.flatnonzero(~np.isfinite(features).all(axis=1))
        raise DataError(
            f"{path}: {len(rows)} of {len(features)} rows hold NaN or infinity (first row {rows[0]}); encode it again"
        )
    return Features(features, keys, coords, meta)


def read_meta(path: Path) -> FeatureMeta:
    """Reads the attributes alone; errors as ``read_features``."""
    with _open(path) as file:
        return _read_meta(path, file)


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    if not path.is_file():
        raise DataError(f"{path}: no such feature file; `hage encode` makes it")
    try:
        with h5py.File(path, "r") as file:
            if "features" not in file:
                raise DataError(f"{path}: has no dataset `features`, only {sorted(file)}; not a feature file")
            _check_form(path, file["features"])
            yield file
    except OSError as error:
        raise DataError(f"{path}: cannot be read as h5 ({error}); encode it again") from None


def _check_form(path: Path, features: object) -> None:
    if (
        not isinstance(features, h5py.Dataset)
        or features.ndim != 2
        or not features.shape[1]
        or features.dtype.kind != "f"
    ):
        met = f"{features.dtype} of shape {features.shape}" if isinstance(features, h5py.Dataset) else "a group"
        raise DataError(f"{path}: features are (N, D) floats, these are {met}; encode it again")


def _read_meta(path: Path, file: h5py.File) -> FeatureMeta:
    wanted = [field.name for field in fields(FeatureMeta) if field.name not in ("views", "surround")]
    missing = [name for name in wanted if name not in file.attrs]
    if missing:
        raise DataError(f"{path}: attribute {', '.join(missing)} missing; encode it again with `hage encode`")
    values = {name: file.attrs[name] for name in wanted}
    if not isinstance(values["schema_version"], int | np.integer):
        raise DataError(
            f"{path}: schema_version is {values['schema_version']!r}, wanted a whole number; encode it again"
        )
    if values["schema_version"] > SCHEMA_VERSION:
        raise DataError(f"{path}: schema_version {values['schema_version']} is newer than {SCHEMA_VERSION}; upgrade")
    mpp = float(values["mpp_um_per_px"])
    return FeatureMeta(
        source=str(values["source"]),
        encoder=str(values["encoder"]),
        encoder_sha256=str(values["encoder_sha256"]),
        encoder_licence=str(values["encoder_licence"]),
        patch_size_px=int(values["patch_size_px"]),
        patch_size_level0_px=int(values["patch_size_level0_px"]),
        mpp_um_per_px=None if np.isnan(mpp) else mpp,
        precision=str(values["precision"]),
        config_sha256=str(values["config_sha256"]),
        frozen_encoder=str(values["frozen_encoder"]),
        views=int(file.attrs.get("views", 1)),
        surround=bool(file.attrs.get("surround", False)),
        schema_version=int(values["schema_version"]),
    )


def written(path: Path) -> str:
    """Size and time of a file's last change: other text where it was written anew, without reading it."""
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"
