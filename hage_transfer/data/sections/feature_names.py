"""What a feature's name tells beside the gene: that it is none, that the name is missing, a genome, or a date."""

import logging
import re
from collections.abc import Sequence

import numpy as np

from hage_transfer.errors import some

log = logging.getLogger(__name__)

_MISSING = frozenset({"nan", "NaN", "NA", "N/A", "#N/A", "<NA>", "None", "null", "NULL"})
_NO_GENE = re.compile(
    r"(NegControl(Probe|Codeword)|(Unassigned|Deprecated)_?Codeword|Intergenic_?Region|antisense|BLANK|DEPRECATED)_.+"
    r"|Blank-\d+|NegPrb\d+|Negative\d+|SystemControl\d+|FalseCode\d+"  # MERSCOPE, CosMx; the line above is of 10x
    r"|ERCC-\d{5}"  # spike-ins
    r"|_*ambiguous\[.*|__(no_feature|ambiguous|too_low_aQual|not_aligned|alignment_not_unique)"  # HTSeq
)
_GENOME = re.compile(r"^(GRCh\d\d|hg\d\d|GRCm\d\d|mm\d\d?|GRCr\d|mRatBN\d+|rn\d)_+(?=.)")
_MONTH = "(jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec)"
_DATE = re.compile(
    rf"\d{{1,2}}-{_MONTH}|{_MONTH}-\d{{1,2}}|\d{{4}}-\d\d-\d\d([ T]00:00:00)?|\d{{1,2}}[/.]\d{{1,2}}[/.](\d\d){{1,2}}",
    re.I,
)


def is_missing_name(name: str) -> bool:
    """Whether it is empty, or what pandas and R write for a gene without a name; no gene is called so."""
    return not name or name in _MISSING


def are_genes(names: Sequence[str]) -> np.ndarray:
    """Mask of the features that are genes: control probes, blank codes, spike-ins and HTSeq's sums are none."""
    return np.array([_NO_GENE.fullmatch(name) is None for name in names], dtype=bool)


def without_dates(path: object, names: Sequence[str], ids: Sequence[str] | None) -> list[str]:
    """Names with the id for each that a spreadsheet made a date of (MARCHF1: 1-Mar), where there is one; said."""
    dates = [name for name in names if _DATE.fullmatch(name)]
    if not dates:
        return list(names)
    log.warning(
        "%s: %d genes are called as dates (%s), which spreadsheets make of MARCH1, SEPT2 or DEC1; %s",
        path,
        len(dates),
        some(list(dict.fromkeys(dates)), 5),
        "they go by their ids" if ids else "take the table from before it was opened in one, or name them",
    )
    return [(ids[place] or name) if ids and _DATE.fullmatch(name) else name for place, name in enumerate(names)]


def without_genome(path: object, names: Sequence[str], ids: Sequence[str] | None) -> tuple[list[str], list[str] | None]:
    """Names and ids without the genome that Cell Ranger sets before all of them (`GRCh38_TP53`).

    Genes of several genomes keep it, and so do ids whose names have none; the log says both.
    """
    genomes = sorted({match[1] for name in names if (match := _GENOME.match(name))})
    kept = list(names), None if ids is None else list(ids)
    if len(genomes) == 1 and all(map(_GENOME.match, names)):
        log.info("%s: genes are called without the genome before their names (%s_)", path, genomes[0])
        bare, bare_ids = ([_GENOME.sub("", name, count=1) for name in one] for one in (names, ids or ()))
        return bare, bare_ids if ids else None
    if len(genomes) > 1:
        log.warning(
            "%s: genes of %d genomes (%s), each under its genome's name; a panel of genes of one (genes.panel) leaves "
            "out the others",
            path,
            len(genomes),
            some(genomes),
        )
    return kept
