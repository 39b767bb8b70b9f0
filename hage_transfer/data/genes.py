"""The gene panel: read from a file, or highly variable genes of the training sections, with a reason for each gene."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float

from hage_transfer.data.gene_names import LISTED_AS, FoundNames, GeneNames, carried_names, resolve
from hage_transfer.data.gene_variability import judge_variable_genes
from hage_transfer.data.sections.form import check_unique
from hage_transfer.errors import DataError, some

log = logging.getLogger(__name__)

_NO_SYMBOL = frozenset('",;')
_MOST_UNLISTED = 0.1


@dataclass(frozen=True)
class Panel:
    """The genes that a model predicts, and how each was judged.

    Attributes:
        symbols: the panel, in its order.
        report: a row for each gene judged: `gene`, `kept`, `rule` (the one that dropped it, else ""), `reason`,
            `resolved_from` (the names it goes by in the panel file or the sections' files, where they differ).
    """

    symbols: tuple[str, ...]
    report: pd.DataFrame

    def without(self, reasons: Mapping[str, str], *, rule: str) -> "Panel":
        """The panel without some of its genes, each with its reason in the report."""
        dropped = self.report["gene"].isin(reasons) & self.report["kept"]
        report = self.report.assign(
            kept=self.report["kept"] & ~dropped,
            rule=self.report["rule"].where(~dropped, rule),
            reason=self.report["reason"].where(~dropped, self.report["gene"].map(reasons)),
        )
        return Panel(tuple(symbol for symbol in self.symbols if symbol not in reasons), report)


def select_panel(
    sections: Sequence[ad.AnnData],
    *,
    panel: Literal["hvg"] | Path,
    n_top: int = 1000,
    min_sections: int = 2,
    min_spots: int = 100,
    names: GeneNames | None = None,
) -> Panel:
    """Selects the panel from training sections alone.

    Args:
        sections: training sections; a held-out one among them would leak.
        panel: a file with one symbol, alias or Ensembl id a line (blank lines and `#` comments are skipped), or `hvg`.
        n_top: hvg: highly variable genes taken from each section.
        min_sections: hvg: keep genes among the top of at least so many sections.
        min_spots: hvg: keep genes with a count above 0 in at least so many spots of all sections together.
        names: file: aliases; the ids that the sections carry are resolved without.

    Raises:
        DataError: no section; the file is missing, empty, lists a gene twice (under whatever names) or one that no
            section has; or a rule of hvg leaves no gene.
    """
    if not sections:
        raise DataError("a panel needs at least one training section, there is none")
    if panel != "hvg":
        chosen = _from_file(Path(panel), sections, names)
        _say_unlisted(sections, chosen.symbols)
        return chosen
    report = judge_variable_genes(sections, n_top=n_top, min_sections=min_sections, min_spots=min_spots)
    report["resolved_from"] = [_joined(found) for found in _listed_as(sections, list(report["gene"]))]
    chosen = Panel(tuple(report["gene"][report["kept"]]), report)
    _say_unlisted(sections, chosen.symbols)
    return chosen


def panel_counts(section: ad.AnnData, symbols: Sequence[str]) -> Float[np.ndarray, "spot gene"]:
    """Raw counts (float32) of the panel's genes; genes that the section does not list are zeros."""
    return sparse_panel_counts(section, symbols).toarray()


def sparse_panel_counts(section: ad.AnnData, symbols: Sequence[str]) -> sp.csr_matrix:
    """As ``panel_counts``, in order of genes within each spot."""
    columns = section.var_names.get_indexer(pd.Index(symbols))
    present = np.flatnonzero(columns >= 0)
    found = sp.csr_matrix(section.X[:, columns[present]], dtype=np.float32)
    counts = sp.csr_matrix((found.data, present[found.indices], found.indptr), shape=(section.n_obs, len(columns)))
    counts.sort_indices()
    return counts


def read_symbols(path: Path) -> list[str]:
    """Names of a file, one a line; blank lines and what follows a `#` are skipped.

    Raises:
        DataError: missing, not text, empty, two words in a line, a line of csv, or a name twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path}: no such panel file; genes.panel is a file with one symbol a line, or hvg") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a panel, text with one symbol a line ({error})") from None
    symbols = []
    for number, line in enumerate(lines, start=1):
        words = line.split("#")[0].split()
        if len(words) > 1:
            raise DataError(f"{path}: line {number} holds {len(words)} words ({some(words, 3)}), wanted one symbol")
        if words and (_NO_SYMBOL & set(words[0]) or not words[0].isprintable()):
            raise DataError(
                f"{path}: line {number} is {words[0]!a}, wanted one symbol, without quotes, commas or what is not seen"
            )
        symbols += words
    if not symbols:
        raise DataError(f"{path}: the panel is empty; give one gene symbol a line")
    check_unique(path, "gene", symbols)
    return symbols


def _from_file(path: Path, sections: Sequence[ad.AnnData], names: GeneNames | None) -> Panel:
    wanted = read_symbols(path)
    carried = carried_names(sections)
    resolution = resolve(wanted, carried.symbols, names.joined(carried) if names else carried)
    if resolution.unresolved:
        reasons = [f"{name} ({why})" if why != "not listed" else name for name, why in resolution.unresolved.items()]
        raise DataError(
            f"{path}: {len(reasons)} of {len(wanted)} genes are in none of the {len(sections)} training sections: "
            f"{some(reasons, 20)}; remove them, or use the sections' symbols for them"
        )
    _check_one_row_a_gene(path, resolution)
    symbols = [resolution.found[name] for name in wanted]
    if resolution.renamed:
        described = [f"{name} is {symbol}" for name, symbol in resolution.renamed.items()]
        log.info("%s: %d of %d names resolved (%s)", path.name, len(described), len(wanted), some(described))
    n_sections = np.sum([pd.Index(symbols).isin(section.var_names) for section in sections], axis=0)
    others = _listed_as(sections, symbols)
    report = pd.DataFrame(
        {
            "gene": symbols,
            "kept": True,
            "rule": "",
            "reason": [f"listed in {path.name}; {n} of {len(sections)} training sections have it" for n in n_sections],
            "resolved_from": [
                _joined(dict.fromkeys([*([name] if name != symbol else []), *found]))
                for name, symbol, found in zip(wanted, symbols, others, strict=True)
            ],
        }
    )
    return Panel(tuple(symbols), report)


def _say_unlisted(sections: Sequence[ad.AnnData], symbols: Sequence[str]) -> None:
    """Warns of sections that do not list much of the panel: of another assay, species, or kind of name."""
    n_unlisted = {
        section.uns["section"]["name"]: len(symbols) - int(pd.Index(symbols).isin(section.var_names).sum())
        for section in sections
    }
    lacking = [f"{name} {count}" for name, count in n_unlisted.items() if count > _MOST_UNLISTED * len(symbols)]
    if lacking:
        log.warning(
            "of %d panel genes, sections do not list: %s; they count as 0 there, which is right where a table lists "
            "only what it met; else leave those sections out, name genes alike, or give a panel of what all list",
            len(symbols),
            some(lacking),
        )


def _check_one_row_a_gene(path: Path, resolution: FoundNames) -> None:
    rows: dict[str, list[str]] = {}
    for name, symbol in resolution.found.items():
        rows.setdefault(symbol, []).append(name)
    twice = [f"{' and '.join(names)} are both {symbol}" for symbol, names in rows.items() if len(names) > 1]
    if twice:
        raise DataError(f"{path}: {some(twice)}; a gene has one place in a panel, so remove one of the two")


def _listed_as(sections: Sequence[ad.AnnData], symbols: Sequence[str]) -> list[list[str]]:
    """Names that the sections' files have for each gene, where `rename_to_current` gave it another."""
    found: dict[str, dict[str, None]] = {symbol: {} for symbol in symbols}
    for section in sections:
        if LISTED_AS in section.var:
            renamed = section.var[LISTED_AS]
            for symbol, name in renamed[renamed != ""].items():
                if symbol in found:
                    found[symbol][name] = None
    return [list(names) for names in found.values()]


def _joined(names: Sequence[str] | Mapping[str, None]) -> str:
    return "|".join(names)
