"""What a heatmap needs of each source of a run: its bags by trial, and whose genes are read from which features."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hage_transfer.compare.source_settings import SourceSettings
from hage_transfer.config import FeatureSetSettings, SlideSetSettings
from hage_transfer.data.feature_layouts import find_feature_files
from hage_transfer.data.labels import LabelTable, read_labels
from hage_transfer.encode.sources import (
    find_encoder_directories,
    find_encoders,
    needs_frozen,
    resolve_sources,
    side_by_side,
)
from hage_transfer.errors import InputError, reason
from hage_transfer.explain.genes import GeneModels, gene_quality, refuse_unfit
from hage_transfer.mil.bags import BagSet, open_bags
from hage_transfer.mil.config import MilConfig
from hage_transfer.models.ensemble import ExpressionEnsemble
from hage_transfer.slide_names import match_names

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourceBags:
    """One source.

    Attributes:
        name: in the config.
        bags: of each trial.
        groups: patient of each slide; the slide itself where the labels have no groups.
        genes: None where no genes are read.
        why_no_genes: then the reason.
        frozen: frozen feature file of each slide, which the genes are read from.
    """

    name: str
    bags: tuple[BagSet, ...]
    groups: Mapping[str, str]
    genes: GeneModels | None
    why_no_genes: str
    frozen: Mapping[str, Path]


def explained_sources(
    run: Path,
    config: MilConfig,
    names: Sequence[str],
    *,
    slides: Collection[str],
    genes: bool,
    patterns: Sequence[str],
    device: str,
) -> Iterator[SourceBags]:
    """The sources, one by one.

    Args:
        run: the MIL run.
        config: its config.
        names: of the sources.
        slides: that were tested.
        genes: whether genes are read.
        patterns: encoder directories that the user names; they go before the sources' own.
        device: torch device.

    Raises:
        InputError: features or encoders that are not there any more, or that do not fit each other.
    """
    frozen, labels = _frozen(config, slides)
    paths = resolve_sources(_needed(config, names), frozen=frozen, out=run, device=device)
    trials = side_by_side({name: config.sources[name] for name in names}, paths, repeats=config.train.repeats)
    for name in names:
        bags = tuple(_open(folders, labels) for folders in trials[name])
        read: tuple[GeneModels | None, dict[str, Path], str] = None, {}, "no genes were asked for"
        if genes:
            read = _genes(config, name, patterns, frozen=frozen, device=device)
            if read[2]:
                log.warning("source %s: no genes: %s", name, read[2])
        keys = labels.keys.tolist()
        groups = keys if labels.groups is None else labels.groups.tolist()
        models, there, why_not = read
        files = {slide: there[other] for slide, other in match_names(keys, list(there)).items()}
        yield SourceBags(name, bags, dict(zip(keys, groups, strict=True)), models, why_not, files)


def _frozen(config: MilConfig, slides: Collection[str]) -> tuple[Path, LabelTable]:
    """Features, and the table of the slides that were tested; what is true of them, the predictions say."""
    folder, table = config.features / "features", config.features / "labels.csv"
    if isinstance(config.data, FeatureSetSettings):
        folder, table = config.data.root, config.data.labels
    elif isinstance(config.data, SlideSetSettings) and not (
        config.target.kind == "classes" and needs_frozen(config.sources)
    ):
        table = config.data.labels  # as `hage mil` read them
    labels = read_labels(table, labels_needed=False)
    return folder, labels.take(np.flatnonzero(np.isin(labels.keys, list(slides))))


def _needed(config: MilConfig, names: Sequence[str]) -> Mapping[str, SourceSettings]:
    """Sources and the parts of those that are set side by side."""
    wanted = [part for name in names for part in (config.sources[name].concat or (name,))]
    return {name: config.sources[name] for name in dict.fromkeys(wanted)} | {
        name: config.sources[name] for name in names
    }


def _open(folders: tuple[Path, ...], labels: LabelTable) -> BagSet:
    return open_bags(folders[0] if len(folders) == 1 else folders, labels)


def _genes(
    config: MilConfig, name: str, patterns: Sequence[str], *, frozen: Path, device: str
) -> tuple[GeneModels | None, dict[str, Path], str]:
    """Encoders and frozen features of a source's genes, or why there are none.

    Encoders that the user names must fit; those of the run may be without a predictor, which is said.
    """
    if patterns:
        features = _features(config.sources[name], frozen)
        return *_load(find_encoder_directories(patterns), features, device), ""
    owner = _owner(config, name)
    if owner is None:
        return None, {}, "the run has no gene-informed source; encoders= names encoder directories"
    if owner != name:
        log.info("source %s: genes are those of the encoders of source %s", name, owner)
    pattern = config.sources[owner].encoder
    try:
        return *_load(find_encoders(owner, pattern or ""), _features(config.sources[owner], frozen), device), ""
    except InputError as error:
        return None, {}, reason(error)


def _owner(config: MilConfig, name: str) -> str | None:
    """The source whose encoders' genes are read: its own, a part's, or the first gene-informed one of the run."""
    for one in (name, *config.sources[name].concat, *config.sources):
        if config.sources[one].encoder is not None:
            return one
    return None


def _features(source: SourceSettings, frozen: Path) -> Path:
    """Frozen features that a source's encoders read."""
    return frozen if source.features is None or source.encoder is None else source.features


def _load(folders: Sequence[Path], features: Path, device: str) -> tuple[GeneModels, dict[str, Path]]:
    ensemble = ExpressionEnsemble.from_folders(folders, device=device)
    files = find_feature_files(features)
    refuse_unfit(ensemble, next(iter(files.values())))
    quality = gene_quality(ensemble)
    for note in quality.notes:
        log.warning("genes: %s", note)
    hashes = tuple(sha for kind in ensemble.hashes() for sha in kind)
    return GeneModels(tuple(folders), hashes, quality, device), files
