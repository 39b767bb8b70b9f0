"""The gene panel: read from a file, or highly variable genes of the training sections, with a reason for each gene."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anndata as ad
import numpy as np
import pandas as pd
from jaxtyping import Float

from hage_transfer.data.section_form import check_unique, some
from hage_transfer.errors import DataError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Panel:
    """The genes that a model predicts, and how each was judged.

    Attributes:
        symbols: the panel, in its order.
        report: a row for each gene judged: `gene`, `kept`, `reason`.
    """

    symbols: tuple[str, ...]
    report: pd.DataFrame


def select_panel(
    sections: Sequence[ad.AnnData],
    *,
    panel: Literal["hvg"] | Path,
    n_top: int = 1000,
    min_sections: int = 2,
    min_spots: int = 100,
) -> Panel:
    """Selects the panel from training sections alone.

    Args:
        sections: training sections; a held-out one among them would leak.
        panel: a file with one symbol a line (blank lines and `#` comments are skipped), or `hvg`.
        n_top: hvg: highly variable genes taken from each section.
        min_sections: hvg: keep genes among the top of at least so many sections.
        min_spots: hvg: keep genes with a count above 0 in at least so many spots of all sections together.

    Raises:
        DataError: no section; the file is missing, empty, lists a gene twice or one that no section has; or a rule of
            hvg leaves no gene.
    """
    if not sections:
        raise DataError("a panel needs at least one training section, there is none")
    if panel == "hvg":
        return _highly_variable(sections, n_top=n_top, min_sections=min_sections, min_spots=min_spots)
    return _from_file(Path(panel), sections)


def panel_counts(section: ad.AnnData, symbols: Sequence[str]) -> Float[np.ndarray, "spot gene"]:
    """Raw counts (float32) of the panel's genes; genes that the section does not list are zeros."""
    columns = section.var_names.get_indexer(pd.Index(symbols))
    present = columns >= 0
    counts = np.zeros((section.n_obs, len(columns)), dtype=np.float32)
    counts[:, present] = section.X[:, columns[present]].toarray()
    return counts


def read_symbols(path: Path) -> list[str]:
    """Symbols of a file, one a line; blank lines and what follows a `#` are skipped.

    Raises:
        DataError: missing, not text, empty, two words in a line, or a symbol twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path}: no such panel file; genes.panel is a file with one symbol a line, or hvg") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a panel, text with one symbol a line ({error})") from None
    symbols = []
    for number, line in enumerate(lines, start=1):
        words = line.split("#")[0].split()
        if len(words) > 1:
            raise DataError(f"{path}: line {number} holds {len(words)} words ({some(words, 3)}), wanted one symbol")
        symbols += words
    if not symbols:
        raise DataError(f"{path}: the panel is empty; give one gene symbol a line")
    check_unique(path, "gene", symbols)
    return symbols


def _from_file(path: Path, sections: Sequence[ad.AnnData]) -> Panel:
    symbols = read_symbols(path)
    n_sections = np.sum([pd.Index(symbols).isin(section.var_names) for section in sections], axis=0)
    unknown = [symbol for symbol, n in zip(symbols, n_sections, strict=True) if not n]
    if unknown:
        raise DataError(
            f"{path}: {len(unknown)} of {len(symbols)} genes are in none of the {len(sections)} training sections: "
            f"{some(unknown, 20)}; remove them, or use the sections' symbols for them"
        )
    reasons = [f"listed in {path.name}; {n} of {len(sections)} training sections have it" for n in n_sections]
    return Panel(tuple(symbols), pd.DataFrame({"gene": symbols, "kept": True, "reason": reasons}))


def _highly_variable(sections: Sequence[ad.AnnData], *, n_top: int, min_sections: int, min_spots: int) -> Panel:
    among_top: dict[str, int] = {}
    for section in sections:
        for gene in _top_genes(section, n_top):
            among_top[gene] = among_top.get(gene, 0) + 1
    genes = sorted(among_top)
    n_sections = np.array([among_top[gene] for gene in genes], dtype=int)
    n_spots = _spots_seen(sections, genes)
    report = pd.DataFrame({"gene": genes})
    report["kept"] = (n_sections >= min_sections) & (n_spots >= min_spots)
    report["reason"] = [
        _reason(a, b, n_top=n_top, min_sections=min_sections, min_spots=min_spots)
        for a, b in zip(n_sections, n_spots, strict=True)
    ]
    if not report["kept"].any():
        raise DataError(_why_empty(n_sections, n_spots, len(sections), min_sections, min_spots))
    symbols = tuple(report["gene"][report["kept"]])
    log.info(
        "panel: %d of %d genes among the top %d of any of %d sections (min_sections %d, min_spots %d)",
        len(symbols),
        len(genes),
        n_top,
        len(sections),
        min_sections,
        min_spots,
    )
    return Panel(symbols, report)


def _top_genes(section: ad.AnnData, n_top: int) -> list[str]:
    """Highly variable genes of one section (scanpy, flavour `seurat` on log-normalised counts), among genes it saw."""
    import scanpy as sc

    seen = np.asarray(section.X.sum(axis=0)).ravel() > 0
    filled = np.asarray(section.X.sum(axis=1)).ravel() > 0  # spots without a count have no normalised expression
    table = ad.AnnData(section.X[filled][:, seen], var=pd.DataFrame(index=section.var_names[seen]))
    if n_top >= table.n_vars:
        return list(table.var_names)
    sc.pp.normalize_total(table, target_sum=1e4)
    sc.pp.log1p(table)
    ranked = sc.pp.highly_variable_genes(table, n_top_genes=n_top, flavor="seurat", inplace=False)
    return list(table.var_names[ranked["highly_variable"].to_numpy()])


def _spots_seen(sections: Sequence[ad.AnnData], genes: Sequence[str]) -> np.ndarray:
    seen = np.zeros(len(genes), dtype=int)
    for section in sections:
        columns = section.var_names.get_indexer(pd.Index(genes))
        present = columns >= 0
        seen[present] += np.asarray((section.X > 0).sum(axis=0)).ravel()[columns[present]]
    return seen


def _reason(n_sections: int, n_spots: int, *, n_top: int, min_sections: int, min_spots: int) -> str:
    top = f"among the top {n_top} of {n_sections} sections"
    if n_sections < min_sections:
        return f"{top}, fewer than min_sections = {min_sections}"
    if n_spots < min_spots:
        return f"{top}, but seen in {n_spots} spots, fewer than min_spots = {min_spots}"
    return f"{top}, seen in {n_spots} spots"


def _why_empty(n_sections: np.ndarray, n_spots: np.ndarray, n_given: int, min_sections: int, min_spots: int) -> str:
    enough = n_sections >= min_sections
    if not enough.any():
        return (
            f"empty panel: genes.min_sections = {min_sections} keeps 0 of {len(n_sections):,} genes that are highly "
            f"variable in any of {n_given} training sections; the largest value that keeps any is {n_sections.max()}"
        )
    return (
        f"empty panel: genes.min_spots = {min_spots} keeps 0 of the {int(enough.sum()):,} genes that "
        f"genes.min_sections = {min_sections} leaves of {len(n_sections):,}; the largest value that keeps any is "
        f"{n_spots[enough].max()}"
    )
