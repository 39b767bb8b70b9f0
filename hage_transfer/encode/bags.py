"""`hage encode slides`: slides or images as bags, by one worker or several, with a status of every one."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import cloudpickle

from hage_transfer.config import PatchSetSettings, SlideSetSettings
from hage_transfer.csv_table import csv_table
from hage_transfer.data.feature_journal import journal_path
from hage_transfer.data.labels import LABEL_COLUMNS, LABELS_FILE, read_labels
from hage_transfer.data.patches import read_patch_set
from hage_transfer.encode.item import Item
from hage_transfer.encode.items import encode_items
from hage_transfer.encode.layouts import ToolLayout
from hage_transfer.encode.sections_and_patches import (
    image_bag_items,
    refuse_manifest_at,
    write_labels,
)
from hage_transfer.encode.slide_items import GEOJSON, slide_items
from hage_transfer.encode.status import Outcome, StatusBook, remove_leftovers
from hage_transfer.encoders.base import FrozenEncoder
from hage_transfer.encoders.registry import find_weights
from hage_transfer.errors import ConfigError, DataError, HageError, InputError, reason
from hage_transfer.mil.config import MilConfig
from hage_transfer.running.devices import available_devices, resolve_device
from hage_transfer.running.failures import end_items
from hage_transfer.running.job import Engine, Job
from hage_transfer.running.jobs import run_jobs
from hage_transfer.running.locks import leave, try_lock
from hage_transfer.running.progress import Progress, Shown, shown, stage
from hage_transfer.running.shards import Shard
from hage_transfer.running.ticks import tick

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Workers:
    """Who encodes.

    Attributes:
        shard: ``i/n``: this command's part of the slides; None: all.
        jobs: workers that this command starts.
        engine: where they run.
        address: of a Ray cluster.
    """

    shard: str | None = None
    jobs: int = 1
    engine: Engine = "processes"
    address: str | None = None

    @property
    def is_here(self) -> bool:
        """Whether this process does the work itself."""
        return self.engine == "processes" and self.jobs == 1


def encode_bags(
    config: MilConfig,
    *,
    device: str,
    overwrite: bool,
    workers: Workers | None = None,
    waits: bool = False,
    labels_needed: bool = True,
    layout: ToolLayout | None = None,
    own: FrozenEncoder | None = None,
    check: Callable[[], object] | None = None,
    progress: Progress | None = None,
) -> None:
    """Writes ``features/<slide>.h5``, ``status.csv`` and ``labels.csv`` (slide, label, group) to ``config.features``.

    Args:
        config: of `hage mil`.
        device: see ``resolve_device``.
        overwrite: make all anew.
        workers: None: this process.
        waits: for what other workers have begun, as whoever needs all slides does.
        labels_needed: False: a slide table without labels will do, and no ``labels.csv`` is written.
        layout: another tool's form, to be written as well.
        own: an encoder of the caller's, in place of the config's.
        check: looks at ``labels.csv`` before anything is encoded; what it raises goes on up.
        progress: told of each slide that ends; a caller's own, of none where other workers do the work.

    Raises:
        ConfigError: the bags are feature files already, or single patches; a layout that such tiles do not have.
        InputError: the table, the encoder or a feature file that is there already is not right.
        ItemsFailedError: some slides failed; they are in ``failures.csv``, the rest are done.
    """
    workers = workers or Workers()
    if layout is not None:
        layout.grid(config.data)  # before hours of encoding
    if workers.engine == "processes":
        resolve_device(device)  # before minutes of reading; a cluster's workers look for themselves
    if own is None:
        find_weights(config.encoder)
    elif not workers.is_here:
        _check_can_be_sent(own)
    items, mine = _items(config, workers.shard)
    book = _book(config, items)
    _write_table(config, items, book, labels_needed=labels_needed)
    if check is not None:
        check()
    if overwrite:
        _remove(config, mine, book)
    if workers.is_here:
        _encode(config, mine, device=device, book=book, own=own, waits=waits, progress=progress)
    else:
        _spread(config, device=device, workers=workers, encoder=own, total=len(mine), progress=progress)
    outcomes = book.write()
    names = {item.name for item in mine}
    ended = [one for one in outcomes if one.slide in names]
    if layout is not None and isinstance(config.data, SlideSetSettings):
        done = {one.slide for one in ended if one.status == "done"}
        files = [item.path for item in mine if item.name in done]
        layout.write(config.data, files, config.features, book=book, overwrite=overwrite)
    _report(config.features, ended)


def work(config: MilConfig, device: str, shard: str | None, own: FrozenEncoder | None = None) -> None:
    """One worker, wherever an engine runs it: it loads the encoder once and takes slides while there are free ones."""
    items, mine = _items(config, shard)
    told = Shown("encode", lambda done, total, name, left: tick(done / total if total else 0))
    _encode(config, mine, device=device, book=_book(config, items), own=own, progress=told)


def _check_can_be_sent(encoder: FrozenEncoder) -> None:
    """Refuses an object that no other process of ours can be given."""
    try:
        cloudpickle.dumps(encoder)
    except Exception as error:
        raise ConfigError(
            f"encoder {encoder.name}: cannot be given to other processes ({type(error).__name__}: {error}); give "
            "jobs=1, engine=processes, or make it of parts that can"
        ) from error


def _book(config: MilConfig, items: list[Item]) -> StatusBook:
    return StatusBook(config.features, tuple((item.name, item.path) for item in items))


def _encode(
    config: MilConfig,
    items: list[Item],
    *,
    device: str,
    book: StatusBook,
    own: FrozenEncoder | None = None,
    waits: bool = False,
    progress: Progress | None = None,
) -> None:
    with shown("encode", progress) as tell:
        encode_items(
            items,
            config.encoder,
            device=device,
            overwrite=False,
            root=config.data.root,
            own=own,
            book=book,
            waits=waits,
            progress=tell,
        )


def _spread(
    config: MilConfig,
    *,
    device: str,
    workers: Workers,
    encoder: FrozenEncoder | None,
    total: int,
    progress: Progress | None,
) -> None:
    """Workers that share the list of ``total`` items by its locks, each a job that is done only when all is."""
    stage(progress, f"{workers.jobs} workers")
    shares: dict[str, float] = {}

    def told(worker: str, share: float) -> None:
        shares[worker] = share  # of the list, what others did of it too: whoever is farthest has seen most
        if isinstance(progress, Shown):
            progress.within(max(shares.values()) * total, total, f"{workers.jobs} workers")

    never = config.features / "locks"
    gpus = int((resolve_device(device) if device == "auto" else device).startswith("cuda"))
    jobs = [
        Job(f"worker {number}", never / f"worker {number}.done", work, (config, own, workers.shard, encoder), gpus)
        for number, own in enumerate(_devices(device, workers), start=1)
    ]
    ran = run_jobs(jobs, n_jobs=workers.jobs, engine=workers.engine, address=workers.address, told=told)
    failed = [f"{one.name}: {reason(one.error)}" for one in ran if one.error is not None]
    if len(failed) == len(jobs):
        raise InputError(failed[0])
    for worker in failed:
        log.error("%s; the others did its part", worker)


def _devices(device: str, workers: Workers) -> list[str]:
    """Each worker's device: this machine's GPUs in turn; Ray gives each worker one, which it sees as the only one."""
    if device not in ("auto", "cuda") or workers.engine == "ray":
        return [device] * workers.jobs
    here = [name for name in available_devices() if name.startswith("cuda")] or [resolve_device(device)]
    return [here[number % len(here)] for number in range(workers.jobs)]


def _items(config: MilConfig, shard: str | None) -> tuple[list[Item], list[Item]]:
    """All items, and those of this command."""
    if isinstance(config.data, SlideSetSettings):
        return slide_items(config.data, config.features, shard=shard)
    if not isinstance(config.data, PatchSetSettings):
        raise ConfigError("data.layout features: these bags are encoded already; run `mil`")
    if config.data.layout == "pcam":
        raise ConfigError("data.layout pcam: single patches make no bags; use `probe`")

    items = image_bag_items(read_patch_set(config.data, labels_needed=config.target.kind == "classes"), config.features)
    return items, items if shard is None else Shard.parse(shard).part(items)


def _write_table(config: MilConfig, items: list[Item], book: StatusBook, *, labels_needed: bool) -> None:
    """``labels.csv`` under the names of the feature files; a user's own slide table of this place and name stays."""
    target = config.features / LABELS_FILE
    labels: Iterable[str]
    groups: Iterable[str] | None
    if isinstance(config.data, SlideSetSettings):
        if not labels_needed and not has_labels(config.data.labels):
            log.info(
                "%s has no column label: the slides are encoded, and no %s is written", config.data.labels, LABELS_FILE
            )
            return
        table = read_labels(config.data.labels)
        if target.exists() and target.samefile(config.data.labels):
            return
        labels, groups = table.labels, table.groups
    else:
        refuse_manifest_at(target, config.data)
        patches = read_patch_set(config.data, labels_needed=labels_needed)  # type: ignore[arg-type]
        first = [source.rows.start for source in patches.sources]
        labels, groups = patches.labels[first], None if patches.groups is None else patches.groups[first]
    with book.table_lock(LABELS_FILE):  # other workers write it too
        remove_leftovers(target)
        write_labels(config.features, "slide", [item.name for item in items], labels, groups)
    leave(book.locks)


def has_labels(path: Path) -> bool:
    """Whether a slide table has a column of labels; errors as ``csv_table``."""
    with csv_table(path, absent="no such slide table") as table:
        return any(name in table.columns for name in LABEL_COLUMNS)


def _remove(config: MilConfig, items: list[Item], book: StatusBook) -> None:
    """What an earlier run left of these items, hand-drawn tissue excepted; not what another worker makes just now."""
    drawn = isinstance(config.data, SlideSetSettings) and config.data.tissue.method == "geojson"
    for item in items:
        lock = try_lock(book.locks, item.name)
        if lock is None:
            continue
        with lock:
            geojson = () if drawn else (config.features / GEOJSON / f"{item.name}.geojson",)
            for path in (item.path, journal_path(item.path), book.record_path(item.name), *geojson):
                path.unlink(missing_ok=True)
    leave(book.locks)


def _report(folder: Path, outcomes: list[Outcome]) -> None:
    failed = [one for one in outcomes if one.failed]
    elsewhere = [one for one in outcomes if one.status == "running elsewhere"]
    if elsewhere:
        log.warning(
            "%d slides are at work elsewhere (first: %s, %s)", len(elsewhere), elsewhere[0].slide, elsewhere[0].reason
        )
    failures: dict[str, HageError] = {one.slide: DataError(one.reason) for one in failed}
    end_items(failures, total=len(outcomes), what="slides", folder=folder, written=True)
    log.info("features of %d slides in %s", sum(one.status == "done" for one in outcomes), folder)
