"""Copies of frozen features that carry the same information: what `--null` compares with one another."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from hage_transfer.config import config_sha256
from hage_transfer.data.feature_file import Features, read_meta, write_features
from hage_transfer.data.feature_layouts.opened import open_features

COPY = "copy"
NOISE = 1.0
"""Standard deviation of a copy's own noise, of standardised features: half of what a copy says is its own, so that two
copies differ as two encoders of one tissue do, and not as an encoder and itself."""


def write_copies(paths: Sequence[Path], folder: Path, *, copies: int, seed: int) -> list[list[Path]]:
    """Writes copies of a set's feature files, each rotated anew (one rotation a copy) with noise of its own.

    Features are standardised over all rows, which needs no label. Copies that are there and were made of just these
    files are kept.

    Args:
        paths: the set's feature files.
        folder: copy k goes to ``copy_<k>/``, under the files' own names.
        copies: how many.
        seed: of rotations and noise.

    Returns:
        Files of each copy, in the order of ``paths``.

    Raises:
        DataError: a file that cannot be read.
    """
    targets = [[folder / f"{COPY}_{k}" / f"{path.stem}.h5" for path in paths] for k in range(copies)]
    stamps = [config_sha256({"of": open_features(path).meta.config_sha256, "seed": seed}) for path in paths]
    if all(_is_current(path, stamp) for files in targets for path, stamp in zip(files, stamps, strict=True)):
        return targets
    mean, std = _moments(_read(paths))
    rotations = [_rotation(len(mean), np.random.default_rng([seed, k])) for k in range(copies)]
    for place, (features, stamp) in enumerate(zip(_read(paths), stamps, strict=True)):
        rows = (features.features.astype(np.float32) - mean) / std
        for k, rotation in enumerate(rotations):
            noise = np.random.default_rng([seed, k, place]).normal(0, NOISE, rows.shape)
            meta = replace(features.meta, encoder=f"{features.meta.encoder}, null copy {k}", config_sha256=stamp)
            targets[k][place].parent.mkdir(parents=True, exist_ok=True)
            made = (rows @ rotation + noise).astype(np.float32)
            write_features(targets[k][place], made, meta, keys=features.keys, coords=features.coords)
    return targets


def _read(paths: Sequence[Path]) -> Iterator[Features]:
    for path in paths:
        yield open_features(path).read()


def _is_current(path: Path, stamp: str) -> bool:
    return path.is_file() and read_meta(path).config_sha256 == stamp


def _moments(files: Iterator[Features]) -> tuple[Float32[np.ndarray, " feature"], Float32[np.ndarray, " feature"]]:
    count, total, squares = 0, np.zeros(1), np.zeros(1)
    for one in files:
        rows = one.features.astype(np.float64)
        count, total, squares = count + len(rows), total + rows.sum(axis=0), squares + (rows**2).sum(axis=0)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return mean.astype(np.float32), np.where(std > 0, std, 1).astype(np.float32)


def _rotation(width: int, rng: np.random.Generator) -> Float[np.ndarray, "feature feature"]:
    """Uniform over rotations (and reflections): QR of normal numbers, signs made unique."""
    q, r = np.linalg.qr(rng.normal(size=(width, width)))
    return (q * np.sign(np.diag(r))).astype(np.float32)
