"""What a job of a process leaves behind does not stay with the next one."""

import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

from hage_transfer.running.memory import give_back_memory


class Holder:
    """Holds itself, as trainers and their modules do."""

    def __init__(self) -> None:
        self.own, self.array = self, np.ones(1000)


def anonymous_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


def test_objects_that_hold_each_other_are_freed():
    left = weakref.ref(Holder())
    give_back_memory()
    assert left() is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks glibc")
def test_what_is_free_amid_the_heap_is_given_back():
    blocks = [np.ones(10_000) for _ in range(4000)]  # 80 kB each, below what is mapped alone
    kept = blocks[::50]
    before = anonymous_mb()
    del blocks
    give_back_memory()
    assert anonymous_mb() < before - 200
    assert all(one[0] == 1 for one in kept)
