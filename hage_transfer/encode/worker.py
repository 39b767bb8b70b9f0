"""One worker over a list of items that others may share: takes what is free, resumes what a killed one left."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass

import numpy as np

from hage_transfer.compare.guards import MOST_SCALE
from hage_transfer.config import EncoderSettings
from hage_transfer.data.feature_file import FeatureMeta, write_blocks
from hage_transfer.data.feature_journal import FeatureJournal, journal_path
from hage_transfer.encode.extract import Opened, Part, encode_sources
from hage_transfer.encode.image_progress import ImageProgress
from hage_transfer.encode.item import Item, OpenItem
from hage_transfer.encode.ledger import Ledger, locks_of
from hage_transfer.encode.status import Outcome, StatusBook, remove_leftovers
from hage_transfer.encoders.base import FrozenEncoder
from hage_transfer.encoders.onnx_file import transform_of
from hage_transfer.encoders.specs import is_onnx_file
from hage_transfer.errors import DataError, InputError
from hage_transfer.running.atomic import NO_ROOM
from hage_transfer.running.locks import Lock, leave, try_lock, wait_for_lock
from hage_transfer.running.run_directory import Standing

log = logging.getLogger(__name__)

_AGAIN = 2


@dataclass(kw_only=True)
class _Work:
    """An item at work: what it holds until it is done."""

    item: Item
    rows: OpenItem
    lock: Lock
    journal: FeatureJournal
    seen: str
    sha256: str
    began: float
    failed: bool = False


class Worker:
    """Encodes the items of a list that are free, each under its lock."""

    def __init__(
        self,
        items: Sequence[Item],
        encoder: FrozenEncoder,
        settings: EncoderSettings,
        *,
        sha256: Callable[[Item], str],
        arithmetic: str,
        synthetic: bool,
        progress: ImageProgress,
        book: StatusBook | None,
        waits: bool = False,
    ) -> None:
        """Takes the items that are left.

        Args:
            items: that are left.
            encoder: the frozen encoder.
            settings: of it.
            sha256: of all that decides an item's rows.
            arithmetic: what decides them to the last bit besides.
            synthetic: whether a generator made the images.
            progress: told of what ends.
            book: of the list, where there is one.
            waits: for what other workers hold; always so without a book.
        """
        self._synthetic = synthetic
        self._items, self._encoder, self._settings = items, encoder, settings
        self._sha256, self._progress, self._book = sha256, progress, book
        self._arithmetic = f"{arithmetic} batch {settings.batch_size}"
        self._finished = time.perf_counter()
        self._works: list[_Work] = []
        self._replaced: list[Item] = []
        self._begun: Counter[str] = Counter()
        self._waits = waits or book is None
        folder = items[0].path.parent if book is None else book.folder
        folder.mkdir(parents=True, exist_ok=True)
        self._standing = Standing(folder)
        self._ledger = Ledger(book, progress)

    def run(self) -> list[Outcome]:
        """Encodes what is free and returns what became of each item.

        Raises:
            InputError: the first failure, where there is no book to keep it.
            OSError: what is made cannot be written: the disk is full.
        """
        settings, items = self._settings, list(self._items)
        try:
            while items:
                sources = self._sources(items)
                with closing(
                    encode_sources(self._encoder, sources, batch_size=settings.batch_size, readers=settings.readers)
                ) as parts:
                    for part in parts:
                        self._standing.check()
                        self._take(part)
                        if self._ledger.error is not None:
                            raise self._ledger.error
                if self._ledger.error is not None:
                    raise self._ledger.error
                items, self._replaced = self._replaced, []
        finally:
            for work in self._works:  # interrupted: their journals stay for the next run
                work.journal.close()
                work.lock.release()
            for folder in {locks_of(item, self._book) for item in self._items}:
                leave(folder)
        return list(self._ledger.outcomes.values())

    def _sources(self, items: Sequence[Item]) -> Iterator[Opened[_Work]]:
        """Opens one free item after the other; what others hold is looked at again at the end."""
        held = []
        for item in items:
            if (opened := self._open(item)) is not None:
                yield opened
            elif item.name not in self._ledger.outcomes:
                held.append(item)
            if self._ledger.error is not None:
                return
        for item in held:
            if (opened := self._open(item, wait=self._waits)) is not None:
                yield opened
            elif item.name not in self._ledger.outcomes:
                self._ledger.leave_to_holder(item)

    def _open(self, item: Item, *, wait: bool = False) -> Opened[_Work] | None:
        """An item that is free and not done; None with an outcome where there is nothing to do, without where held."""
        locks = locks_of(item, self._book)
        lock = wait_for_lock(locks, item.name, told="waiting for its features") if wait else try_lock(locks, item.name)
        if lock is None:
            return None
        with ExitStack() as stack:
            stack.callback(lock.release)
            if self._ledger.is_settled(item):
                return None
            began = time.perf_counter()
            records = () if self._book is None else (self._book.record_path(item.name),)
            remove_leftovers(item.path, journal_path(item.path), *records)
            with ExitStack() as inputs:
                try:
                    seen, sha256 = item.glance(), self._sha256(item)
                    rows = inputs.enter_context(item.open())
                except (InputError, OSError) as error:
                    if isinstance(error, OSError) and error.errno in NO_ROOM:
                        raise
                    self._ledger.fail(item, error)
                    return None
                if not rows.images.count:
                    self._ledger.settle(item, "empty", why=rows.why_empty, rows=rows)
                    return None
                self._warn_of_scale(rows)
                close = inputs.pop_all().close
            journal = self._journal(item, sha256, rows.images.count)
            stack.pop_all()
        work = _Work(item=item, rows=rows, lock=lock, journal=journal, seen=seen, sha256=sha256, began=began)
        self._works.append(work)
        return Opened(work, rows.images, journal.rows, close)

    def _warn_of_scale(self, rows: OpenItem) -> None:
        name, given = self._encoder.name, rows.mpp_um_per_px
        wanted = transform_of(self._settings).mpp_um_per_px if is_onnx_file(self._settings.name) else None
        if wanted is not None and given is not None and abs(given / wanted - 1) > MOST_SCALE:
            log.warning("%s was trained at %.3g um per px and is given images of %.3g", name, wanted, given)

    def _journal(self, item: Item, sha256: str, count: int) -> FeatureJournal:
        identity = f"{sha256} {count} rows {self._arithmetic}"
        journal = FeatureJournal(item.path, identity=identity, width=self._encoder.width)
        if journal.rows:
            log.info("%s: %d of %d rows are there from a run that was stopped", item.name, journal.rows, count)
        return journal

    def _take(self, part: Part[_Work]) -> None:
        work = part.key
        if work.failed:
            return
        try:
            if part.error is not None:
                raise part.error
            if part.rows is not None:
                work.journal.append(part.rows)
                self._progress.images(work.item.name, work.journal.rows, work.rows.images.count)
            if part.last and not self._is_replaced(work):
                self._finish(work)
        except InputError as error:
            work.failed = True
            if self._is_replaced(work):
                return
            work.journal.discard()
            self._ledger.fail(work.item, error, work.rows)
            self._let_go(work)
        if part.last:
            self._ledger.write_table()

    def _is_replaced(self, work: _Work) -> bool:
        """Whether its file is another by now: its rows, of the one or of both, are dropped, and it is encoded again."""
        name = work.item.name
        with suppress(OSError, InputError):  # gone: told when it is opened again
            if work.item.glance() == work.seen:
                return False
        work.journal.discard()
        self._begun[name] += 1
        if self._begun[name] > _AGAIN:
            error = DataError(f"its file changed {_AGAIN + 1} times while it was encoded; run again once it is whole")
            self._ledger.fail(work.item, error)
        else:
            log.warning("%s: an image was replaced while it was encoded; it is encoded again", name)
            self._replaced.append(work.item)
        self._let_go(work)
        return True

    def _finish(self, work: _Work) -> None:
        item, rows, encoder = work.item, work.rows, self._encoder
        if not work.lock.held():
            self._standing.check()  # its lock went with the folder
            work.journal.close()
            self._ledger.leave_to_holder(item)
            self._let_go(work)
            return
        now = time.perf_counter()
        seconds = now - max(work.began, self._finished)
        self._finished = now
        self._ledger.settle(item, "done", rows=rows, seconds=seconds)  # before the file, which says that all is done
        meta = FeatureMeta(
            source=item.name,
            encoder=encoder.name,
            encoder_sha256=encoder.sha256,
            encoder_licence=encoder.licence,
            patch_size_px=rows.patch_size_px,
            patch_size_level0_px=rows.patch_size_level0_px,
            mpp_um_per_px=rows.mpp_um_per_px,
            precision=encoder.precision,
            config_sha256=work.sha256,
            views=self._settings.views,
            surround=self._settings.surround,
            mpp_source=rows.slide_mpp_source,
            synthetic=self._synthetic,
        )
        shape = rows.images.count, encoder.width
        write_blocks(
            item.path,
            work.journal.blocks(),
            meta,
            shape=shape,
            dtype=np.dtype(np.float32),
            keys=rows.keys,
            coords=rows.coords,
        )
        work.journal.discard()
        self._let_go(work)
        log.info("%s: %d rows in %.1f s", item.name, shape[0], seconds)

    def _let_go(self, work: _Work) -> None:
        self._works.remove(work)
        work.lock.release()
