"""`gene_coverage`: how far gene embeddings cover a panel."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hage_transfer.config import Changes
from hage_transfer.data.gene_embeddings import Coverage, GeneEmbeddings, near_names
from hage_transfer.door.gene_panel import refuse_taken
from hage_transfer.door.given import ConfigLike, PathLike
from hage_transfer.door.recipes import resolve_config
from hage_transfer.errors import ConfigError
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.gene_choice import measure_coverage
from hage_transfer.running.atomic import write_csv

COLUMNS = ("gene", "covered", "embedding", "reason", "near")


@dataclass(frozen=True)
class GeneCoverage:
    """Panel genes with and without an embedding.

    Attributes:
        covered: genes, the names that embeddings have for them, and why the others have none.
        embeddings: that were looked up.
        near: names that a missing gene may go by.
    """

    covered: Coverage
    embeddings: GeneEmbeddings
    near: dict[str, tuple[str, ...]]

    @property
    def share(self) -> float:
        """Of the panel's genes that have an embedding."""
        return len(self.covered.symbols) / (len(self.covered.symbols) + len(self.covered.missing))

    def rows(self) -> list[dict[str, Any]]:
        """A row a gene: covered, under which name; or why not, and near names."""
        found = self.covered
        return [
            *({"gene": one, "covered": True, "embedding": found.renamed.get(one, one)} for one in found.symbols),
            *(
                {"gene": one, "covered": False, "reason": found.reasons[one], "near": "|".join(self.near[one])}
                for one in found.missing
            ),
        ]

    def frame(self) -> pd.DataFrame:
        """``rows`` as a table."""
        return pd.DataFrame(self.rows(), columns=list(COLUMNS)).fillna("")

    def _repr_html_(self) -> str:
        missing = self.frame().query("not covered")
        return f"<p>{self.share:.1%} have an embedding in {self.embeddings.source}</p>" + missing.to_html(max_rows=40)


def gene_coverage(
    config: ConfigLike | None = None,
    *,
    changes: Changes | None = None,
    panel: PathLike | None = None,
    embeddings: PathLike | None = None,
    names: PathLike | None = None,
    out: PathLike | None = None,
    overwrite: bool = False,
) -> GeneCoverage:
    """How many panel genes have an embedding, under which names, and what the missing ones may be called.

    Args:
        config: of `pretrain`, whose ``genes`` keys say what is not given; None: both files are given.
        changes: of the config.
        panel: file, one symbol a line.
        embeddings: Gene2Vec or word2vec text file.
        names: csv ``alias,symbol``, or HGNC's table.
        out: csv to write, a row a gene; None: none.
        overwrite: replace the file if it is there.

    Raises:
        InputError: a file is wrong, nothing says what the panel or the embeddings are, or no gene has one.
    """
    if config is None and changes:
        raise ConfigError("changes= are of a config; give one, or both panel= and embeddings= files")
    path = None if out is None else Path(out)
    if path is not None:
        refuse_taken(path, overwrite=overwrite)
    settings = None if config is None else resolve_config(PretrainConfig, config, changes or {})
    files = {"panel": panel, "embeddings": embeddings, "names": names}
    covered, found = measure_coverage(
        settings, **{key: None if one is None else Path(one) for key, one in files.items()}
    )
    coverage = GeneCoverage(covered, found, near_names(covered.missing, found.symbols))
    if path is not None:
        write_csv(path, list(COLUMNS), coverage.rows())
    return coverage
