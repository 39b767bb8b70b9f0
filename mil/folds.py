"""Which slides train, validate and test in each fold."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from hage_transfer.compare.split_files import SplitFile, SplitSurvey, read_split_files, survey_split
from hage_transfer.compare.splits import Fold, check_disjoint, repeated_folds, table_folds, train_validation
from hage_transfer.data.labels import LabelTable
from hage_transfer.data.published_table import tcga_site
from hage_transfer.errors import SplitError, nearest, some
from hage_transfer.mil.config import MilConfig, MilSplitSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MilFold:
    """Slides of one fold: training, validation inside the training side, test."""

    name: str
    train: Int[np.ndarray, " train"]
    validation: Int[np.ndarray, " validation"]
    test: Int[np.ndarray, " test"]


def shared_groups(folds: Sequence[MilFold], labels: LabelTable) -> list[str]:
    """Groups of a published split that a fold both trains on (or stops by) and tests."""
    if labels.groups is None:
        return []
    found: set[str] = set()
    for fold in folds:
        seen = np.concatenate([fold.train, fold.validation])
        found |= set(np.intersect1d(labels.groups[seen], labels.groups[fold.test]).tolist())
    return sorted(found)


def mil_folds(config: MilConfig, labels: LabelTable) -> list[MilFold]:
    """Folds of the slides, each with its validation part; the same for every source.

    ``site``: a site is on one side alone, since a classifier can tell sites apart by their staining (Howard et al.,
    "The impact of site-specific digital histology signatures on deep learning model accuracy and bias", Nature
    Communications 2021). Deviation: sites are dealt out by a stratified shuffle, where they solve a quadratic program.
    ``monte_carlo``: every draw takes its own test part, so test parts overlap, as CLAM's do.

    Raises:
        SplitError: folds by group without groups, folds that the labels cannot fill, a split file that names an unknown
            slide, has a group on two sides or a side without a class.
        DataError: split files that are not there or not in their form; a slide whose site is not known.
    """
    try:
        return _folds(config, labels)
    except SplitError as error:
        if config.split.mode == "site":
            error.add_note(
                "groups are sites here (split.mode=site), split.by_group or not; split.mode=folds splits them"
            )
        raise


def _folds(config: MilConfig, labels: LabelTable) -> list[MilFold]:
    split = config.split
    if split.mode == "files":
        _groups(split, labels)
        files = read_split_files(split.files or Path(), labels=labels)
        return [_fold_of_file(file, number, config, labels) for number, file in enumerate(files)]
    groups = _groups(split, labels)
    if split.mode == "monte_carlo":
        return [_draw(number, config, labels.labels, groups) for number in range(split.folds)]
    if split.mode == "site":
        folds = repeated_folds(labels.labels, groups, n_folds=split.folds, seed=split.seed, repeats=split.repeats)
    else:
        folds = table_folds(
            labels, n_folds=split.folds, by_group=split.by_group, seed=split.seed, repeats=split.repeats
        )
    return [_with_validation(fold, number, config, labels.labels, groups) for number, fold in enumerate(folds)]


def _groups(split: MilSplitSettings, labels: LabelTable) -> np.ndarray | None:
    """What stays on one side: nothing, patients, or sites with all their patients."""
    if split.mode == "site":
        sites = labels.sites
        if sites is None:
            sites = np.array([tcga_site(slide) for slide in labels.keys.tolist()])
        return sites if not split.by_group or labels.groups is None else _joined(sites, labels.groups)
    return labels.known_groups() if split.by_group else None


def _joined(sites: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sites, joined where a group has slides of several."""
    name = {site: site for site in np.unique(sites).tolist()}
    for group in np.unique(groups).tolist():
        first, *others = sorted({name[site] for site in sites[groups == group].tolist()})
        for other in others:
            name = {site: first if old == other else old for site, old in name.items()}
    return np.array([name[site] for site in sites.tolist()])


def _with_validation(
    fold: Fold, number: int, config: MilConfig, labels: np.ndarray, groups: np.ndarray | None
) -> MilFold:
    if config.train.validation == 0:
        return MilFold(fold.name, fold.train, np.array([], dtype=np.int64), fold.test)
    kept, validation = train_validation(
        labels[fold.train],
        None if groups is None else groups[fold.train],
        share=config.train.validation,
        seed=(config.split.seed + number) % 2**32,
    )
    parts = MilFold(fold.name, fold.train[kept], fold.train[validation], fold.test)
    if groups is not None:
        check_disjoint({"train": parts.train, "validation": parts.validation, "test": parts.test}, groups)
    return parts


def _draw(number: int, config: MilConfig, labels: np.ndarray, groups: np.ndarray | None) -> MilFold:
    seed = int(np.random.SeedSequence([config.split.seed, number]).generate_state(1)[0])
    train, test = train_validation(labels, groups, share=config.split.test_share, seed=seed)
    return _with_validation(Fold(str(number), train, test), number, config, labels, groups)


def _fold_of_file(file: SplitFile, number: int, config: MilConfig, labels: LabelTable) -> MilFold:
    split = config.split
    survey = survey_split(file, labels)
    _refuse_unknown(file, survey, split, labels)
    _refuse_shared(file, survey, split)
    if unused := survey.unused:
        about = f"{len(unused)} of {len(labels)} labelled slides are on no side ({some(unused, 3)})"
        log.warning("%s: %s; they neither train nor test", file.path, about)
    places = {key: row for row, key in enumerate(labels.keys.tolist())}
    train, validation, test = (_rows(file.sides[side], places) for side in ("train", "val", "test"))
    for side, rows in (("train", train), ("test", test)):
        absent = labels.absent(rows)
        if absent:
            raise SplitError(f"{file.path}: the {side} side has no slide of class {', '.join(absent)}")
    if file.of_two_sides:
        groups = labels.groups if split.by_group else None
        return _with_validation(Fold(file.name, train, test), number, config, labels.labels, groups)
    if config.train.validation and not len(validation):
        raise SplitError(
            f"{file.path}: the val side names no slide, so no training could stop early; set train.validation=0 to "
            "train to train.epochs"
        )
    missing = labels.absent(validation)
    if config.train.validation and missing:
        log.warning("%s: the val side has no slide of class %s", file.path, ", ".join(missing))
    if config.train.validation == 0:
        train, validation = np.sort(np.concatenate([train, validation])), validation[:0]
    return MilFold(file.name, train, validation, test)


def _rows(names: Sequence[str], places: dict[str, int]) -> Int[np.ndarray, " slide"]:
    return np.sort(np.array([places[name] for name in names if name in places], dtype=np.int64))


def _refuse_unknown(file: SplitFile, survey: SplitSurvey, split: MilSplitSettings, labels: LabelTable) -> None:
    unknown = [slide for slides in survey.unknown.values() for slide in slides]
    if not unknown:
        return
    (near,) = nearest(unknown[0], labels.keys.tolist())
    what = (
        f"{file.path}: names {len(unknown)} slides that the label table does not have ({some(unknown, 3)}; nearest "
        f"there to {unknown[0]}: {near})"
    )
    if split.unknown_slides == "refuse":
        raise SplitError(f"{what}; label them, or set split.unknown_slides=drop to go on without them")
    log.warning("%s; they are left out", what)


def _refuse_shared(file: SplitFile, survey: SplitSurvey, split: MilSplitSettings) -> None:
    for what, shared in (("slides", survey.shared_slides), ("groups", survey.shared_groups)):
        for (one, other), names in shared.items():
            message = f"{file.path}: {len(names)} {what} are in both {one} and {other} ({some(names, 3)})"
            if what == "slides":
                raise SplitError(f"{message}; keep each on one side")
            if split.by_group and split.shared_groups == "refuse":
                raise SplitError(
                    f"{message}; keep each on one side, draw folds of your own (split.mode=folds), or set "
                    "split.shared_groups=keep to train on them as published"
                )
            log.warning("%s; their test slides are not new to the classifier", message)
