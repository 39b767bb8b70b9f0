"""Highly variable genes of ST sections, and which rule drops which gene."""

import logging
from collections.abc import Sequence

import anndata as ad
import numpy as np
import pandas as pd
from jaxtyping import Int

from hage_transfer.errors import DataError

log = logging.getLogger(__name__)

RULES = ("never_seen", "n_top", "min_sections", "min_spots")
"""The rules in the order in which they judge; a gene's `rule` is the first that drops it."""


def judge_variable_genes(
    sections: Sequence[ad.AnnData], *, n_top: int, min_sections: int, min_spots: int
) -> pd.DataFrame:
    """Judges every gene that any section lists.

    Args:
        sections: training sections alone.
        n_top: highly variable genes taken from each section (scanpy, flavour `seurat`).
        min_sections: keep genes among the top of at least so many sections.
        min_spots: keep genes with a count above 0 in at least so many spots of all sections together.

    Returns:
        `gene` (sorted), `kept`, `rule` (the first that drops it, else ""), `reason` with the numbers met and wanted.

    Raises:
        DataError: no gene is kept; the message says which rule emptied the panel.
    """
    genes = sorted({gene for section in sections for gene in section.var_names})
    n_sections, n_spots = _count(sections, genes, n_top=n_top)
    passed = {
        "never_seen": n_spots > 0,
        "n_top": n_sections > 0,
        "min_sections": n_sections >= min_sections,
        "min_spots": n_spots >= min_spots,
    }
    rule = np.full(len(genes), "", dtype=object)
    for name in reversed(RULES):
        rule[~passed[name]] = name
    top, wanted = f"among the top {n_top} of {{}} of {len(sections)} sections", f"min_sections = {min_sections}"
    reasons = {
        "never_seen": f"no count in any of {len(sections)} sections",
        "n_top": f"{top}, wanted {wanted}",
        "min_sections": f"{top}, fewer than {wanted}",
        "min_spots": f"{top}, but seen in {{}} spots, fewer than min_spots = {min_spots}",
        "": f"{top}, seen in {{}} spots",
    }
    report = pd.DataFrame({"gene": genes, "kept": rule == "", "rule": rule})
    report["reason"] = [reasons[r].format(a, b) for r, a, b in zip(rule, n_sections, n_spots, strict=True)]
    if not report["kept"].any():
        raise DataError(
            _why_empty(n_sections, n_spots, n_given=len(sections), min_sections=min_sections, min_spots=min_spots)
        )
    counts = "; ".join(f"{name} dropped {int((rule == name).sum()):,}" for name in RULES)
    log.info("panel: %d of %d genes of %d sections (%s)", report["kept"].sum(), len(genes), len(sections), counts)
    return report


def _count(
    sections: Sequence[ad.AnnData], genes: Sequence[str], *, n_top: int
) -> tuple[Int[np.ndarray, " gene"], Int[np.ndarray, " gene"]]:
    """In how many sections each gene is among the top, and in how many spots of all of them it is seen."""
    place = pd.Index(genes)
    n_sections, n_spots = np.zeros(len(genes), dtype=int), np.zeros(len(genes), dtype=int)
    for section in sections:
        n_sections[place.get_indexer(pd.Index(_top_genes(section, n_top)))] += 1
        n_spots[place.get_indexer(section.var_names)] += np.asarray((section.X > 0).sum(axis=0)).ravel()
    return n_sections, n_spots


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


def _why_empty(
    n_sections: Int[np.ndarray, " gene"],
    n_spots: Int[np.ndarray, " gene"],
    *,
    n_given: int,
    min_sections: int,
    min_spots: int,
) -> str:
    variable, enough = n_sections > 0, n_sections >= min_sections
    if not variable.any():
        return f"empty panel: none of {len(n_sections):,} genes has a count in any of {n_given} training sections"
    if not enough.any():
        return (
            f"empty panel: genes.min_sections = {min_sections} keeps 0 of {variable.sum():,} genes that are highly "
            f"variable in any of {n_given} training sections; the largest value that keeps any is {n_sections.max()}"
        )
    return (
        f"empty panel: genes.min_spots = {min_spots} keeps 0 of the {enough.sum():,} genes that "
        f"genes.min_sections = {min_sections} leaves of {variable.sum():,}; the largest value that keeps any is "
        f"{n_spots[enough].max()}"
    )
