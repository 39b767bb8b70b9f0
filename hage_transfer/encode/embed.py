"""Feature files through a gene-informed encoder."""

import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from hage_transfer.data.feature_file import read_features, read_meta, write_features
from hage_transfer.data.h5_file import check_below, open_h5
from hage_transfer.errors import DataError, HageError
from hage_transfer.models.checkpoint import encoder_sha256
from hage_transfer.models.embedding import embed_features
from hage_transfer.models.forms import open_encoder
from hage_transfer.models.stored_encoder import StoredEncoder
from hage_transfer.running.atomic import TEMPORARY_MARK, remove_partial_of
from hage_transfer.running.items import run_items
from hage_transfer.running.job import Job
from hage_transfer.running.progress import Progress

log = logging.getLogger(__name__)


def embed_path(
    features: Path,
    *,
    encoder: Path,
    out: Path,
    device: str,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Embeds a feature file into the file ``out``, or every `.h5` below a folder into the folder ``out``.

    An embedding file that these features and this encoder (by the hash of its weights) made is kept; any other is
    replaced, so a re-trained encoder never leaves stale embeddings behind. ``progress`` is told of each that ends.

    Returns:
        How many files were written.

    Raises:
        DataError: nothing at ``features``; features of another frozen encoder or width; no encoder directory.
        ItemsFailedError: some files of a folder failed; they are in its ``failures.csv``, the rest are done.
    """
    if features.resolve() == out.resolve():
        raise DataError(f"{out}: embeddings would take the place of their features; give another out=")
    options = cache(lambda: open_encoder(encoder)), encoder, encoder_sha256(encoder), device, overwrite
    if not features.is_dir():
        made = int(_embed_file(features, out, *options))
        if progress is not None:
            progress(1, 1, features.stem)
        return made
    found = sorted(path for path in features.rglob("*.h5") if not path.name.startswith(TEMPORARY_MARK))
    if not found:
        raise DataError(f"{features}: holds no feature file (*.h5); `encode_*` makes them")
    inside = [path.relative_to(features) for path in found]
    jobs = [
        Job(one.with_suffix("").as_posix(), None, _embed_file, (path, out / one, *options))
        for one, path in zip(inside, found, strict=True)
    ]
    made = sum(run_items(jobs, out, what="files", progress=progress).values())
    if made:
        log.info("%s: %d of %d files embedded by %s", out, made, len(jobs), encoder)
    return made


def _embed_file(
    path: Path,
    target: Path,
    model: Callable[[], StoredEncoder],
    encoder: Path,
    sha256: str,
    device: str,
    overwrite: bool,
) -> bool:
    """Embeds a file, unless it is embedded already; whether it did."""
    if not overwrite and _is_current(path, target, sha256):
        return False
    target.unlink(missing_ok=True)
    remove_partial_of(target)
    try:
        embedded = embed_features(read_features(path), model(), folder=encoder, device=device)
    except HageError as error:
        error.add_note(f"while embedding {path}")
        raise
    write_features(target, embedded.features, embedded.meta, keys=embedded.keys, coords=embedded.coords)
    return True


def _is_current(path: Path, target: Path, sha256: str) -> bool:
    """Whether ``target`` holds the embeddings of just these features by just this encoder."""
    if not target.is_file():
        return False
    features, embeddings = read_meta(path), read_meta(target)
    if embeddings.encoder_sha256 != sha256 or any(
        getattr(features, name) != getattr(embeddings, name) for name in ("source", "config_sha256")
    ):
        return False
    with open_h5(path) as before, open_h5(target) as after:
        check_below(path, before)
        check_below(target, after)
        return len(before["features"]) == len(after["features"]) and all(
            name in after and np.array_equal(before[name][...], after[name][...])
            for name in ("keys", "coords")
            if name in before
        )
