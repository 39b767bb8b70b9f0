"""Feature files of sections, slides, patch sets: which are left to make, and by which encoder."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from hage_transfer.config import EncoderSettings, config_sha256
from hage_transfer.data.feature_file import read_meta
from hage_transfer.data.feature_journal import journal_path
from hage_transfer.data.synthetic import is_synthetic
from hage_transfer.encode.image_progress import ImageProgress
from hage_transfer.encode.item import Item
from hage_transfer.encode.ledger import locks_of
from hage_transfer.encode.status import Outcome, StatusBook
from hage_transfer.encode.worker import Worker
from hage_transfer.encoders.around import AveragedViews, CentreAndSurround
from hage_transfer.encoders.base import FrozenEncoder
from hage_transfer.encoders.onnx_file import transform_of
from hage_transfer.encoders.own import OwnEncoder
from hage_transfer.encoders.registry import find_weights, load_encoder, runtime_of
from hage_transfer.encoders.specs import is_onnx_file
from hage_transfer.errors import ConfigError, DataError, InputError, some
from hage_transfer.running.devices import resolve_device
from hage_transfer.running.locks import leave, locked, try_lock
from hage_transfer.running.memory import give_back_memory
from hage_transfer.running.progress import Progress

log = logging.getLogger(__name__)


def encode_items(
    items: Sequence[Item],
    settings: EncoderSettings,
    *,
    device: str,
    overwrite: bool,
    root: Path,
    own: FrozenEncoder | None = None,
    book: StatusBook | None = None,
    waits: bool = False,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Makes the feature files that are not there yet; several workers may be given the same items at once.

    A file that is there and was made of the same inputs by the same encoder is kept, and the log says so. A killed
    run's unfinished files are gone on with at the batch where it was.

    Args:
        items: what to encode.
        settings: the frozen encoder; it is loaded only where something is left to do.
        device: see ``resolve_device``.
        overwrite: remove what is there first.
        root: folder of the data set, whose mark says whether it is synthetic.
        own: an encoder of the caller's, in place of the one that ``settings`` name.
        book: keeps what becomes of each item, and goes on where one fails; None: the first failure is raised.
        waits: for what another worker has begun, as whoever needs all of them does; without a book always.
        progress: told of each item that ends, of each batch of images too.

    Returns:
        What became of each item as far as this worker knows.

    Raises:
        ConfigError: a file is there that was made of other inputs.
        WeightsError: the encoder cannot be had.
        InputError: an item cannot be read (without a book).
    """
    weights_sha256 = find_weights(settings).sha256 if own is None else own.sha256

    def sha256(item: Item) -> str:
        try:
            return item_sha256(item, settings, weights_sha256)
        except OSError as error:
            raise DataError(f"{error.filename or item.name}: cannot be read ({error.strerror or error})") from None

    if overwrite:
        for item in items:
            item.path.unlink(missing_ok=True)
            journal_path(item.path).unlink(missing_ok=True)
    _refuse_stale([item for item in items if item.path.is_file()], sha256, keep_going=book is not None)
    left = [item for item in items if not item.path.is_file()]
    if len(left) < len(items):
        log.info("%d of %d feature files are there already and are kept", len(items) - len(left), len(items))
    told = ImageProgress(progress, total=len(items), kept=len(items) - len(left))
    _clear(items, book)
    if not left:
        return [Outcome(slide=item.name, status="done") for item in items]
    device = resolve_device(device)
    encoder = open_encoder(settings, device=device, own=own)
    give_back_memory()  # of the file of weights, and of the network before they were in it
    log.info("encoder %s (licence %s): features may be used on the terms of its licence", encoder.name, encoder.licence)
    worker = Worker(
        left,
        encoder,
        settings,
        sha256=sha256,
        arithmetic=f"{device.partition(':')[0]} {runtime_of(settings, device=device) if own is None else 'own'}",
        synthetic=is_synthetic(root),
        progress=told,
        book=book,
        waits=waits,
    )
    done = {outcome.slide: outcome for outcome in worker.run()}
    _clear(items, book)
    return [done.get(item.name, Outcome(slide=item.name, status="done")) for item in items]


def _clear(items: Sequence[Item], book: StatusBook | None) -> None:
    """Removes what a worker left that was killed between its last write and its end: the lock, the journal."""
    folders = {locks_of(item, book) for item in items}
    with_lock = {folder: locked(folder, [item.name for item in items]) for folder in folders}
    for item in items:
        folder, journal = locks_of(item, book), journal_path(item.path)
        if item.path.is_file() and (item.name in with_lock[folder] or journal.exists()):
            lock = try_lock(folder, item.name)
            if lock is not None:  # else its holder lives, and does it
                with lock:
                    journal.unlink(missing_ok=True)
    for folder in folders:
        leave(folder)


def open_encoder(settings: EncoderSettings, *, device: str, own: FrozenEncoder | None = None) -> FrozenEncoder:
    """The encoder (or ``own``) with the views and surround that a config asks for; errors as ``load_encoder``."""
    encoder = load_encoder(settings, device=device) if own is None else own
    if isinstance(encoder, OwnEncoder):
        encoder.on(device)
    if settings.surround:
        encoder = CentreAndSurround(encoder)
    if settings.views > 1:
        encoder = AveragedViews(encoder)
    return encoder


def item_sha256(item: Item, settings: EncoderSettings, weights_sha256: str) -> str:
    """Hash of all that decides the rows of an item: a file that states it is kept."""
    encoder = {"encoder": settings.name, "weights": weights_sha256, "precision": settings.precision}
    if is_onnx_file(settings.name):  # wherever it lies
        encoder |= {"encoder": Path(settings.name).name, "transform": transform_of(settings).model_dump_json()}
    if settings.views > 1:
        encoder["views"] = str(settings.views)
    if settings.surround:
        encoder["surround"] = "yes"
    return config_sha256({**encoder, **item.inputs()})


def _refuse_stale(items: Sequence[Item], sha256: Callable[[Item], str], *, keep_going: bool) -> None:
    stale = []
    for item in items:
        try:
            if read_meta(item.path).config_sha256 != sha256(item):
                stale.append(item)
        except InputError as error:
            if not keep_going:
                raise
            log.warning("%s is kept, though it cannot be compared with its source: %s", item.path, error)
    if stale:
        raise ConfigError(
            f"{some([item.path for item in stale], 3)}: made by another encoder, at another precision, "
            "patch size or resolution, with other views or surround, or of another image; "
            "pass overwrite=True to encode anew, or set features=..."
        )
