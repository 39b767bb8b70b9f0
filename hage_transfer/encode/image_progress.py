"""Progress of encoding: over the items of a list; over the images where the list has one item."""

from hage_transfer.running.progress import Progress, Shown


class ImageProgress:
    """Counts the items that ended, and says how far the one at work is."""

    def __init__(self, progress: Progress | None, *, total: int, kept: int) -> None:
        """Takes the number of items, and of those that are there already."""
        self._progress, self._total, self._ended = progress, total, kept
        if kept:
            self._tell(kept, total, f"{kept} kept")

    def images(self, name: str, done: int, count: int) -> None:
        """An item of ``count`` images, ``done`` of which are encoded."""
        if self._total == 1:
            self._tell(done, count, name)
        elif isinstance(self._progress, Shown):
            self._progress.within(self._ended + done / count, self._total, f"{name}: {done} of {count}")
        else:
            self._tell(self._ended, self._total, f"{name}: {done} of {count}")

    def ended(self, name: str) -> None:
        """An item that is done, or failed, or that another worker has."""
        self._ended += 1
        if self._total > 1:
            self._tell(self._ended, self._total, name)

    def _tell(self, done: int, total: int, name: str) -> None:
        if self._progress is not None:
            self._progress(done, total, name)
