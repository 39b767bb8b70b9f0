"""Tissue, outlines and tile counts of slides, each looked at once and kept while what decides them is the same."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hage_transfer.bounded import read_json
from hage_transfer.config import Changes, Settings, SlideSetSettings, config_sha256, make_config, read_yaml
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.mil.config import MilConfig
from hage_transfer.running.atomic import remove_partial, write_csv, write_json
from hage_transfer.running.items import Items
from hage_transfer.running.job import Job
from hage_transfer.running.progress import Progress
from hage_transfer.slide_names import slide_name
from hage_transfer.slides.find import NamedSlide, refuse_one_slide_twice, slide_stamp, slides_in
from hage_transfer.slides.geojson import is_edited
from hage_transfer.slides.survey import COLUMNS, survey_slide, tissue_inputs
from hage_transfer.slides.table import find_listed

log = logging.getLogger(__name__)

SUMMARY = "tissue.csv"
_OUTLINES, _GEOJSON, _RECORDS = "outlines", "geojson", "records"
_RECIPE_ENDINGS = frozenset({".yaml", ".yml"})


@dataclass(frozen=True)
class SlideJob:
    """One slide to look at, the settings it is looked at with, and the resolution that a table gives it."""

    slide: NamedSlide
    settings: SlideSetSettings
    own_mpp_um_per_px: float | None


def survey_slides(
    inputs: Sequence[Path],
    *,
    out: Path,
    changes: Changes = (),
    mpp_um_per_px: float | None = None,
    n_jobs: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Looks at every slide; writes outlines, GeoJSON files and ``tissue.csv`` into ``out``.

    Args:
        inputs: one recipe of `hage mil`, or slides and folders of slides.
        out: folder to write to.
        changes: of the recipe; for slides without a recipe, of its `data`.
        mpp_um_per_px: level-0 resolution of slides that record none.
        n_jobs: slides at a time.
        overwrite: replace what is there, edited files too.
        progress: told of each slide that ends.

    Returns:
        The rows of ``tissue.csv``, in the order of the slides.

    Raises:
        InputError: as ``slide_jobs``; no slide can be read.
        ItemsFailedError: some slides failed; they are in ``failures.csv``.
    """
    own = {} if mpp_um_per_px is None else {"data.slide_mpp_um_per_px": mpp_um_per_px}
    found, absent = slide_jobs(inputs, changes, own)
    for part in (_OUTLINES, _GEOJSON, _RECORDS):
        (out / part).mkdir(parents=True, exist_ok=True)
    remove_partial(out)
    items = Items(out, what="slides", total=len(found) + len(absent), progress=progress)
    for name, error in absent.items():
        items.fail(name, error)
    jobs = [Job(job.slide.name, None, _survey, (job, out, overwrite)) for job in found]
    rows = list(items.run(jobs, n_jobs=n_jobs).values())
    write_csv(out / SUMMARY, ["slide", "path", *COLUMNS], rows)
    table = pd.DataFrame(rows)
    items.finish(table)
    return table


def slide_jobs(inputs: Sequence[Path], *changes: Changes) -> tuple[list[SlideJob], dict[str, DataError]]:
    """What to look at, and the slides of a table that are not there.

    Args:
        inputs: one recipe of `hage mil`, or slides and folders of slides.
        changes: of the recipe; for slides without a recipe, of its `data`.

    Raises:
        ConfigError: the recipe is wrong, or has no slides.
        DataError: its table is wrong, a folder without slides, or two slides of one name.
    """
    failed: dict[str, DataError] = {}
    if len(inputs) == 1 and inputs[0].suffix.lower() in _RECIPE_ENDINGS:
        jobs, failed = _from_recipe(inputs[0], changes)
    else:
        settings = _plain_settings(changes)
        jobs = [SlideJob(slide, settings, None) for one in inputs for slide in _slides_of(one)]
    double = [name for name, times in Counter(job.slide.name for job in jobs).items() if times > 1]
    if double:
        both = ", ".join(str(job.slide.path) for job in jobs if job.slide.name == double[0])
        raise DataError(f"{both}: one name, {double[0]}, for several slides; rename one of them")
    refuse_one_slide_twice([(job.slide.name, job.slide.path) for job in jobs])
    return jobs, failed


def _survey(job: SlideJob, folder: Path, overwrite: bool) -> dict[str, Any]:
    """A slide's row of the summary, with its files made where they are not those of these inputs."""
    name, path = job.slide.name, job.slide.path
    record, geojson = folder / _RECORDS / f"{name}.json", folder / _GEOJSON / f"{name}.geojson"
    picture = folder / _OUTLINES / f"{name}.png"
    inputs = tissue_inputs(name, job.settings, own_mpp_um_per_px=job.own_mpp_um_per_px)
    stamp = config_sha256({**inputs, "slide": slide_stamp(path)})
    before = _read_record(record)
    edited = geojson.is_file() and is_edited(geojson)
    if not overwrite and before.get("inputs_sha256") == stamp and picture.is_file() and geojson.is_file():
        return dict(before["row"])
    keep = edited and not overwrite
    if keep:
        log.warning(
            "%s was edited: it is kept (data.tissue.method=geojson reads it); overwrite=True replaces it", geojson
        )
    survey = survey_slide(
        path,
        job.settings,
        name=name,
        own_mpp_um_per_px=job.own_mpp_um_per_px,
        picture=picture,
        geojson=None if keep else geojson,
    )
    row = {"slide": name, "path": str(path), **survey}
    write_json(record, {"inputs_sha256": stamp, "row": row})
    return row


def _from_recipe(path: Path, changes: Sequence[Changes]) -> tuple[list[SlideJob], dict[str, DataError]]:
    data = make_config(MilConfig, read_yaml(path), *changes, where=str(path)).data
    if not isinstance(data, SlideSetSettings):
        raise ConfigError(f"{path}: data.layout is {data.layout}; `tissue` looks at layout slides")
    jobs, failed = [], {}
    for row, found in find_listed(data.root, data.labels):
        if isinstance(found, DataError):
            failed[row.name] = found
        else:
            jobs.append(SlideJob(NamedSlide(found, slide_name(row.name)), data, row.mpp_um_per_px))
    return jobs, failed


class _Plain(Settings):
    """What may be said of slides that come without a recipe."""

    data: SlideSetSettings


def _plain_settings(changes: Sequence[Changes]) -> SlideSetSettings:
    """The defaults, with changes of `data`."""
    where = "slides without a recipe, which have keys of data alone"
    return make_config(_Plain, {"data": {"labels": "none.csv"}}, *changes, where=where).data


def _slides_of(path: Path) -> list[NamedSlide]:
    """The slides of a folder, or the file itself, whatever its ending."""
    return slides_in(path) if path.is_dir() else [NamedSlide(path, path.stem)]


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = read_json(path)
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and isinstance(record.get("row"), dict) else {}
