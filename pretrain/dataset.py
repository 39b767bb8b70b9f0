"""Arrays of a fold: features, counts and normalised targets of its training spots and of each test section."""

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData
from jaxtyping import Float, Float32, Int, UInt8

from hage_transfer.data.expression import normalise
from hage_transfer.data.feature_file import FeatureMeta, Features, read_features
from hage_transfer.data.genes import sparse_panel_counts
from hage_transfer.data.spot_context import spot_context
from hage_transfer.errors import DataError
from hage_transfer.pretrain.config import ContextSettings
from hage_transfer.pretrain.controls.unseen import UnseenGenes, unseen_in_test
from hage_transfer.pretrain.folds import LeftOut
from hage_transfer.pretrain.genes import FoldGenes
from hage_transfer.pretrain.growing_array import GrowingArray
from hage_transfer.pretrain.made_rows import MadeRows, Rows, column_means, evenly_drawn, made_rows, row_sums, taken
from hage_transfer.pretrain.pixels import PATCHES
from hage_transfer.pretrain.shallow_spots import shallow_counts
from hage_transfer.pretrain.sparse_rows import SparseRows

log = logging.getLogger(__name__)
FEATURES = "features"


@dataclass(frozen=True, kw_only=True)
class Spots:
    """Spots of one or several sections, row by row.

    Attributes:
        features: of the frozen encoder.
        counts: raw counts of the panel's genes; of very many spots made by rows.
        target: counts normalised by the preset, section by section; likewise.
        coords_px: (x, y) of spot centres, level-0 pixels of their own section's image.
        section: position of each spot's section in ``section_names``.
        section_names: the sections in order.
        patient: each section's patient, in the order of ``section_names``.
        spot_names: within their section.
        patches: around each spot, where systems on pixels are asked for; these get them as ``features``.
    """

    features: Float32[np.ndarray, "spot feature"] | UInt8[np.ndarray, "spot side side 3"]
    counts: Rows
    target: Rows
    coords_px: Float[np.ndarray, "spot 2"]
    section: Int[np.ndarray, " spot"]
    section_names: tuple[str, ...]
    patient: tuple[str, ...]
    spot_names: tuple[str, ...]
    patches: UInt8[np.ndarray, "spot side side 3"] | None = None

    def __len__(self) -> int:
        return len(self.features)

    def rows_of(self, name: str) -> Int[np.ndarray, " row"]:
        """Row numbers of a section's spots."""
        return np.flatnonzero(self.section == self.section_names.index(name))

    @cached_property
    def mean_target(self) -> Float[np.ndarray, " gene"]:
        """Of each gene over the spots."""
        return column_means(self.target)

    @cached_property
    def depth(self) -> Float[np.ndarray, " spot"]:
        """Counts of the panel's genes in each spot."""
        return row_sums(self.counts)

    def only(self, rows: Int[np.ndarray, " row"]) -> "Spots":
        """Some of the spots, without patches; their counts are made by rows."""
        sections, section = np.unique(self.section[rows], return_inverse=True)
        return replace(
            self,
            features=np.asarray(self.features[rows]),
            counts=MadeRows((len(rows), self.counts.shape[1]), lambda asked: self.counts[rows[asked]]),
            target=taken(self.target, rows),
            coords_px=self.coords_px[rows],
            section=section,
            section_names=tuple(self.section_names[one] for one in sections),
            patient=tuple(self.patient[one] for one in sections),
            spot_names=tuple(self.spot_names[row] for row in rows),
            patches=None,
        )

    def few(self, what: str) -> "Spots":
        """These spots, or evenly spaced ones of very many, for what cannot be done on all; ``what``: for the log."""
        rows = evenly_drawn(*self.target.shape)
        if len(rows) == len(self):
            return self
        log.info("%s: on %d evenly spaced spots of %d", what, len(rows), len(self))
        return self.only(rows)


@dataclass(frozen=True, kw_only=True)
class FoldData:
    """Everything that a trial of a fold reads; the test part is for the evaluation after model selection.

    ``left_out`` counts the spots of each section that ``data.min_counts`` left out.
    """

    fold: LeftOut
    train: Spots
    test: Spots
    genes: tuple[str, ...]
    gene_vectors: Float32[np.ndarray, "gene gene_dim"]
    gene_source: str
    feature_meta: FeatureMeta
    unseen: UnseenGenes | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)


def attach_features(sections: Sequence[AnnData], folder: Path, context: ContextSettings) -> dict[str, FeatureMeta]:
    """Adds each section's features as ``obsm["features"]``; sections without an image are left as they are.

    Args:
        sections: their ``obsm`` is added to.
        folder: one feature file per section.
        context: what each spot's features are given from its section.

    Returns:
        Meta of each section that has features, by name.

    Raises:
        DataError: a feature file is missing, lacks a spot, or was made by another encoder than the others.
    """
    metas: dict[str, FeatureMeta] = {}
    for section in sections:
        name = section.uns["section"]["name"]
        if not section.uns["section"]["image_path"]:
            continue
        path = folder / f"{name}.h5"
        if not path.is_file():
            raise DataError(
                f"{path}: no features of section {name}; make them with `encode_sections` and the same config"
            )
        features = read_features(path)
        section.obsm[FEATURES] = spot_context(
            _rows_by_name(features, section.obs_names, path=path),
            section.obsm["spatial"],
            neighbours=context.neighbours,
            standardise=context.standardise,
        )
        metas[name] = features.meta
    check_one_encoder(metas, folder)
    return metas


def make_spots(sections: Iterable[AnnData], genes: Sequence[str], preset: str, *, scratch: Path | None = None) -> Spots:
    """Stacks sections; each is normalised alone, since ``gene_log10`` scales over a section's spots.

    What is kept are counts above 0: whole arrays of counts and targets are made where they are small.

    Args:
        sections: with features; taken one after the other.
        genes: the panel.
        preset: normalisation.
        scratch: folder for arrays too large for memory; None: the system's for temporary files.
    """
    folder = Path(tempfile.gettempdir()) if scratch is None else scratch
    features, coords_px, patches = (GrowingArray(folder) for _ in range(3))
    stacked = SparseRows(len(genes), folder)
    totals: list[np.ndarray] = []
    names: list[str] = []
    patients: list[str] = []
    spot_names: list[str] = []
    sizes: list[int] = []
    for section in sections:
        counts = sparse_panel_counts(section, genes)
        stacked.append(counts)
        totals.append(counts.sum(axis=0, dtype=np.float64))
        features.append(np.asarray(section.obsm[FEATURES], dtype=np.float32))
        if PATCHES in section.obsm:
            patches.append(np.asarray(section.obsm[PATCHES]))
        coords_px.append(np.asarray(section.obsm["spatial"], dtype=np.float64))
        names.append(section.uns["section"]["name"])
        patients.append(section.uns["section"]["patient"])
        spot_names.extend(section.obs_names)
        sizes.append(section.n_obs)
    section_of, measured = np.repeat(np.arange(len(sizes)), sizes), stacked.finish()
    by_section = np.asarray(np.concatenate(totals))

    def target(rows: Any) -> Float32[np.ndarray, "some gene"]:
        return normalise(measured(rows), preset, totals=by_section[section_of[rows]] if by_gene else None)

    shape, by_gene = (len(section_of), len(genes)), preset == "gene_log10"
    return Spots(
        features=features.finish(),
        counts=made_rows(shape, lambda rows: measured(rows).toarray()),
        target=made_rows(shape, target),
        coords_px=coords_px.finish(),
        section=section_of,
        section_names=tuple(names),
        patient=tuple(patients),
        spot_names=tuple(spot_names),
        patches=patches.finish() if len(patches) else None,
    )


def make_fold_data(
    sections: Mapping[str, AnnData],
    fold: LeftOut,
    *,
    genes: tuple[str, ...],
    gene_vectors: Float32[np.ndarray, "gene gene_dim"],
    gene_source: str,
    preset: str,
    feature_meta: FeatureMeta,
    unseen: FoldGenes | None = None,
    scratch: Path | None = None,
) -> FoldData:
    """The arrays of a fold from sections that have features; ``scratch`` as in ``make_spots``."""
    left_out: dict[str, int] = {}

    def each(names: Iterable[str]) -> Iterator[AnnData]:
        for name in names:
            section = sections[name]
            left_out.update(shallow_counts([section]))
            yield section

    return FoldData(
        fold=fold,
        train=make_spots(each(fold.train), genes, preset, scratch=scratch),
        test=make_spots(each(fold.test), genes, preset, scratch=scratch),
        genes=genes,
        gene_vectors=gene_vectors,
        gene_source=gene_source,
        feature_meta=feature_meta,
        left_out=left_out,
        unseen=unseen_in_test((sections[name] for name in fold.test), unseen, seen=genes, preset=preset),
    )


def _rows_by_name(features: Features, names: Sequence[str], *, path: Path) -> Float32[np.ndarray, "spot feature"]:
    if features.keys is None:
        raise DataError(f"{path}: has no `keys` (spot names), only coordinates; make it with `encode_sections`")
    position = {key: row for row, key in enumerate(features.keys)}
    missing = [name for name in names if name not in position]
    if missing:
        raise DataError(
            f"{path}: lacks {len(missing)} of {len(names)} spots (first {missing[0]}); "
            "the section has changed: encode it again with `encode_sections(overwrite=True)`"
        )
    return features.features[[position[name] for name in names]].astype(np.float32)


def check_one_encoder(metas: Mapping[str, FeatureMeta], folder: Path) -> None:
    """Refuses features of several encoders.

    Raises:
        DataError: sections' features were made in different ways.
    """
    kinds: dict[tuple[str, ...], list[str]] = {}
    for name, meta in metas.items():
        how = f"{meta.patch_size_px} px, {meta.views} views{', surround' if meta.surround else ''}"
        kinds.setdefault((meta.encoder, meta.encoder_sha256, meta.precision, how), []).append(name)
    if len(kinds) > 1:
        described = "; ".join(
            f"{', '.join(names)} by {kind[0]} {kind[1][:12]} {kind[2]}, {kind[3]}" for kind, names in kinds.items()
        )
        raise DataError(f"{folder}: features of several encoders are mixed ({described}); encode all alike")
