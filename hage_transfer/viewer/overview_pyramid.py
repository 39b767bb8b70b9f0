"""The coarse levels of a slide that has none of its own, kept in a cache folder: a later opening reads no slide."""

import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from hage_transfer.running.atomic import atomic_path
from hage_transfer.viewer.deep_zoom import DeepZoom

log = logging.getLogger(__name__)
VARIABLE = "HAGE_CACHE"
_KEPT, _QUALITY = 200, 92
_COARSEST = 8  # 256 px; what is smaller is made of it in passing
Picture = UInt8[np.ndarray, "height width 3"]


def cache_folder() -> Path:
    """``HAGE_CACHE``, else ``hage-transfer`` in the user's cache folder."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "hage-transfer")


class OverviewPyramid:
    """Pictures of whole deep-zoom levels: of ``finest``, which is made once, and of the coarser ones, each half of it.

    A level is one file of the cache, so that the first picture of a slide decodes no more than what is shown. Safe to
    use from several threads.

    Args:
        path: of the slide.
        stamp: changes with the file.
        zoom: its geometry.
        finest: level that ``make`` gives.
        make: reads the slide; its result has the size that ``zoom`` gives the level.
    """

    def __init__(self, path: Path, stamp: str, zoom: DeepZoom, finest: int, make: Callable[[], Picture]) -> None:
        self._finest, self._make, self._sizes = finest, make, [zoom.size(level) for level in range(zoom.n_levels)]
        self._coarsest_kept = min(_COARSEST, finest)
        name = hashlib.sha256(f"{path.resolve()}\n{stamp}".encode()).hexdigest()[:32]
        self._folder = cache_folder() / "overviews" / name
        self._lock = threading.Lock()
        self._levels: dict[int, Picture] = {}

    def has(self, level: int) -> bool:
        """Whether a level can be had without reading the slide."""
        return level in self._levels or self._file(max(level, self._coarsest_kept)).is_file()

    def level(self, level: int) -> Picture:
        """The picture of a level, ``finest`` at most.

        Raises:
            DataError: the slide is damaged, or so large that reading it would take hours.
        """
        with self._lock:
            return self._level(level)

    def _level(self, level: int) -> Picture:
        if level not in self._levels:
            kept = self._kept(level)
            self._levels[level] = self._made(level) if kept is None else kept
        return self._levels[level]

    def _kept(self, level: int) -> Picture | None:
        """From the cache; None where it is not there, or damaged."""
        if level < self._coarsest_kept:
            return None
        try:
            with Image.open(self._file(level)) as kept:
                return np.asarray(kept.convert("RGB")) if kept.size == self._sizes[level] else None
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
            return None

    def _made(self, level: int) -> Picture:
        if level == self._finest:
            picture = self._make()
        else:
            picture = np.asarray(Image.fromarray(self._level(level + 1)).reduce(2))
        if level >= self._coarsest_kept:
            self._keep(level, picture)
        return picture

    def _keep(self, level: int, picture: Picture) -> None:
        try:
            with atomic_path(self._file(level)) as temporary:
                Image.fromarray(picture).save(temporary, "JPEG", quality=_QUALITY)
            for old in sorted(self._folder.parent.iterdir(), key=lambda one: one.stat().st_mtime)[:-_KEPT]:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        except OSError as error:
            log.info(
                "%s: overviews are not kept (%s); name another folder in %s", self._folder, error.strerror, VARIABLE
            )

    def _file(self, level: int) -> Path:
        return self._folder / f"{level}.jpg"
