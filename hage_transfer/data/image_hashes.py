"""Identical images in a patch set: found by the hash of their pixels, whatever their files are called."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from jaxtyping import UInt8

from hage_transfer.data.patch_set import PatchSet, PatchSource
from hage_transfer.errors import DataError
from hage_transfer.running.progress import Progress


@dataclass(frozen=True)
class Duplicates:
    """Patches with the same pixels.

    Attributes:
        rows: places of the patches, ascending.
        across_groups: whether they are of more than one group (or image, where the set has no groups).
        across_labels: whether they have more than one label.
    """

    rows: tuple[int, ...]
    across_groups: bool
    across_labels: bool


@dataclass(frozen=True)
class PixelCheck:
    """What reading every pixel of a set showed.

    Attributes:
        duplicates: sets of identical patches, those across groups first.
        unreadable: image to the reason.
        constant: rows whose pixels are all one colour.
    """

    duplicates: tuple[Duplicates, ...]
    unreadable: dict[str, str]
    constant: tuple[int, ...]


def check_pixels(patches: PatchSet, *, n_threads: int = 1, progress: Progress | None = None) -> PixelCheck:
    """Reads every patch once and compares the hashes of their pixels and shapes.

    Args:
        patches: the set; one image of each thread is held at a time.
        n_threads: images read at a time.
        progress: told of each image, in patches.
    """
    hashes: dict[bytes, list[int]] = {}
    unreadable: dict[str, str] = {}
    constant: list[int] = []
    read = 0
    for source, digests, reason in _read_all(patches.sources, n_threads):
        for row, (digest, is_constant) in zip(source.rows, digests, strict=False):
            hashes.setdefault(digest, []).append(row)
            if is_constant:
                constant.append(row)
        if reason is not None:
            unreadable[source.key] = reason
        if progress is not None:
            read += len(source.rows)
            progress(read, len(patches), source.key)
    groups = patches.image_keys if patches.groups is None else patches.groups
    found = [
        Duplicates(
            tuple(sorted(rows)),
            across_groups=len(set(groups[rows].tolist())) > 1,
            across_labels=len(set(patches.labels[rows].tolist())) > 1,
        )
        for rows in hashes.values()
        if len(rows) > 1
    ]
    found.sort(key=lambda one: (not one.across_groups, one.rows))
    return PixelCheck(tuple(found), unreadable, tuple(sorted(constant)))


def _read_all(
    sources: tuple[PatchSource, ...], n_threads: int
) -> Iterator[tuple[PatchSource, list[tuple[bytes, bool]], str | None]]:
    """Sources in order with what each gave; few are read ahead, so that memory does not grow with the set."""
    left = iter(sources)
    with ThreadPoolExecutor(n_threads) as pool:
        waiting = [(source, pool.submit(_read, source)) for source in islice(left, 2 * n_threads)]
        while waiting:
            source, result = waiting.pop(0)
            waiting += [(following, pool.submit(_read, following)) for following in islice(left, 1)]
            yield source, *result.result()


def _read(source: PatchSource) -> tuple[list[tuple[bytes, bool]], str | None]:
    found: list[tuple[bytes, bool]] = []
    try:
        for pixels in source.read(0):
            found.append(_digest(pixels))
    except DataError as error:
        return found, str(error)
    return found, None


def _digest(pixels: UInt8[np.ndarray, "height width 3"]) -> tuple[bytes, bool]:
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(pixels.tobytes())
    return digest.digest(), bool((pixels == pixels[0, 0]).all())
