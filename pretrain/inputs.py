"""What a run reads, and what the jobs of each fold are given; a hash of it names their files."""

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from anndata import AnnData

from hage_transfer.config import config_sha256, file_sha256
from hage_transfer.data.feature_file import FeatureMeta
from hage_transfer.data.sections import where_images_are
from hage_transfer.errors import ConfigError, DataError, some
from hage_transfer.pretrain.adapted_images import check_adaptable
from hage_transfer.pretrain.config import PIXEL_NAMES, PretrainConfig
from hage_transfer.pretrain.controls.unseen import check_unseen, set_apart
from hage_transfer.pretrain.dataset import FEATURES, FoldData, attach_features, check_one_encoder, make_fold_data
from hage_transfer.pretrain.folds import LeftOut, leave_out_folds, validation_split
from hage_transfer.pretrain.genes import FoldGenes, fold_genes, gene_sections, read_named_sections, read_names
from hage_transfer.pretrain.methods.images import image_network
from hage_transfer.pretrain.pixels import PATCHES, attach_patches
from hage_transfer.pretrain.set_aside import SetAside
from hage_transfer.pretrain.shallow_spots import deep_spots, tell_shallow
from hage_transfer.pretrain.stored_sections import StoredSections, store_section
from hage_transfer.pretrain.trial_files import HAGE
from hage_transfer.running.memory import give_back_memory
from hage_transfer.running.progress import Progress

log = logging.getLogger(__name__)
STORE = "inputs"


@dataclass(frozen=True)
class Inputs:
    """Sections with their features, by name, and the folds over those that have an image."""

    sections: Mapping[str, AnnData]
    metas: Mapping[str, FeatureMeta]
    folds: tuple[LeftOut, ...]

    @cached_property
    def sha256(self) -> Mapping[str, str]:
        """Hash of each section's counts, names, positions and features."""
        return {name: section_sha256(section) for name, section in self.sections.items()}


@dataclass(frozen=True)
class FoldInputs:
    """What the jobs of one fold are given: paths, names and genes; the arrays are made inside the job.

    Attributes:
        sections: training and test sections, read from their files when asked for.
        fold: which is which.
        genes: panel and gene embeddings.
        meta: of the features.
        sha256: of everything that decides the fold's numbers besides the config.
        unseen: genes kept from training; None where all of the panel train.
    """

    sections: StoredSections
    fold: LeftOut
    genes: FoldGenes
    meta: FeatureMeta
    sha256: str
    unseen: FoldGenes | None = None

    def data(self, preset: str) -> FoldData:
        """The fold's arrays; before, what an earlier job of the process held is given back."""
        give_back_memory()
        return make_fold_data(
            self.sections,
            self.fold,
            genes=self.genes.symbols,
            gene_vectors=self.genes.vectors,
            gene_source=self.genes.source,
            preset=preset,
            feature_meta=self.meta,
            unseen=self.unseen,
            scratch=self.sections.folder,
        )


def read_inputs(config: PretrainConfig, progress: Progress | None = None, *, scratch: Path | None = None) -> Inputs:
    """Reads sections (``progress`` counts them) and features and lays the folds, before anything is written.

    What is larger than memory should hold lies in unnamed files in ``scratch`` (None: the system's temporary folder).

    Raises:
        InputError: the data, the features or the split are wrong.
    """
    check_unseen(config)
    metas: dict[str, FeatureMeta] = {}
    aside = SetAside(Path(tempfile.gettempdir()) if scratch is None else scratch)

    def with_features(section: AnnData) -> AnnData:
        metas.update(attach_features([section], config.features, config.context))
        return aside.keep(deep_spots(section, config.data.min_counts))

    names = read_names(config.genes)
    every = read_named_sections(config.data, names, progress, then=with_features)
    sections = {section.uns["section"]["name"]: section for section in every}
    check_one_encoder(metas, config.features)
    if not metas:
        raise DataError(
            f"none of the sections has an image ({some(list(sections))}), so there is nothing to train on; looked for "
            f"{where_images_are(config.data)}"
        )
    _check_encoded_as(config, metas)
    tell_shallow(every, config.data.min_counts)
    patients = {name: sections[name].uns["section"]["patient"] for name in metas}
    folds = tuple(leave_out_folds(patients, config.split))
    for fold in folds:
        _check_trainable(config, fold, {name: section.n_obs for name, section in sections.items()})
    on_pixels = set(config.methods) & set(PIXEL_NAMES)
    if on_pixels:
        image_network(config.pixels)  # its faults, before patches are cut
    if config.adapts:
        check_adaptable(config, next(iter(metas.values())))
    if on_pixels or config.adapts:
        attach_patches(list(sections.values()), config.patch, config.pixels)
    return Inputs(sections, metas, folds)


def _check_trainable(config: PretrainConfig, fold: LeftOut, n_spots: Mapping[str, int]) -> None:
    """Refuses a fold that no trial could train on, before genes are chosen for it."""
    section = np.repeat(np.arange(len(fold.train)), [n_spots[name] for name in fold.train])
    rows, _ = validation_split(section, config.split, seed=config.seed)
    if HAGE in config.methods and len(rows) < config.clusters.k1:
        raise ConfigError(
            f"clusters.k1 = {config.clusters.k1} needs as many training spots; holding out {fold.name} leaves "
            f"{len(rows)}; lower it"
        )


def _check_encoded_as(config: PretrainConfig, metas: Mapping[str, FeatureMeta]) -> None:
    """Refuses features that were not made as the config says: its name would stand beside numbers of another recipe."""
    name, meta = next(iter(metas.items()))
    found = {"views": meta.views, "surround": meta.surround}
    for key, value in found.items():
        wanted = getattr(config.encoder, key)
        if value != wanted:
            raise DataError(
                f"{config.features / name}.h5: was encoded with {key} = {value}, the config says encoder.{key} = "
                f"{wanted}; encode again with `encode_sections` and this config, or give `features` a folder of its own"
            )


def fold_inputs(inputs: Inputs, fold: LeftOut, config: PretrainConfig, *, run: Path) -> FoldInputs:
    """Chooses the fold's genes on its training sections alone (or reads back what was chosen on the same inputs).

    The sections that its jobs need are written to the run directory ``run``, once for all folds; ``remove_stored``
    removes them when no job is left.
    """
    chosen = gene_sections(inputs.sections, fold, config.split)
    files = [
        path for path in (config.genes.panel, config.genes.embeddings, config.genes.names) if isinstance(path, Path)
    ]
    for_genes = config_sha256(
        {
            "sections": {name: inputs.sha256[name] for name in chosen},
            "files": [file_sha256(path) if path.is_file() else "" for path in files],
            "settings": config.genes.model_dump(mode="json"),
            "seed": config.seed,
        }
    )
    genes = fold_genes(
        [inputs.sections[name] for name in chosen],
        config.genes,
        seed=config.seed,
        folder=run / "folds" / fold.name,
        sha256=for_genes,
        held_out=fold.test,
    )
    genes, unseen = set_apart(genes, share=config.genes.unseen, seed=config.seed)
    used = (*fold.train, *fold.test)
    weights = {} if config.pixels.weights is None else {"weights": file_sha256(config.pixels.weights)}
    sha256 = config_sha256({"genes": for_genes, "sections": {name: inputs.sha256[name] for name in used}, **weights})
    meta = inputs.metas[fold.train[0]]
    store = run / STORE
    paths = {name: store_section(inputs.sections[name], store, sha256=inputs.sha256[name]) for name in used}
    return FoldInputs(StoredSections(paths, store), fold, genes, meta, sha256, unseen)


def remove_stored(run: Path) -> None:
    """Removes the sections that ``fold_inputs`` wrote; a run that needs them again writes them again."""
    shutil.rmtree(run / STORE, ignore_errors=True)


def section_sha256(section: AnnData) -> str:
    """Hash of all that a job reads of a section."""
    about = section.uns["section"]
    digest = hashlib.sha256(
        "\n".join([about["name"], about["patient"], *section.obs_names, *section.var_names]).encode()
    )
    for part in (
        section.X.data,
        section.X.indices,
        section.X.indptr,
        section.obsm["spatial"],
        section.obsm.get(FEATURES),
        section.obsm.get(PATCHES),
    ):
        if part is not None:
            digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
