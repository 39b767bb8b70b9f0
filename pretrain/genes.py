"""The genes of a fold: panel and gene embeddings, from training sections alone, kept in the run directory."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from anndata import AnnData
from jaxtyping import Float32

from hage_transfer.config import SectionsSettings
from hage_transfer.data.co_expression import coexpressed_pairs
from hage_transfer.data.gene_embeddings import (
    Coverage,
    GeneEmbeddings,
    cover,
    installed_embeddings,
    read_gene2vec,
    train_coexpression,
)
from hage_transfer.data.gene_name_table import read_gene_names
from hage_transfer.data.gene_names import GeneNames, carried_names, rename_to_current
from hage_transfer.data.genes import Panel, select_panel
from hage_transfer.data.h5_file import open_h5
from hage_transfer.data.h5_writing import new_h5
from hage_transfer.data.sections import read_sections
from hage_transfer.errors import DataError
from hage_transfer.pretrain.config import FoldSettings, GeneSettings
from hage_transfer.pretrain.folds import LeftOut, leave_out_folds
from hage_transfer.running.atomic import atomic_path
from hage_transfer.running.progress import Progress

log = logging.getLogger(__name__)

NO_EMBEDDING = "no_embedding"


@dataclass(frozen=True)
class FoldGenes:
    """Panel genes that have an embedding, in order, with their embeddings and where those are from."""

    symbols: tuple[str, ...]
    vectors: Float32[np.ndarray, "gene gene_dim"]
    source: str


def read_names(settings: GeneSettings) -> GeneNames | None:
    """The table ``genes.names``, None where none is given.

    Raises:
        DataError: as ``read_gene_names``.
    """
    return None if settings.names is None else read_gene_names(settings.names)


def read_named_sections(
    settings: SectionsSettings, names: GeneNames | None, progress: Progress | None = None, **then: Any
) -> list[AnnData]:
    """Reads sections, their genes under the current symbols of the table where there is one.

    ``progress``, ``then`` and errors as ``read_sections``.
    """
    sections = read_sections(settings, progress, **then)
    if names is not None:
        rename_to_current(sections, names)
    return sections


def gene_sections(sections: Mapping[str, AnnData], fold: LeftOut, split: FoldSettings) -> list[str]:
    """Sections that choose a fold's genes: those that train, and those without image that no rule holds out."""
    unit = "patient" if split.unit == "patient" else "name"
    without_image = [
        name
        for name, section in sections.items()
        if not section.uns["section"]["image_path"]
        and name not in fold.train
        and split.train is None
        and section.uns["section"][unit] != fold.name
    ]
    if without_image:
        log.info("%s: %d sections without image serve panel and co-expression only", fold.name, len(without_image))
    return [*fold.train, *without_image]


def gene_folds(sections: Sequence[AnnData], split: FoldSettings) -> list[LeftOut]:
    """The folds that pretraining lays over the sections with an image, or over all where none has one."""
    facts = [section.uns["section"] for section in sections]
    trained_on = [fact for fact in facts if fact["image_path"]] or facts
    return leave_out_folds({fact["name"]: fact["patient"] for fact in trained_on}, split)


def choose_panel(sections: Sequence[AnnData], settings: GeneSettings, names: GeneNames | None) -> Panel:
    """The panel by the config's rule, genes of a panel file resolved by the table and the sections' own ids.

    Raises:
        DataError: as ``select_panel``.
    """
    return select_panel(
        sections,
        panel=settings.panel,
        n_top=settings.n_top,
        min_sections=settings.min_sections,
        min_spots=settings.min_spots,
        names=names,
    )


def judge_embeddings(
    panel: Panel, sections: Sequence[AnnData], settings: GeneSettings, names: GeneNames | None
) -> Panel:
    """The panel without the genes that will have no embedding; nothing is trained to know it.

    Raises:
        DataError: no gene is left, or the file of embeddings is wrong.
    """
    if settings.embeddings is None:
        return _without(panel, coexpressed_pairs(sections, panel.symbols, form=settings.co_expression).left_out)
    coverage = cover_panel(panel.symbols, read_gene2vec(settings.embeddings), names, sections)
    return _told(panel, coverage)


def cover_panel(
    symbols: Sequence[str], embeddings: GeneEmbeddings, names: GeneNames | None, sections: Sequence[AnnData]
) -> Coverage:
    """Looks the panel's embeddings up, under any name that the table or the sections' own ids give a gene.

    Raises:
        DataError: no gene has one.
    """
    carried = carried_names(sections)
    return cover(symbols, embeddings, names=names.joined(carried) if names else carried)


def fold_genes(
    sections: Sequence[AnnData],
    settings: GeneSettings,
    *,
    seed: int,
    folder: Path,
    sha256: str,
    held_out: Sequence[str] = (),
) -> FoldGenes:
    """Chooses the panel and its embeddings, or reads back what an earlier run of this fold chose.

    Args:
        sections: training sections, with or without image; never a held-out one.
        settings: panel rule and source of the embeddings.
        seed: of the co-expression training.
        sha256: of all that decides the choice; what was chosen on other inputs is chosen anew.
        held_out: test sections, whose counts vectors from a file may have read: then their source says so.
        folder: gets ``genes.h5`` and ``panel.csv`` (gene by gene: kept or why not).

    Raises:
        DataError: the panel is empty, or no gene of it has an embedding.
    """
    path = folder / "genes.h5"
    if path.exists():
        with open_h5(path) as file:
            if file.attrs.get("inputs_sha256") == sha256:
                return FoldGenes(tuple(file["symbols"].asstr()[...]), file["vectors"][...], str(file.attrs["source"]))
    names = read_names(settings)
    panel = choose_panel(sections, settings, names)
    if settings.installed is not None:
        embeddings = installed_embeddings(settings.installed)
    elif settings.embeddings is not None:
        embeddings = read_gene2vec(settings.embeddings)
    else:
        embeddings = train_coexpression(
            sections, panel.symbols, dim=settings.embedding_dim, seed=seed, form=settings.co_expression
        )
    coverage = cover_panel(panel.symbols, embeddings, names, sections)
    log.info("panel: %d genes, %d with an embedding (%s)", len(panel.symbols), len(coverage.symbols), embeddings.source)
    write_panel_report(folder / "panel.csv", _told(panel, coverage))
    leaked = sorted(set(held_out) & set(embeddings.counts_read))
    source = embeddings.source + (f"; LEAKS: held-out {', '.join(leaked)} among them" if leaked else "")
    if leaked:
        log.warning("%s; make vectors of this fold alone (`gene_embeddings`, fold=), or of no counts", source)
    genes = FoldGenes(tuple(coverage.symbols), coverage.vectors, source)
    with new_h5(path) as file:
        file.create_dataset("symbols", data=np.array(genes.symbols, dtype=object), dtype=h5py.string_dtype())
        file["vectors"] = genes.vectors
        file.attrs["source"] = genes.source
        file.attrs["inputs_sha256"] = sha256
    return genes


def write_panel_report(path: Path, panel: Panel) -> None:
    """Writes `gene,kept,rule,reason,resolved_from`, a line for each gene judged."""
    with atomic_path(path) as temporary:
        panel.report.to_csv(temporary, index=False)


def _told(panel: Panel, coverage: Coverage) -> Panel:
    """The panel without the uncovered genes; the reasons tell which embeddings were found under another name."""
    report = panel.report.copy()
    listed = report["gene"].map(coverage.renamed)
    report["reason"] = report["reason"].where(listed.isna(), report["reason"] + "; embedding of " + listed.fillna(""))
    return _without(Panel(panel.symbols, report), coverage.reasons)


def _without(panel: Panel, reasons: Mapping[str, str]) -> Panel:
    left = panel.without(reasons, rule=NO_EMBEDDING)
    if not left.symbols:
        raise DataError(f"empty panel: none of its {len(panel.symbols)} genes has an embedding")
    return left
