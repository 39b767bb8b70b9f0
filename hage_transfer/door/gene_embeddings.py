"""`gene_embeddings`: a vector a gene, from the co-expression of sections."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from hage_transfer.config import Changes
from hage_transfer.data.gene_embeddings import train_coexpression, write_gene2vec
from hage_transfer.door.gene_panel import refuse_taken
from hage_transfer.door.given import ConfigLike, PathLike
from hage_transfer.door.recipes import resolve_config
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.gene_choice import sections_for_genes
from hage_transfer.pretrain.genes import choose_panel, read_names


@dataclass(frozen=True)
class TrainedEmbeddings:
    """Gene embeddings and what they were made of.

    Attributes:
        path: of the file.
        symbols: genes that have a vector.
        vectors: of them.
        n_panel: genes of the panel.
        source: how they were made.
        note: which sections they were made on, and what may be done with them.
    """

    path: Path
    symbols: tuple[str, ...]
    vectors: Float[np.ndarray, "gene number"]
    n_panel: int
    source: str
    note: str

    def frame(self) -> pd.DataFrame:
        """A row a gene."""
        return pd.DataFrame(self.vectors, index=pd.Index(self.symbols, name="gene"))

    def __str__(self) -> str:
        return (
            f"{self.path}: {len(self.symbols)} of {self.n_panel} panel genes, {self.vectors.shape[1]} numbers each; "
            f"{self.source}"
        )


def gene_embeddings(
    config: ConfigLike,
    *,
    out: PathLike,
    changes: Changes | None = None,
    fold: str | None = None,
    training_only: bool = False,
    seed: int | None = None,
    overwrite: bool = False,
) -> TrainedEmbeddings:
    """Trains embeddings of a config's panel from the co-expression of its sections.

    Args:
        config: of `pretrain`.
        out: text file to write, in Gene2Vec's form; usable as ``genes.embeddings``.
        changes: of the config.
        fold: held-out unit: the training sections of its fold alone are used.
        training_only: the same, where the split has one fold.
        seed: None: the config's.
        overwrite: replace the file if it is there.

    Raises:
        InputError: the config, its sections or its panel are wrong.
    """
    settings, path = resolve_config(PretrainConfig, config, changes or {}), Path(out)
    refuse_taken(path, overwrite=overwrite)
    names = read_names(settings.genes)
    chosen = sections_for_genes(settings, names, fold=fold, training_only=training_only)
    panel = choose_panel(chosen.sections, settings.genes, names)
    trained = train_coexpression(
        chosen.sections,
        panel.symbols,
        dim=settings.genes.embedding_dim,
        seed=settings.seed if seed is None else seed,
    )
    write_gene2vec(path, trained)
    return TrainedEmbeddings(
        path, tuple(trained.symbols), trained.vectors, len(panel.symbols), trained.source, chosen.note
    )
