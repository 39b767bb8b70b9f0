"""How far the job that runs is, told by the job itself: to whoever shows progress, or through a file from a worker."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_WRITE_SECONDS = 1.0
_sinks: list[Callable[[float], None]] = []


def tick(share: float) -> None:
    """Says that ``share`` of the present job (0 to 1) is done; costs nothing where nobody listens."""
    if _sinks:
        _sinks[-1](min(max(share, 0.0), 1.0))


@contextmanager
def heard(sink: Callable[[float], None] | None) -> Iterator[None]:
    """Has ``sink`` told of ticks."""
    if sink is None:
        yield
        return
    _sinks.append(sink)
    try:
        yield
    finally:
        _sinks.pop()


def into_file(path: Path) -> Callable[[float], None]:
    """A sink that leaves the share in a file, once a second at most."""
    last = 0.0

    def write(share: float) -> None:
        nonlocal last
        if time.monotonic() - last >= _WRITE_SECONDS:
            last = time.monotonic()
            path.write_text(f"{share:.6f}", encoding="ascii")

    return write


def from_file(path: Path) -> float:
    """What ``into_file`` left; 0 before it did."""
    try:
        return float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # not there yet, or half written
        return 0.0


def share_of_epochs(done: float, *, soonest: float, most: int) -> float:
    """Share of a training that may stop early, of which ``done`` epochs are over.

    Args:
        done: epochs, fractions among them.
        soonest: epoch after which it may stop, as things stand.
        most: epochs at most.
    """
    return done / max(math.sqrt(min(soonest, most) * most), done, 1)
