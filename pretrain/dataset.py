"""Arrays of a fold: features, counts and normalised targets of its training spots and of each test section."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from anndata import AnnData
from jaxtyping import Float, Float32, Int

from hage_transfer.data.expression import normalise
from hage_transfer.data.feature_file import FeatureMeta, Features, read_features
from hage_transfer.data.genes import panel_counts
from hage_transfer.errors import DataError
from pretrain.folds import LeftOut
from pretrain.genes import FoldGenes
from pretrain.unseen import UnseenGenes, unseen_in_test

log = logging.getLogger(__name__)
FEATURES = "features"


@dataclass(frozen=True)
class Spots:
    """Spots of one or several sections, row by row.

    Attributes:
        features: of the frozen encoder.
        counts: raw counts of the panel's genes.
        target: counts normalised by the preset, section by section.
        coords_px: (x, y) of spot centres, level-0 pixels of their own section's image.
        section: position of each spot's section in ``section_names``.
        section_names: the sections in order.
        patient: each section's patient, in the order of ``section_names``.
        spot_names: within their section.
    """

    features: Float32[np.ndarray, "spot feature"]
    counts: Float32[np.ndarray, "spot gene"]
    target: Float32[np.ndarray, "spot gene"]
    coords_px: Float[np.ndarray, "spot 2"]
    section: Int[np.ndarray, " spot"]
    section_names: tuple[str, ...]
    patient: tuple[str, ...]
    spot_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.features)

    def rows_of(self, name: str) -> Int[np.ndarray, " row"]:
        """Row numbers of a section's spots."""
        return np.flatnonzero(self.section == self.section_names.index(name))


@dataclass(frozen=True)
class FoldData:
    """Everything that a trial of a fold reads; the test part is for the evaluation after model selection."""

    fold: LeftOut
    train: Spots
    test: Spots
    genes: tuple[str, ...]
    gene_vectors: Float32[np.ndarray, "gene gene_dim"]
    gene_source: str
    feature_meta: FeatureMeta
    unseen: UnseenGenes | None = None


def attach_features(sections: Sequence[AnnData], folder: Path) -> dict[str, FeatureMeta]:
    """Adds each section's features as ``obsm["features"]``; sections without an image are left as they are.

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
                f"{path}: no features of section {name}; make them with `hage encode st` and the same config"
            )
        features = read_features(path)
        section.obsm[FEATURES] = _rows_by_name(features, section.obs_names, path=path)
        metas[name] = features.meta
    if not metas:
        raise DataError("none of the sections has an image, so there is nothing to train on; add sections with images")
    _check_one_encoder(metas, folder)
    return metas


def make_spots(sections: Sequence[AnnData], genes: Sequence[str], preset: str) -> Spots:
    """Stacks sections; each is normalised alone, since ``gene_log10`` scales over a section's spots."""
    counts = [panel_counts(section, genes) for section in sections]
    return Spots(
        features=np.concatenate([np.asarray(section.obsm[FEATURES], dtype=np.float32) for section in sections]),
        counts=np.concatenate(counts),
        target=np.concatenate([normalise(part, preset) for part in counts]),
        coords_px=np.concatenate([np.asarray(section.obsm["spatial"], dtype=np.float64) for section in sections]),
        section=np.repeat(np.arange(len(sections)), [section.n_obs for section in sections]),
        section_names=tuple(section.uns["section"]["name"] for section in sections),
        patient=tuple(section.uns["section"]["patient"] for section in sections),
        spot_names=tuple(name for section in sections for name in section.obs_names),
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
) -> FoldData:
    """The arrays of a fold from sections that have features."""
    return FoldData(
        fold=fold,
        train=make_spots([sections[name] for name in fold.train], genes, preset),
        test=make_spots([sections[name] for name in fold.test], genes, preset),
        genes=genes,
        gene_vectors=gene_vectors,
        gene_source=gene_source,
        feature_meta=feature_meta,
        unseen=unseen_in_test([sections[name] for name in fold.test], unseen, seen=genes, preset=preset),
    )


def _rows_by_name(features: Features, names: Sequence[str], *, path: Path) -> Float32[np.ndarray, "spot feature"]:
    if features.keys is None:
        raise DataError(f"{path}: has no `keys` (spot names), only coordinates; make it with `hage encode st`")
    position = {key: row for row, key in enumerate(features.keys)}
    missing = [name for name in names if name not in position]
    if missing:
        raise DataError(
            f"{path}: lacks {len(missing)} of {len(names)} spots (first {missing[0]}); "
            "the section has changed: encode it again with `hage encode st --overwrite`"
        )
    return features.features[[position[name] for name in names]].astype(np.float32)


def _check_one_encoder(metas: Mapping[str, FeatureMeta], folder: Path) -> None:
    kinds: dict[tuple[str, str, str], list[str]] = {}
    for name, meta in metas.items():
        kinds.setdefault((meta.encoder, meta.encoder_sha256, meta.precision), []).append(name)
    if len(kinds) > 1:
        described = "; ".join(
            f"{', '.join(names)} by {kind[0]} {kind[1][:12]} {kind[2]}" for kind, names in kinds.items()
        )
        raise DataError(f"{folder}: features of several encoders are mixed ({described}); encode all with one")
