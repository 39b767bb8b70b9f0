"""The genes of a fold: panel and gene embeddings, from training sections alone, kept in the run directory."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from jaxtyping import Float32

from hage_transfer.atomic import atomic_path
from hage_transfer.data.gene_embeddings import cover, read_gene2vec, train_coexpression
from hage_transfer.data.genes import select_panel
from pretrain.config import GeneSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoldGenes:
    """Panel genes that have an embedding, in order, with their embeddings and where those are from."""

    symbols: tuple[str, ...]
    vectors: Float32[np.ndarray, "gene gene_dim"]
    source: str


def fold_genes(
    sections: Sequence[AnnData], settings: GeneSettings, *, seed: int, folder: Path, sha256: str
) -> FoldGenes:
    """Chooses the panel and its embeddings, or reads back what an earlier run of this fold chose.

    Args:
        sections: training sections, with or without image; never a held-out one.
        settings: panel rule and source of the embeddings.
        seed: of the co-expression training.
        sha256: of all that decides the choice; what was chosen on other inputs is chosen anew.
        folder: gets ``genes.h5`` and ``panel.csv`` (gene by gene: kept or why not).

    Raises:
        DataError: the panel is empty, or no gene of it has an embedding.
    """
    path = folder / "genes.h5"
    if path.exists():
        with h5py.File(path, "r") as file:
            if file.attrs.get("inputs_sha256") == sha256:
                return FoldGenes(tuple(file["symbols"].asstr()[...]), file["vectors"][...], str(file.attrs["source"]))
    panel = select_panel(
        sections,
        panel=settings.panel,
        n_top=settings.n_top,
        min_sections=settings.min_sections,
        min_spots=settings.min_spots,
    )
    if settings.embeddings is not None:
        embeddings = read_gene2vec(settings.embeddings)
    else:
        embeddings = train_coexpression(sections, panel.symbols, dim=settings.embedding_dim, seed=seed)
    coverage = cover(panel.symbols, embeddings)
    log.info("panel: %d genes, %d with an embedding (%s)", len(panel.symbols), len(coverage.symbols), embeddings.source)
    report = _with_missing(panel.report, set(coverage.missing))
    with atomic_path(folder / "panel.csv") as temporary:
        report.to_csv(temporary, index=False)
    genes = FoldGenes(tuple(coverage.symbols), coverage.vectors, embeddings.source)
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("symbols", data=np.array(genes.symbols, dtype=object), dtype=h5py.string_dtype())
        file["vectors"] = genes.vectors
        file.attrs["source"] = genes.source
        file.attrs["inputs_sha256"] = sha256
    return genes


def _with_missing(report: pd.DataFrame, missing: set[str]) -> pd.DataFrame:
    without = report["gene"].isin(missing) & report["kept"]
    return report.assign(
        kept=report["kept"] & ~without,
        reason=report["reason"].where(~without, "no gene embedding"),
    )
