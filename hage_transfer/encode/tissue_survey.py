"""The slides that `hage tissue` is given, each looked at once and kept while what decides the result is the same."""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib

from hage_transfer.config import SlideSetSettings, config_sha256, load_config
from hage_transfer.errors import ConfigError, DataError, InputError
from hage_transfer.running.atomic import remove_partial, write_json
from hage_transfer.slide_names import IMAGE_ENDINGS, SLIDE_ENDINGS
from hage_transfer.slides.geojson import is_edited
from hage_transfer.slides.reader import find_slide
from hage_transfer.slides.survey import as_row, columns, survey_slide, tissue_inputs
from hage_transfer.slides.table import read_slide_table

log = logging.getLogger(__name__)

SUMMARY = "tissue.csv"
FAILURE_COLUMNS = ["item", "reason"]
_OUTLINES, _GEOJSON, _RECORDS = "outlines", "geojson", "records"
_RECIPE_ENDINGS = frozenset({".yaml", ".yml"})


@dataclass(frozen=True)
class SlideJob:
    """One slide to look at, the settings it is looked at with, and the resolution that a table gives it."""

    path: Path
    settings: SlideSetSettings
    own_mpp_um_per_px: float | None


@dataclass(frozen=True)
class Surveyed:
    """A slide's row of the summary, or None and why it failed."""

    name: str
    row: dict[str, Any] | None
    reason: str = ""


def table_columns() -> list[str]:
    """Columns of the summary."""
    return ["slide", "path", *columns()]


def slide_jobs(inputs: Sequence[Path], overrides: Sequence[str]) -> tuple[list[SlideJob], list[dict[str, str]]]:
    """What to look at, and the slides of a table that are not there.

    Args:
        inputs: one recipe of `hage mil`, or slides and folders of slides.
        overrides: `key=value` of the recipe; for slides without a recipe, of its `data`.

    Raises:
        ConfigError: the recipe is wrong, or has no slides.
        DataError: its table is wrong, a folder without slides, or two slides of one name.
    """
    failed: list[dict[str, str]] = []
    if len(inputs) == 1 and inputs[0].suffix.lower() in _RECIPE_ENDINGS:
        jobs, failed = _from_recipe(inputs[0], overrides)
    else:
        settings = _plain_settings(overrides)
        jobs = [SlideJob(path, settings, None) for one in inputs for path in _slides_of(one)]
    double = [name for name, times in Counter(job.path.stem for job in jobs).items() if times > 1]
    if double:
        both = ", ".join(str(job.path) for job in jobs if job.path.stem == double[0])
        raise DataError(f"{both}: one name, {double[0]}, for several slides; rename one of them")
    return jobs, failed


def survey_all(jobs: Sequence[SlideJob], folder: Path, *, n_jobs: int, overwrite: bool) -> Iterator[Surveyed]:
    """Looks at every slide, in order, over ``n_jobs`` processes."""
    for part in (_OUTLINES, _GEOJSON, _RECORDS):
        (folder / part).mkdir(parents=True, exist_ok=True)
    remove_partial(folder)
    calls = (joblib.delayed(_survey)(job, folder, overwrite) for job in jobs)
    yield from joblib.Parallel(n_jobs=n_jobs, return_as="generator", batch_size=1)(calls)


def _survey(job: SlideJob, folder: Path, overwrite: bool) -> Surveyed:
    name = job.path.stem
    record, geojson = folder / _RECORDS / f"{name}.json", folder / _GEOJSON / f"{name}.geojson"
    picture = folder / _OUTLINES / f"{name}.png"
    try:
        inputs = tissue_inputs(job.path, job.settings, own_mpp_um_per_px=job.own_mpp_um_per_px)
        stamp = config_sha256({**inputs, "slide": _stamp(job.path)})
        before = _read_record(record)
        edited = geojson.is_file() and is_edited(geojson)
        if not overwrite and before.get("inputs_sha256") == stamp and picture.is_file() and geojson.is_file():
            return Surveyed(name, before["row"])
        keep = edited and not overwrite
        if keep:
            log.warning(
                "%s was edited: it is kept (data.tissue.method=geojson reads it); --overwrite replaces it", geojson
            )
        survey = survey_slide(
            job.path,
            job.settings,
            own_mpp_um_per_px=job.own_mpp_um_per_px,
            picture=picture,
            geojson=None if keep else geojson,
        )
    except InputError as error:
        return Surveyed(name, None, "; ".join([str(error), *getattr(error, "__notes__", [])]))
    row = {"slide": name, "path": str(job.path), **as_row(survey)}
    write_json(record, {"inputs_sha256": stamp, "row": row})
    return Surveyed(name, row)


def _from_recipe(path: Path, overrides: Sequence[str]) -> tuple[list[SlideJob], list[dict[str, str]]]:
    from hage_transfer.mil.config import MilConfig

    data = load_config(MilConfig, path, overrides).data
    if not isinstance(data, SlideSetSettings):
        raise ConfigError(f"{path}: data.layout is {data.layout}; `hage tissue` looks at layout slides")
    jobs, failed = [], []
    for row in read_slide_table(data.labels):
        try:
            jobs.append(SlideJob(find_slide(data.root, row.name), data, row.mpp_um_per_px))
        except DataError as error:
            failed.append({"item": row.name, "reason": str(error)})
    return jobs, failed


def _plain_settings(overrides: Sequence[str]) -> SlideSetSettings:
    """Settings of slides that come without a recipe: the defaults, with overrides of `data.`."""
    strange = [override for override in overrides if not override.startswith("data.")]
    if strange:
        raise ConfigError(
            f"--set {strange[0]}: without a recipe there are keys of data alone, such as data.min_tissue=0.5"
        )
    return load_config(
        SlideSetSettings, None, ["labels=none.csv", *(override.removeprefix("data.") for override in overrides)]
    )


def _slides_of(path: Path) -> list[Path]:
    """The slides of a folder (by their endings), or the file itself, whatever its ending."""
    if not path.is_dir() or path.suffix.lower() in SLIDE_ENDINGS:
        return [path]
    found = sorted(one for one in path.iterdir() if one.suffix.lower() in SLIDE_ENDINGS | IMAGE_ENDINGS)
    if not found:
        raise DataError(f"{path}: a folder without a slide ({', '.join(sorted(SLIDE_ENDINGS))})")
    return found


def _stamp(path: Path) -> list[int]:
    """Size and time of change: enough to notice another file; 0 where there is none, which opening it will tell."""
    if not path.is_file():
        return [0, 0]
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and isinstance(record.get("row"), dict) else {}
