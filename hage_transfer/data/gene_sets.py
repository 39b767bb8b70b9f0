"""Gene sets by file: GMT, GO annotation (GAF, with its OBO), AnnotationDbi's sqlite, gene x set tables."""

import gzip
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

import pandas as pd

from hage_transfer.errors import DataError, some

Membership = tuple[str, str]
"""A gene and a set that holds it."""
_CORNER = re.compile(r"Unnamed: 0|(gene|symbol|name|id)s?|gene[_ ](symbol|name|id)s?", re.IGNORECASE)
"""Names above a table's first column; R leaves it out, and a row is then rightly a cell longer."""
_WEIGHTED = re.compile(r".+,\d+(\.\d+)?")
_GAF_COLUMNS = 15
_SYMBOL, _QUALIFIER, _TERM = 2, 3, 4
_GO_TABLES = ("go_bp_all", "go_cc_all", "go_mf_all")
WANTED = (
    "wanted a .gmt, a GO annotation .gaf (with its .obo beside it for ancestors), an AnnotationDbi .sqlite "
    "(org.Hs.eg.sqlite), or a .csv or .tsv of genes by sets; each may be gzipped but the sqlite"
)
KINDS = (".gmt", ".gaf", ".sqlite", ".csv", ".tsv")


def kind_of(path: Path) -> str:
    """The ending of a file, `.gz` left out, in small letters."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def read_gene_sets(path: Path) -> list[Membership]:
    """Which gene is in which set, each pair once, in sorted order.

    Args:
        path: `.gmt` (set, description, genes, tab-separated); `.gaf` of GO, its genes joined by the terms above theirs
            where one `.obo` lies beside it (annotations with NOT are left out); `.sqlite` of Bioconductor's
            AnnotationDbi (GO with ancestors); `.csv` or `.tsv`: first column genes, then a column a set, 0 or 1.

    Raises:
        DataError: missing, of another kind, not in its form, or without a gene in a set.
    """
    kind = kind_of(path)
    if kind not in KINDS:
        raise DataError(f"{path}: no file of gene sets by its ending; {WANTED}")
    try:
        if kind == ".sqlite":
            found = _sqlite(path)
        else:
            with _opened(path) as handle:
                read = {".gmt": _gmt, ".gaf": _gaf}.get(kind, _table)
                found = set(read(path, handle))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file of gene sets") from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as gene sets ({error}); {WANTED}") from None
    if not found:
        raise DataError(f"{path}: no gene is in any set; {WANTED}")
    return sorted(found)


def _opened(path: Path) -> IO[str]:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig")
    return path.open(encoding="utf-8-sig")


def _gmt(path: Path, lines: Iterable[str]) -> Iterator[Membership]:
    described: list[tuple[str, str]] = []
    members: set[str] = set()
    for number, line in enumerate(lines, start=1):
        cells = [cell.strip() for cell in line.rstrip("\r\n").split("\t")]
        if not any(cells):
            continue
        genes = [gene for gene in cells[2:] if gene]
        if not cells[0] or not genes:
            raise DataError(f"{path}: line {number} has no set or no gene; GMT is set, description, genes, by tabs")
        weighted = next((gene for gene in genes if _WEIGHTED.fullmatch(gene)), None)
        if weighted is not None:
            raise DataError(f"{path}: line {number}: {weighted!r} has a weight (Enrichr); wanted genes alone")
        described.append((cells[0].casefold(), cells[1]))
        members.update(genes)
        yield from ((gene, cells[0]) for gene in genes)
    said = [(name, text) for name, text in described if text]
    of_genes = [text for name, text in said if text in members and text.casefold() not in name]  # a regulon's own gene
    if len(of_genes) > 1 and 2 * len(of_genes) > len(said):
        raise DataError(
            f"{path}: its second column holds genes ({some(of_genes, 3)}), wanted a description, since genes begin in "
            "the third; put one there (na)"
        )


def _gaf(path: Path, lines: Iterable[str]) -> Iterator[Membership]:
    beside = sorted(path.parent.glob("*.obo"))
    if len(beside) > 1:
        raise DataError(f"{path}: {len(beside)} .obo files beside it ({some([one.name for one in beside])}); keep one")
    above = _ancestors(beside[0]) if beside else {}
    for number, line in enumerate(lines, start=1):
        if line.startswith("!") or not line.strip():
            continue
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) < _GAF_COLUMNS:
            raise DataError(f"{path}: line {number} has {len(cells)} columns, GAF has {_GAF_COLUMNS} or more")
        if "NOT" in cells[_QUALIFIER].split("|"):
            continue
        for term in {cells[_TERM]} | above.get(cells[_TERM], set()):
            yield cells[_SYMBOL], term


def _ancestors(path: Path) -> dict[str, set[str]]:
    """All terms above each, by is_a and part_of."""
    parents: dict[str, set[str]] = {}
    term = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            term = ""
        elif line.startswith("id: GO:"):
            term = line.split()[1]
        elif term and line.startswith(("is_a: ", "relationship: part_of ")):
            parents.setdefault(term, set()).add(line.removeprefix("relationship: part_of ").removeprefix("is_a: ")[:10])
    above: dict[str, set[str]] = {}

    for start in parents:
        seen: set[str] = set()
        left = [start]
        while left:
            new = parents.get(left.pop(), set()) - seen
            seen |= new
            left += new
        above[start] = seen
    return above


def _sqlite(path: Path) -> set[Membership]:
    if not path.is_file():
        raise FileNotFoundError
    found: set[Membership] = set()
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as base:
            for table in _GO_TABLES:
                found |= set(base.execute(f"SELECT g.symbol, t.go_id FROM {table} t JOIN gene_info g ON t._id = g._id"))
    except sqlite3.Error as error:
        raise DataError(f"{path}: no AnnotationDbi package of genes ({error}); {WANTED}") from None
    return found


def _table(path: Path, handle: IO[str]) -> Iterator[Membership]:
    try:
        table = pd.read_csv(handle, sep="\t" if kind_of(path) == ".tsv" else ",", index_col=0)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path}: cannot be read as a table of genes by sets ({error})") from None
    corner = [column for column in table.columns if _CORNER.fullmatch(str(column))]
    if corner:
        raise DataError(f"{path}: its rows have a cell more than its header, which would move all genes' sets by one")
    wrong = [column for column in table.columns if not table[column].isin([0, 1]).all()]
    if wrong or table.index.hasnans:
        raise DataError(
            f"{path}: {f'columns {some(wrong, 3)} hold other values than 0 and 1' if wrong else 'a gene has no name'}; "
            "wanted genes in the first column, then a column a set, 0 or 1"
        )
    rows, columns = table.to_numpy(dtype=bool).nonzero()
    yield from zip(table.index[rows].astype(str), table.columns[columns].astype(str), strict=True)
