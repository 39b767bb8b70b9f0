"""The values that were used last, as many bytes of them as a limit allows."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from cachetools import LRUCache

Value = TypeVar("Value")


class ByteCache(Generic[Value]):
    """Lets go of what was not used for longest; one value is kept in any case. Safe to use from several threads.

    Args:
        limit_bytes: that the values may take together.
        size: of a value, in bytes.
    """

    def __init__(self, limit_bytes: int, size: Callable[[Value], int]) -> None:
        self._kept: LRUCache[Hashable, Value] = LRUCache(limit_bytes, lambda value: min(size(value), limit_bytes))
        self._lock = threading.Lock()

    @property
    def n_bytes(self) -> int:
        """What is held now; a value over the limit counts as the limit."""
        return int(self._kept.currsize)

    def get(self, key: Hashable) -> Value | None:
        """A value that is kept; None where it is not."""
        with self._lock:
            return self._kept.get(key)

    def put(self, key: Hashable, value: Value) -> None:
        """Keeps a value."""
        with self._lock:
            self._kept[key] = value
