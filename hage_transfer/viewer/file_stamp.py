"""Telling whether a file is still the one that was read."""

import hashlib
from pathlib import Path

from hage_transfer.errors import DataError


def stamp(path: Path) -> str:
    """Changes when the file does, so that what came of this very file alone is kept, here and in a browser.

    Raises:
        DataError: the file is gone.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise DataError(f"{path}: no such file any more ({error.strerror}); put it back, or make it again") from None
    return hashlib.sha256(f"{path}|{facts.st_size}|{facts.st_mtime_ns}".encode()).hexdigest()[:16]
