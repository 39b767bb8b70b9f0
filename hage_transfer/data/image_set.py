"""Which images a set is made of, whatever is cut from them: a set used as patches and as bags is one set."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from hage_transfer.config import PatchSetSettings, Settings
from hage_transfer.data.patches import find_images
from hage_transfer.errors import HageError

META = "image_set_sha256"
_HEAD_BYTES = 64 * 1024


def image_set_sha256(data: Settings) -> str | None:
    """Hash of a set's images (size and first 64 KiB of each, in any order); None where they are not at hand.

    Whole slides and feature files have none: their sets are told apart by their labels.
    """
    if not isinstance(data, PatchSetSettings):
        return None
    try:
        paths = sorted(data.root.glob("*.h5")) if data.layout == "pcam" else [i.path for i in find_images(data)]
        return _digest(paths)
    except (HageError, OSError):  # features may outlive their images, which nothing else needs here
        return None


def _digest(paths: Iterable[Path]) -> str | None:
    found = sorted(_head(path) for path in paths)
    return hashlib.sha256("\n".join(found).encode()).hexdigest() if found else None


def _head(path: Path) -> str:
    with path.open("rb") as handle:
        return f"{path.stat().st_size} {hashlib.sha256(handle.read(_HEAD_BYTES)).hexdigest()}"
