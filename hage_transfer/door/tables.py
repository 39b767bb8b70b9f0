"""Tables that a caller gives as rows in memory: kept as csv beside what is made of them, so that a run can go on."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hage_transfer.door.given import Table, path_of
from hage_transfer.extensions import installed
from hage_transfer.running.atomic import write_text
from hage_transfer.running.run_directory import GIVEN


@dataclass(frozen=True)
class GivenTable:
    """A table's csv.

    Attributes:
        path: of the csv; None where no table was given.
        text: what is to be written there; None where the csv is the caller's own.
    """

    path: Path | None
    text: str | None = None

    def write(self) -> None:
        """Writes the csv, if it is to be written."""
        if self.path is not None and self.text is not None:
            write_text(self.path, self.text)


def given_table(table: Table | None, folder: Path, what: str) -> GivenTable:
    """A csv as it is; rows as ``<folder>/given_<what>.csv``, which is not written yet."""
    if not isinstance(table, pd.DataFrame):
        return GivenTable(path_of(table))
    return GivenTable(folder / f"{GIVEN}{what}.csv", csv_text(table))


def given_genes(embeddings: object, folder: Path) -> tuple[dict[str, object], GivenTable]:
    """The changes of a config that gene embeddings mean, and their file where they are objects.

    Args:
        embeddings: a file, the name of an installed entry, or what ``made_embeddings`` takes; None: the config's own.
        folder: run directory; the file's name there has the hash of the vectors, so that no run goes on with others.

    Raises:
        ConfigError: as ``made_embeddings``.
    """
    if embeddings is None:
        return {}, GivenTable(None)
    if isinstance(embeddings, str) and embeddings in installed("gene_embeddings"):
        return {"genes.installed": embeddings, "genes.embeddings": None}, GivenTable(None)
    if isinstance(embeddings, str | os.PathLike):
        return {"genes.embeddings": embeddings, "genes.installed": None}, GivenTable(None)
    from hage_transfer.data.gene2vec import gene2vec_text
    from hage_transfer.data.gene_embeddings import made_embeddings

    text = gene2vec_text(made_embeddings(embeddings, "given", "gene_embeddings"))
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    table = GivenTable(folder / f"{GIVEN}gene_embeddings_{sha256[:16]}.txt", text)
    return {"genes.embeddings": table.path, "genes.installed": None}, table


def csv_text(table: pd.DataFrame) -> str:
    """Rows as csv; a named index is a column, and whole numbers that pandas made floats are whole again."""
    if table.index.name is not None and table.index.name not in table.columns:
        table = table.reset_index()
    return str(table.convert_dtypes(convert_string=False, convert_boolean=False).to_csv(index=False))
