"""Memory of the C library: kept between steps instead of given back and faulted in again."""

import ctypes
import gc
import logging
import os
import sys
from functools import lru_cache
from pathlib import Path

log = logging.getLogger(__name__)

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8  # glibc's malloc.h
_KEPT_BYTES, _LARGEST_BYTES = 2**29, 2**27
_ALL_BYTES = 2**31 - 1
_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "LD_PRELOAD")


@lru_cache
def keep_freed_memory(*, everything: bool = False) -> None:
    """Has glibc keep up to 512 MB of freed memory, blocks of up to 128 MB among it; does nothing elsewhere.

    ``everything``: all of it, whatever the blocks' size, so that the process holds what its largest step needed until
    it ends: for training on whole bags, where a ReLU over 35 MB took 23 ms with its memory given back and 5 ms without.

    By default a block of more than 32 MB, and what is free at the end of the heap, goes back to the system at once, and
    each array is faulted in anew: 1200 page faults an image with the embedded encoder, a fifth of its time, and half of
    the time that a slide's tissue takes. Threads share one heap: each would keep what it freed for itself, a tenth of
    the peak where sections are encoded. What the user has set, or another allocator, is left alone.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _VARIABLES):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return  # another C library
    wanted = {_TRIM_THRESHOLD: _ALL_BYTES, _MMAP_MAX: 0}
    if not everything:
        shared = {} if "MALLOC_ARENA_MAX" in os.environ else {_ARENA_MAX: 1}
        wanted = {_TRIM_THRESHOLD: _KEPT_BYTES, _MMAP_THRESHOLD: _LARGEST_BYTES, **shared}
    if not all(mallopt(option, value) for option, value in wanted.items()):
        log.debug("the C library keeps its own memory thresholds")


def give_back_memory() -> None:
    """Frees objects that only hold each other, and has glibc give back what is free, also amid its heap.

    Where arrays of 1 to 32 MB come and go, glibc otherwise keeps what they took: 1.3 GB after a training on a million
    spots.
    """
    gc.collect()
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def available_bytes() -> int | None:
    """Memory that a process can take without swapping; None where the system does not say (not Linux)."""
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as lines:
            found = next(line for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    return int(found.split()[1]) * 1024
