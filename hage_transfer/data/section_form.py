"""The one form of an ST section that every reader returns: AnnData with counts, pixel coordinates, image, resolution.

``X`` csr float32 raw counts (spot, gene); ``obs_names`` spots; ``var_names`` unique gene symbols; ``var["gene_id"]``
the ids that the file gives them, several of one symbol joined by `|`, where it gives any;
``obsm["spatial"]`` float64 (x, y) of the spots' centres in level-0 pixels; ``obs["section"]``, ``obs["patient"]``;
``uns["section"]`` = ``{"name", "patient", "image_path", "mpp_um_per_px", "mismatches"}``, where ``image_path`` is ""
without an image and ``mpp_um_per_px`` NaN where nothing tells it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float
from scipy.spatial import cKDTree

from hage_transfer.config import SectionsSettings
from hage_transfer.data.section_image import image_size_px
from hage_transfer.errors import DataError


@dataclass(frozen=True)
class RawSection:
    """What a reader found, count rows and spots matched by name already.

    Attributes:
        name: section's name.
        patient: patient the section is of.
        path: the count file, for messages.
        spots: one name a row.
        genes: one symbol a column, unique.
        counts: raw counts.
        coords_px: (x, y) of spot centres, level 0.
        image: full-resolution H&E image, None where there is none.
        mpp_um_per_px: resolution that the data set records, None where it records none.
        mismatches: how many rows or genes did not fit, by kind.
        gene_ids: one a column, "" where unknown; None where the file has none.
    """

    name: str
    patient: str
    path: Path
    spots: Sequence[str]
    genes: Sequence[str]
    counts: sp.csr_matrix
    coords_px: Float[np.ndarray, "spot 2"]
    image: Path | None
    mpp_um_per_px: float | None = None
    mismatches: dict[str, int] = field(default_factory=dict)
    gene_ids: Sequence[str] | None = None


def to_anndata(raw: RawSection, settings: SectionsSettings) -> ad.AnnData:
    """Puts a section into the one form and checks it.

    Raises:
        DataError: a gene or spot twice, a count that is no count, or spots outside the image.
    """
    if not len(raw.spots):
        raise DataError(f"{raw.path}: section {raw.name} has no spot with both counts and a position")
    check_unique(raw.path, "gene", raw.genes)
    check_unique(raw.path, "spot", raw.spots)
    check_counts(raw.path, raw.counts, spots=raw.spots, genes=raw.genes)
    _check_inside(raw)
    ids = {} if raw.gene_ids is None else {"gene_id": [str(gene_id) for gene_id in raw.gene_ids]}
    section = ad.AnnData(
        X=sp.csr_matrix(raw.counts, dtype=np.float32),
        obs=pd.DataFrame(
            {"section": raw.name, "patient": raw.patient}, index=pd.Index([str(spot) for spot in raw.spots])
        ),
        var=pd.DataFrame(ids, index=pd.Index([str(gene) for gene in raw.genes])),
        obsm={"spatial": np.asarray(raw.coords_px, dtype=np.float64)},
    )
    section.uns["section"] = {
        "name": raw.name,
        "patient": raw.patient,
        "image_path": "" if raw.image is None else str(raw.image.absolute()),
        "mpp_um_per_px": _resolution(raw, settings),
        "mismatches": dict(raw.mismatches),
    }
    return section


def spacing_px(coords_px: Float[np.ndarray, "spot 2"]) -> float:
    """Distance between neighbouring spots of a grid, pixels; NaN for fewer than two spots.

    The median over the distances of each spot to its four nearest, without those a quarter longer than is usual for
    the nearest: diagonals and gaps. The nearest alone would be biased, since spots stray from their grid by some
    pixels and the nearest of four is the one that strayed closest (her2st: 273 px, where the grid's pitch is 290).
    """
    if len(coords_px) < 2:
        return float("nan")
    n_neighbours = min(4, len(coords_px) - 1)
    distances = cKDTree(coords_px).query(coords_px, k=n_neighbours + 1)[0][:, 1:]
    usual = np.median(distances[:, 0])
    return float(np.median(distances[distances <= 1.25 * usual]))


def check_unique(path: Path, kind: str, names: Sequence[str]) -> None:
    """Refuses names that occur twice.

    Raises:
        DataError: naming them.
    """
    index = pd.Index(names)
    if not index.is_unique:
        repeated = list(dict.fromkeys(index[index.duplicated()]))
        raise DataError(
            f"{path}: {kind} {some(repeated)} listed more than once; each {kind} has one place, so remove or rename it"
        )


def check_counts(path: Path, counts: sp.csr_matrix, *, spots: Sequence[str], genes: Sequence[str]) -> None:
    """Refuses counts that are negative, fractional, NaN or infinite.

    Raises:
        DataError: naming spot, gene and value of the first.
    """
    entries = counts.tocoo()
    with np.errstate(invalid="ignore"):
        wrong = ~(np.isfinite(entries.data) & (entries.data >= 0) & (entries.data == np.floor(entries.data)))
    if wrong.any():
        first = np.flatnonzero(wrong)[0]
        raise DataError(
            f"{path}: {int(wrong.sum())} counts are negative, fractional or not finite, the first "
            f"{entries.data[first]:g} at spot {spots[entries.row[first]]}, gene {genes[entries.col[first]]}; "
            "raw counts are whole numbers of 0 or more, so give the table before any normalisation"
        )


def some(names: Sequence[str], n: int = 5) -> str:
    """The first names of a list for a message, and how many more there are."""
    shown = ", ".join(str(name) for name in names[:n])
    return shown if len(names) <= n else f"{shown} and {len(names) - n} more"


def _resolution(raw: RawSection, settings: SectionsSettings) -> float:
    if settings.mpp_um_per_px is not None:
        return settings.mpp_um_per_px
    if raw.mpp_um_per_px is not None:
        return raw.mpp_um_per_px
    return settings.spot_spacing_um / spacing_px(raw.coords_px)


def _check_inside(raw: RawSection) -> None:
    finite = np.isfinite(raw.coords_px).all(axis=1)
    if not finite.all():
        first = np.flatnonzero(~finite)[0]
        raise DataError(f"{raw.path}: {int((~finite).sum())} spots have no position, the first {raw.spots[first]}")
    if raw.image is None:
        return
    width, height = image_size_px(raw.image)
    outside = ((raw.coords_px < 0) | (raw.coords_px >= (width, height))).any(axis=1)
    if outside.any():
        first = np.flatnonzero(outside)[0]
        x, y = raw.coords_px[first]
        raise DataError(
            f"{raw.image}: {int(outside.sum())} of {len(raw.spots)} spots of section {raw.name} lie outside the image "
            f"of {width} x {height} px, the first {raw.spots[first]} at ({x:g}, {y:g}); is it the image, at full "
            "size, that the positions were measured on?"
        )
