"""The scoring of one bag, or of a stretch of patches, as a job that leaves a file."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hage_transfer.apply.checks import check_features
from hage_transfer.apply.classifier import Classifier
from hage_transfer.apply.decide import Scored
from hage_transfer.apply.inputs import How, Inputs, patch_pixels
from hage_transfer.apply.stain import Pixels, stains_of
from hage_transfer.apply.training_cohort import patch_place
from hage_transfer.bounded import read_json
from hage_transfer.config import config_sha256
from hage_transfer.data.feature_file import Features
from hage_transfer.data.feature_layouts import FeatureSource, Given, open_features
from hage_transfer.errors import DataError
from hage_transfer.running.atomic import write_json
from hage_transfer.running.file_stamp import written
from hage_transfer.running.job import Job
from hage_transfer.running.threads import torch_threads

UNITS = "units"
"""Folder of an application with a file a job."""
_PATCHES = 4096


@dataclass(frozen=True, kw_only=True)
class ScoreJob:
    """What one job needs.

    Attributes:
        classifier: that scores.
        path: feature file.
        rows: patches of the file that are scored, each by itself; None: all its rows are one bag.
        name: of the bag.
        pixels: of the bag, or of each patch.
        how: device, models, and what the user says of the file.
        done: file that is written last.
    """

    classifier: Classifier
    path: Path
    rows: range | None
    name: str
    pixels: tuple[Pixels | None, ...]
    how: How
    done: Path


def score_jobs(classifier: Classifier, inputs: Inputs, out: Path, how: How) -> list[Job]:
    """A job a bag, or one for 4,096 patches; files of jobs are named by all that decides what is in them.

    Raises:
        DataError: a patch set's feature file that cannot be read.
    """
    if classifier.task == "mil":
        return [
            _job(classifier, path, None, name, (inputs.pixels.get(name),), out, how)
            for name, path in inputs.files.items()
        ]
    (path,) = inputs.files.values()
    keys = _keys(open_features(path, given=how.given))
    pixels = list(patch_pixels(inputs.pixels, keys))
    starts = range(0, len(keys), _PATCHES)
    parts = [range(start, min(start + _PATCHES, len(keys))) for start in starts]
    return [
        _job(
            classifier,
            path,
            part,
            f"patches {part.start} to {part.stop - 1}",
            tuple(pixels[part.start : part.stop]),
            out,
            how,
        )
        for part in parts
    ]


def _job(
    classifier: Classifier,
    path: Path,
    rows: range | None,
    name: str,
    pixels: tuple[Pixels | None, ...],
    out: Path,
    how: How,
) -> Job:
    made_of = {
        "classifier": classifier.sha256,
        "features": written(path),
        "given": how.given.said(),
        "final": how.final,
        "pixels": any(one is not None for one in pixels),
    }
    done = out / UNITS / f"{name}-{config_sha256(made_of)[:16]}.json"
    work = ScoreJob(
        classifier=classifier, path=path, rows=rows, name=name, pixels=pixels, how=_travelling(how), done=done
    )
    return Job(name, done, score, (work,))


def _travelling(how: How) -> How:
    """What a worker needs of it: no encoder that may not travel."""
    return How(device=how.device, given=how.given, final=how.final)


def score(work: ScoreJob) -> None:
    """Scores and writes; on one thread, so that numbers do not depend on how many jobs share the machine.

    Raises:
        DataError: features that are not the classifier's or cannot be read, or probabilities that are no numbers.
        InputError: pixels that cannot be read.
    """
    classifier = work.classifier
    with torch_threads(1):
        features = checked_features(classifier, work.path, work.how.given)
        units = [features.features]
        places = [features.coords]
        if work.rows is not None:
            part = slice(work.rows.start, work.rows.stop)
            features = _part(features, part)
            units = list(features.features[:, None])
            places = [patch_place(key) for key in _named(features, work.path)]
        found = classifier.probabilities(features, final=work.how.final, device=work.how.device)
    space, stain_space = classifier.feature_space, classifier.stain_space
    pixels = enumerate(zip(work.pixels, places, strict=True))
    seen = {} if stain_space is None else stains_of({n: (one, at) for n, (one, at) in pixels if one is not None})
    away = {} if stain_space is None else {unit: stain_space(stain[None]) for unit, stain in seen.items()}
    record = {
        "names": [work.name] if work.rows is None else _named(features, work.path),
        "probabilities": found.tolist(),
        "tiles": [len(rows) for rows in units],
        "tile_distance": [None if space is None else space(rows) for rows in units],
        "stain_distance": [away.get(unit) for unit in range(len(units))],
    }
    write_json(work.done, record)


def checked_features(classifier: Classifier, path: Path, given: Given) -> Features:
    """Rows of a file of any layout that the classifier takes, with the encoder's name as the classifier has it.

    Raises:
        DataError: as ``check_features``, or unreadable.
    """
    source = open_features(path, given=given)
    check_features(source, classifier)
    features = source.read()
    return replace(features, meta=replace(features.meta, encoder=classifier.facts["features"]["encoder"]))


def read_scored(jobs: list[Job], n_main: int) -> Scored:
    """What jobs left, in their order; by the spread of the first ``n_main`` scores models disagree.

    Raises:
        DataError: a file that is damaged.
    """
    records = [_record(job.made) for job in jobs]

    def joined(name: str) -> Any:
        return [value for record in records for value in record[name]]

    return Scored(
        names=tuple(joined("names")),
        probabilities=np.concatenate(
            [np.array(record["probabilities"], dtype=np.float64) for record in records], axis=2
        ),
        tiles=np.array(joined("tiles"), dtype=np.int64),
        tile_distance=np.array(joined("tile_distance"), dtype=np.float64),
        stain_distance=np.array(joined("stain_distance"), dtype=np.float64),
        n_main=n_main,
    )


def _record(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = read_json(path)
        return {name: found[name] for name in ("names", "probabilities", "tiles", "tile_distance", "stain_distance")}
    except (OSError, ValueError, LookupError, TypeError, json.JSONDecodeError) as error:
        raise DataError(f"{path}: damaged ({error}); delete it and run again") from None


def _part(features: Features, part: slice) -> Features:
    keys = None if features.keys is None else features.keys[part]
    coords = None if features.coords is None else features.coords[part]
    return Features(features.features[part], keys, coords, features.meta)


def _keys(source: FeatureSource) -> list[str]:
    if source.keys is None:
        raise DataError(f"{source.path}: has no keys, so its rows are patches without a name; encode them again")
    return [str(key) for key in source.keys.tolist()]


def _named(features: Features, path: Path) -> list[str]:
    if features.keys is None:
        raise DataError(f"{path}: has no keys any more")
    return [str(key) for key in features.keys.tolist()]
