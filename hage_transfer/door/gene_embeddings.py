"""`gene_embeddings`: a vector a gene, from co-expression, gene sets, files of vectors, or several side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from hage_transfer.config import Changes
from hage_transfer.data.co_expression import GeneEmbeddings, train_coexpression
from hage_transfer.data.gene_vectors import read_vectors, restricted, side_by_side, write_vectors
from hage_transfer.door.gene_panel import refuse_taken
from hage_transfer.door.given import ConfigLike, PathLike
from hage_transfer.door.recipes import resolve_config
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.gene_choice import sections_for_genes
from hage_transfer.pretrain.genes import choose_panel, read_names

CO_EXPRESSION = "co-expression"


@dataclass(frozen=True)
class TrainedEmbeddings:
    """Gene embeddings and what they were made of.

    Attributes:
        path: of the file.
        symbols: genes that have a vector.
        vectors: of them.
        n_panel: genes of the panel; 0 without one.
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
        of_panel = f" of {self.n_panel} panel" if self.n_panel else ""
        return f"{self.path}: {len(self.symbols)}{of_panel} genes, {self.vectors.shape[1]} numbers each; {self.source}"


def gene_embeddings(
    config: ConfigLike | None = None,
    *,
    out: PathLike,
    sources: Sequence[PathLike] = (CO_EXPRESSION,),
    dim: int | None = None,
    changes: Changes | None = None,
    fold: str | None = None,
    training_only: bool = False,
    seed: int | None = None,
    overwrite: bool = False,
) -> TrainedEmbeddings:
    """Makes a vector a gene: from the co-expression of a config's sections, from gene sets, from files, or of several.

    Args:
        config: of `pretrain`; needed for co-expression. With it the panel's genes alone are written.
        out: text file to write, in Gene2Vec's form, with a card beside it (how made, whose counts read); usable as
            ``genes.embeddings``.
        sources: ``co-expression`` (its form is the config's ``genes.co_expression``), and files: gene sets (GMT, GAF
            with its OBO beside it, AnnotationDbi sqlite, genes x sets table), Gene2Vec or word2vec text, `.npy` with
            its genes in the `.txt` of the same name, `.h5ad` or `.h5ad:KEY` of its varm. Several stand side by side,
            each centred and of one scale.
        dim: numbers of a vector that is made here; None: the config's ``genes.embedding_dim``, 200 without one.
        changes: of the config.
        fold: held-out unit: the training sections of its fold alone are used.
        training_only: the same, where the split has one fold.
        seed: None: the config's, 0 without one.
        overwrite: replace the file if it is there.

    Raises:
        InputError: the config, its sections, its panel or a source are wrong.
    """
    path = Path(out)
    refuse_taken(path, overwrite=overwrite)
    if config is None:
        if CO_EXPRESSION in sources or changes or fold or training_only:
            raise ConfigError(f"{CO_EXPRESSION}, changes=, fold=, training_only= are of a config's sections: give one")
        made = side_by_side([read_vectors(str(one), dim=dim or 200) for one in sources])
        note = "made of no counts of sections at hand, as far as the files tell"
        return _written(path, made, 0, note)
    settings = resolve_config(PretrainConfig, config, changes or {})
    names = read_names(settings.genes)
    chosen = sections_for_genes(settings, names, fold=fold, training_only=training_only)
    panel = choose_panel(chosen.sections, settings.genes, names).symbols
    width = dim or settings.genes.embedding_dim
    parts = [
        train_coexpression(
            chosen.sections,
            panel,
            dim=width,
            seed=settings.seed if seed is None else seed,
            form=settings.genes.co_expression,
        )
        if one == CO_EXPRESSION
        else restricted(read_vectors(str(one), dim=width), panel)
        for one in sources
    ]
    for part in parts:
        if not part.symbols:
            raise DataError(f"{part.source}: has none of the panel's {len(panel)} genes; are both of one species?")
    made = side_by_side(parts)
    note = chosen.note if made.counts_read else "panel " + chosen.note + "; the vectors have read no counts"
    return _written(path, made, len(panel), note)


def _written(path: Path, made: GeneEmbeddings, n_panel: int, note: str) -> TrainedEmbeddings:
    write_vectors(path, made)
    return TrainedEmbeddings(path, tuple(made.symbols), made.vectors, n_panel, made.source, note)
