"""Spots of few counts, which ``data.min_counts`` leaves out of training and scoring."""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
from anndata import AnnData

from hage_transfer.errors import DataError, some

log = logging.getLogger(__name__)
LEFT_OUT = "spots_below_min_counts"
"""Among a section's ``mismatches``."""


def leave_out_shallow(sections: Sequence[AnnData], min_counts: int) -> list[AnnData]:
    """The sections without the spots whose counts over all genes are fewer; how many is logged and kept.

    Features are attached before, so that the picture of a shallow spot still serves its neighbours.

    Args:
        sections: as they were read.
        min_counts: 0 keeps all.

    Raises:
        DataError: no spot of a section is left.
    """
    kept = [deep_spots(section, min_counts) for section in sections]
    tell_shallow(kept, min_counts)
    return kept


def tell_shallow(sections: Sequence[AnnData], min_counts: int) -> None:
    """Logs how many spots were left out of which section."""
    if min_counts:
        told = [f"{name} {count}" for name, count in shallow_counts(sections).items()] or ["none"]
        log.info("left out, spots below data.min_counts = %d: %s", min_counts, some(told, 40))


def shallow_counts(sections: Sequence[AnnData]) -> dict[str, int]:
    """How many spots were left out of each section that lost any."""
    found = {s.uns["section"]["name"]: int(s.uns["section"]["mismatches"].get(LEFT_OUT, 0)) for s in sections}
    return {name: count for name, count in found.items() if count}


def shallow_note(left_out: Mapping[str, int], n_spots: Mapping[str, int], min_counts: int) -> list[str]:
    """Beside a gene table: how many spots of which section neither trained nor were scored."""
    if not left_out:
        return []
    told = [f"{name} {count} of {count + n_spots[name]}" for name, count in left_out.items()]
    return [f"data.min_counts = {min_counts} left spots out of training and scoring: {some(told, 40)}"]


def deep_spots(section: AnnData, min_counts: int) -> AnnData:
    """One section as ``leave_out_shallow``, whose errors it raises."""
    if not min_counts:
        return section
    counts = np.asarray(section.X.sum(axis=1)).ravel()
    rows, about = counts >= min_counts, section.uns["section"]
    if not rows.any():
        raise DataError(
            f"data.min_counts = {min_counts} leaves no spot of section {about['name']}, whose deepest has "
            f"{counts.max():.0f} counts; lower it, or leave the section out (data.sections)"
        )
    deep = section[rows].copy()
    mismatches = about["mismatches"] | {LEFT_OUT: int((~rows).sum())}
    deep.uns["section"] = dict(about) | {"mismatches": mismatches}
    return deep
