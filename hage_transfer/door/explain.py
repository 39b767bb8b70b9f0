"""`explain`: why slides were called."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hage_transfer.apply.scores import as_run
from hage_transfer.door.given import PathLike
from hage_transfer.door.refused import refuse_absent, refuse_device
from hage_transfer.encode.sources import find_encoder_directories
from hage_transfer.errors import ConfigError
from hage_transfer.explain.open_run import open_mil_run
from hage_transfer.running.progress import Progress, shown
from hage_transfer.running.run_directory import HEATMAPS_FOLDER

if TYPE_CHECKING:
    from hage_transfer.explain.explained import Explained


def explain(
    run: PathLike,
    *,
    source: str | Sequence[str] = (),
    slides: Sequence[str] = (),
    out: PathLike | None = None,
    genes: bool = True,
    encoders: PathLike | Sequence[PathLike] = (),
    top: int = 8,
    deciding: float = 0.1,
    slide_folder: PathLike | None = None,
    model: Callable[..., Any] | None = None,
    device: str = "auto",
    jobs: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> "Explained":
    """Explains slides by the models of the fold that tested them: attention, the tiles that decided, and their genes.

    Writes a folder a source and slide: the map, GeoJSON for QuPath, tiles and genes as csv and AnnData, a sheet of the
    tiles of highest and lowest attention; and tables over slides. What an earlier call made of the same inputs is kept.

    Args:
        run: of `mil`, or an application of its classifier to new slides.
        source: feature sources to explain; none: every one.
        slides: names; none: every tested one.
        out: folder to write to; None: ``heatmaps`` in the run.
        genes: predict expression and compare deciding tiles with the rest.
        encoders: whose genes are read: a run of `pretrain`, encoder directories or a glob; none: the source's own, for
            `frozen` those of the run's gene-informed source.
        top: tiles of highest (and of lowest) attention on the sheet.
        deciding: share of a slide's tiles, by attention, that count as deciding.
        slide_folder: of the slides' images, where the run was made of feature files or the slides have moved.
        model: the class of a bag classifier of your own, where ``run`` is not what ``mil`` gave back of it.
        device: cpu, cuda, cuda:1, mps, or auto.
        jobs: slides at a time.
        overwrite: make anew what is there already.
        progress: called with (done, total, name) as each slide ends.

    Raises:
        InputError: no run of `mil`, an unknown source or slide, encoders that do not fit; nothing is written.
        ItemsFailedError: some slides failed; they are in ``failures.csv``, ``done`` of the error has the rest.
    """
    patterns = [encoders] if isinstance(encoders, str | os.PathLike) else encoders
    if not 0 < deciding < 1:
        raise ConfigError(f"deciding={deciding:g}: a share between 0 and 1, for example 0.1")
    if patterns and not genes:
        raise ConfigError("encoders= says whose genes are read, and genes=False reads none; give one of them")
    refuse_device(device)
    refuse_absent("a run of `mil`", run)
    refuse_absent("slides", slide_folder)
    if patterns:
        find_encoder_directories([os.fspath(one) for one in patterns])
    place, there = as_run(Path(run))
    open_mil_run(place)
    with shown("heatmap", progress) as tell:
        from hage_transfer.explain.run import run_heatmap  # torch: what is wrong so far was refused without it
        from hage_transfer.explain.task import HeatmapOptions
        from hage_transfer.running.devices import resolve_device

        options = HeatmapOptions(
            sources=(source,) if isinstance(source, str) else tuple(source),
            slides=tuple(slides),
            top=top,
            share=deciding,
            genes=genes,
            encoders=tuple(os.fspath(one) for one in patterns),
            slide_folder=there if slide_folder is None else Path(slide_folder),
            own=model or getattr(run, "model", None),
        )
        folder = place / HEATMAPS_FOLDER if out is None else Path(out)
        return run_heatmap(
            place,
            options,
            out=folder,
            device=resolve_device(device),
            jobs=jobs,
            overwrite=overwrite,
            progress=tell,
        )
