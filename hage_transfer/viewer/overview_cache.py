"""Overviews of slides without levels, kept in a cache folder: the second opening shows its first picture at once."""

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from hage_transfer.running.atomic import atomic_path

log = logging.getLogger(__name__)
VARIABLE = "HAGE_CACHE"
_KEPT = 200
_QUALITY = 92


def cache_folder() -> Path:
    """``HAGE_CACHE``, else ``hage-transfer`` in the user's cache folder."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "hage-transfer")


def cached_overview(
    path: Path, stamp: str, make: Callable[[], UInt8[np.ndarray, "h w 3"]]
) -> UInt8[np.ndarray, "h w 3"]:
    """What ``make`` gives, or what it gave of this very file before.

    Args:
        path: of the slide.
        stamp: changes with the file.
        make: reads the overview.
    """
    name = hashlib.sha256(f"{path.resolve()}\n{stamp}".encode()).hexdigest()[:32]
    file = cache_folder() / "overviews" / f"{name}.jpg"
    try:
        with Image.open(file) as kept:
            return np.asarray(kept.convert("RGB"))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):  # not there, or damaged: made again
        overview = make()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as temporary:
            Image.fromarray(overview).save(temporary, "JPEG", quality=_QUALITY)
        for old in sorted(file.parent.glob("*.jpg"), key=lambda one: one.stat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        log.info("%s: overviews are not kept (%s); name another folder in %s", file.parent, error.strerror, VARIABLE)
    return overview
