"""The work of `hage heatmap`: which slides and models there are, each slide's folder, and tables over slides."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from hage_transfer.errors import ConfigError, DataError, HageError, nearest
from hage_transfer.explain.explained import Explained, ExplainedSlide
from hage_transfer.explain.images import SlideImage, slide_images
from hage_transfer.explain.open_run import open_mil_run
from hage_transfer.explain.over_slides import write_over_slides
from hage_transfer.explain.slide import explain_slide
from hage_transfer.explain.sources import SourceBags, explained_sources
from hage_transfer.explain.task import HeatmapOptions, SlideTask
from hage_transfer.mil.heatmap import HeldOutSlide, read_held_out
from hage_transfer.mil.own_class import check_own
from hage_transfer.running.items import Items
from hage_transfer.running.job import Job
from hage_transfer.running.locks import Lock, try_lock
from hage_transfer.running.progress import Progress

log = logging.getLogger(__name__)


def run_heatmap(
    run: Path,
    options: HeatmapOptions,
    *,
    out: Path,
    device: str,
    jobs: int,
    overwrite: bool,
    progress: Progress | None = None,
) -> Explained:
    """Explains slides; what an earlier run made of the same inputs is kept.

    Raises:
        InputError: no MIL run, an unknown source or slide, encoders that do not fit; found before anything is written.
        ItemsFailedError: some slides failed; they are in ``failures.csv`` and the rest are done.
    """
    config = open_mil_run(run)
    check_own(config.model.kind, options.own)
    column = getattr(config.target, "column", "")
    names = _chosen(options.sources, tuple(config.sources), "source", run)
    tested = {name: read_held_out(run, name) for name in names}
    slides = list(dict.fromkeys(slide for found in tested.values() for slide in found))
    _chosen(options.slides, tuple(slides), "slide", run)
    images = slide_images(config.data, options.slide_folder, slides)
    if all(image is None for image in images.values()):
        log.warning("the run was made of feature files: tables only; slide_folder=FOLDER adds maps, GeoJSON and tiles")
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out}: is a file; out= names a folder")
    wanted = {name: [slide for slide in (options.slides or tested[name]) if slide in tested[name]] for name in names}
    items = Items(out, what="slides", total=sum(map(len, wanted.values())), progress=progress)
    sources = explained_sources(
        run, config, names, slides=slides, genes=options.genes, patterns=options.encoders, device=device
    )
    first = next(sources)  # finds what is wrong with encoders before anything is written
    explained: dict[tuple[str, str], ExplainedSlide] = {}
    genes: dict[str, list[dict[str, Any]]] = {}
    with _only_writer(out):
        for source in chain([first], sources):
            tasks = _tasks(run, source, tested[source.name], images, options, out=out, column=column)
            _explain([tasks[slide] for slide in wanted[source.name]], items, jobs=jobs, overwrite=overwrite)
            done = _current(tasks, items.failures)
            if done:
                genes[source.name] = write_over_slides(out / source.name, done, source.groups)
            for slide in wanted[source.name]:
                if slide in done:
                    explained[source.name, slide] = ExplainedSlide(source.name, slide, done[slide].out)
        found = Explained(out, explained, genes)
        items.finish(found)
    return found


def _only_writer(out: Path) -> Lock:
    lock = try_lock(out, "heatmap")
    if lock is None:
        raise ConfigError(f"{out}: another `explain` writes there now; wait for it, or give another out=")
    return lock


def _chosen(wanted: Sequence[str], there: Sequence[str], what: str, run: Path) -> tuple[str, ...]:
    for name in wanted:
        if name not in there:
            near = ", ".join(nearest(name, there, 3))
            raise DataError(f"{what}={name}: {run} has no such {what}; nearest: {near}")
    return tuple(dict.fromkeys(wanted)) or tuple(there)


def _tasks(
    run: Path,
    source: SourceBags,
    tested: Mapping[str, HeldOutSlide],
    images: Mapping[str, SlideImage | None],
    options: HeatmapOptions,
    *,
    out: Path,
    column: str,
) -> dict[str, SlideTask]:
    place = {slide: number for number, slide in enumerate(source.bags[0].slides)}
    missing = [slide for slide in tested if slide not in place]
    if missing:
        raise DataError(f"{run}: slide {missing[0]} was tested and is not among the labels now; run `mil` again")
    return {
        slide: SlideTask(
            run=run,
            source=replace(source, bags=tuple(replace(bags) for bags in source.bags)),
            slide=one,
            bag=place[slide],
            image=images[slide],
            options=options,
            out=out / source.name / slide,
            column=column,
        )
        for slide, one in tested.items()
    }


def _explain(tasks: Sequence[SlideTask], items: Items, *, jobs: int, overwrite: bool) -> None:
    """Explains what is left."""
    left = []
    for task in tasks:
        try:
            if not overwrite and task.is_current():
                items.keep(task.name)
                continue
        except HageError as error:
            items.fail(task.name, error)
            continue
        task.record.unlink(missing_ok=True)
        left.append(Job(task.name, task.record, explain_slide, (task,)))
    if len(left) < len(tasks):
        log.info("%d of %d slides are kept", len(tasks) - len(left), len(tasks))
    items.run(left, n_jobs=jobs)


def _current(tasks: Mapping[str, SlideTask], failed: Mapping[str, HageError]) -> dict[str, SlideTask]:
    """Every slide whose files are of the present inputs, those of earlier calls among them."""
    found = {}
    for slide, task in tasks.items():
        if task.name in failed or not task.record.is_file():
            continue
        try:
            current = task.is_current()
        except HageError as error:
            log.warning("%s is left out of the tables over slides: %s", slide, error)
            continue
        if current:
            found[slide] = task
    return found
