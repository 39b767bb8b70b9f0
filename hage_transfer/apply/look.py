"""A look at what is given before it is scored: every unit opened once, nothing encoded; `health.csv`, `health.html`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hage_transfer.apply.checks import check_features
from hage_transfer.apply.classifier import Classifier
from hage_transfer.apply.health import (
    DISTANCES,
    FINDINGS_FILE,
    HEALTH_FILE,
    HEALTH_PAGE,
    Health,
    differs,
    found_differences,
    sentences,
)
from hage_transfer.apply.health_page import health_page
from hage_transfer.apply.inputs import How, check_reading, find_pictures, given_files
from hage_transfer.apply.looked import COLUMNS, Look, level0_um_per_px, look_at, row_of
from hage_transfer.apply.stain import Pixels, spread_rows
from hage_transfer.bounded import read_json
from hage_transfer.config import config_sha256
from hage_transfer.data.feature_layouts import Given, open_features
from hage_transfer.errors import DataError, HageError
from hage_transfer.report.html import render_html
from hage_transfer.running.atomic import atomic_path, write_json, write_text
from hage_transfer.running.file_stamp import written
from hage_transfer.running.items import Items
from hage_transfer.running.jobs import Job
from hage_transfer.running.progress import Progress
from hage_transfer.running.run_directory import RunDirectory
from hage_transfer.slides.find import slide_stamp

LOOKS = "looks"
"""Folder with a file a unit."""
MOST_PATCHES = 500
"""Images of patches that are looked at, spread over all."""


@dataclass(frozen=True)
class _Unit:
    """What is looked at: a picture, or a feature file."""

    classifier: Classifier
    name: str
    what: Pixels | Path
    given: Given
    done: Path


def look_before(
    classifier: Classifier, place: Path, *, out: RunDirectory, how: How, progress: Progress | None = None
) -> Health:
    """Looks at what is given beside the training cohort; what an earlier, interrupted call looked at is kept.

    Raises:
        InputError: nothing that the classifier takes, or nothing that can be read.
        ItemsFailedError: some slides failed; ``done`` of the error has what was found of the rest.
    """
    units, failures = _units(classifier, place, out.path, how)
    what = "slides" if classifier.task == "mil" else "images"
    items = Items(out.path, what=what, total=len(units) + len(failures), progress=progress)
    for name, error in failures.items():
        items.fail(name, error)
    jobs = [Job(unit.name, unit.done, _look, (unit,)) for unit in units]
    items.run(jobs, n_jobs=how.workers.jobs, engine=how.workers.engine, address=how.workers.address)
    rows = [_record(job.made) for job in jobs if job.is_done]
    if not rows:
        items.finish()
    names = [job.name for job in jobs if job.is_done]
    key = "slide" if classifier.task == "mil" else "key"
    table = pd.DataFrame(rows, columns=["no_tiles", *COLUMNS, *DISTANCES])
    numbers = [name for name in table.columns if name not in ("no_tiles", "scanner")]
    table[numbers] = table[numbers].astype(float)
    findings, not_known = found_differences(classifier, table)
    table = pd.concat([pd.Series(names, name=key), table], axis=1)
    table.insert(1, "differs", differs(findings, len(table)))
    said = {"findings": sentences(findings, table, classifier.training), "not_known": not_known}
    with atomic_path(out.path / HEALTH_FILE) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    write_json(out.path / FINDINGS_FILE, {"schema_version": 1, "classifier_sha256": classifier.sha256, **said})
    health = Health.read(out.path)
    write_text(out.path / HEALTH_PAGE, render_html(health_page(health, classifier)))
    items.finish(health)
    return health


def _units(classifier: Classifier, place: Path, out: Path, how: How) -> tuple[list[_Unit], Mapping[str, HageError]]:
    files: Mapping[str, Path | Pixels] = given_files(classifier, place)
    failures: Mapping[str, HageError] = {}
    if files and classifier.task == "probe":
        raise DataError(
            f"{place}: are features of patches: a look compares pictures (stain, um per px), which they do not have; "
            "give the images, or apply the classifier: tile_distance in scores.csv says how far each is from training's"
        )
    if not files:
        check_reading(classifier, place)
        found = find_pictures(classifier, place, out, how)
        files, failures = found.pixels, found.failures
    names = list(files)
    if classifier.task == "probe":
        names = [names[row] for row in spread_rows(len(names), MOST_PATCHES)]
    done = [_done(out, classifier, name, files[name], how) for name in names]
    units = [_Unit(classifier, name, files[name], how.given, path) for name, path in zip(names, done, strict=True)]
    return units, failures


def _done(out: Path, classifier: Classifier, name: str, what: Pixels | Path, how: How) -> Path:
    """The file of a unit's look, named by all that decides what is in it."""
    made_of: dict[str, Any] = {"classifier": classifier.sha256, "name": name, "given": how.given.said()}
    if isinstance(what, Path):
        made_of["features"] = written(what)
    else:
        exclude = {"root", "labels", "manifest"}
        made_of |= {"data": what.data.model_dump(mode="json", exclude=exclude), "mpp": what.own_mpp_um_per_px}
        made_of["image"] = slide_stamp(what.path) if what.path.is_dir() else written(what.path)
    return out / LOOKS / f"{config_sha256(made_of)[:16]}.json"


def _look(unit: _Unit) -> None:
    """Looks at one unit and writes what it found.

    Raises:
        InputError: it cannot be read, or features are not the classifier's.
    """
    found = _of_features(unit, unit.what) if isinstance(unit.what, Path) else _of_picture(unit, unit.what)
    write_json(unit.done, found)


def _of_picture(unit: _Unit, pixels: Pixels) -> dict[str, Any]:
    seen, space = look_at(pixels, tissue=True), unit.classifier.stain_space
    empty = seen.coords is not None and not len(seen.coords)
    stain = None if empty else pixels.stain(seen.coords)
    distance = None if stain is None or space is None else space(stain[None])
    tiles = None if seen.coords is None else len(seen.coords)
    why = "" if not empty else seen.no_tiles or "none fits"
    return {**row_of(seen, tiles=tiles, stain=stain), "stain_distance": distance, "no_tiles": why}


def _of_features(unit: _Unit, path: Path) -> dict[str, Any]:
    source = open_features(path, given=unit.given)
    check_features(source, unit.classifier)
    space = unit.classifier.feature_space
    seen = Look(mpp_um_per_px=level0_um_per_px(source.meta))
    distance = None if space is None else space(source.read().features.astype(np.float32, copy=False))
    return {**row_of(seen, tiles=source.n_rows, stain=None), "tile_distance": distance, "no_tiles": ""}


def _record(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: damaged ({error}); delete it and look again") from None
