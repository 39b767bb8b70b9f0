"""Lines of the log that are said once a process, however often their file is opened."""

import logging
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=100_000)
def say_once(log: logging.Logger, level: int, about: Path, message: str) -> None:
    """Logs a message about a file, unless this process has said it of that file."""
    log.log(level, "%s", message)
