"""The one form of an ST section that every reader returns: AnnData with counts, pixel coordinates, image, resolution.

``X`` csr float32 raw counts (spot, gene); ``obs_names`` spots; ``var_names`` unique gene symbols; ``var["gene_id"]``
the ids that the file gives them, several of one symbol joined by `|`, where it gives any;
``obsm["spatial"]`` float64 (x, y) of the spots' centres in level-0 pixels; ``obs["section"]``, ``obs["patient"]``;
``uns["section"]`` = ``{"name", "patient", "image_path", "mpp_um_per_px", "mpp_source", "mpp_candidates",
"spot_diameter_um", "mismatches"}``, where ``image_path`` is "" without an image, ``mpp_um_per_px`` and
``spot_diameter_um`` NaN where nothing tells them, and ``mpp_candidates`` all that told a resolution, by source.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy
from jaxtyping import Float, UInt8

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections.grid import is_grid, spacing_px
from hage_transfer.data.sections.resolution import (
    GIVEN,
    SAID_BEYOND,
    SPACING,
    TAGS,
    Candidate,
    SectionResolution,
    SpotSize,
    settle,
)
from hage_transfer.errors import DataError, some

if TYPE_CHECKING:
    import anndata as ad

    from hage_transfer.slides.resolution import Resolution

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
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
        resolutions: what the data set tells of the image's resolution, the most trusted first.
        spot_size: check of that resolution.
        full_size_px: width and height of the image that the positions were measured on, where the data set tells it.
        reduced: a reduced copy of that image, and where it is; None where the data set has none.
        spot_diameter_um: of a spot, or the side of a bin; None where it is not known.
        mismatches: how many rows or genes did not fit, by kind.
        gene_ids: one a column, "" where unknown; None where the file has none.
    """

    name: str
    patient: str
    path: Path
    spots: Sequence[str]
    genes: Sequence[str]
    counts: "scipy.sparse.csr_matrix"
    coords_px: Float[np.ndarray, "spot 2"]
    image: Path | None
    resolutions: Sequence[Candidate] = ()
    spot_size: SpotSize | None = None
    full_size_px: tuple[float, float] | None = None
    reduced: tuple[UInt8[np.ndarray, "h w 3"], str] | None = None
    spot_diameter_um: float | None = None
    mismatches: dict[str, int] = field(default_factory=dict)
    gene_ids: Sequence[str] | None = None

    def rows(self, kept: np.ndarray) -> "RawSection":
        """The section with the spots of a mask alone."""
        spots = [spot for spot, keep in zip(self.spots, kept, strict=True) if keep]
        return replace(self, spots=spots, counts=self.counts[kept], coords_px=self.coords_px[kept])


def to_anndata(raw: RawSection, settings: SectionsSettings) -> "ad.AnnData":
    """Puts a section into the one form and checks it.

    Raises:
        DataError: a gene or spot twice, a count that is no count, two spots at one place, too many spots outside the
            image, or sources of its resolution that cannot all be right.
    """
    if not len(raw.spots):
        raise DataError(f"{raw.path}: section {raw.name} has no spot with both counts and a position")
    check_unique(raw.path, "gene", raw.genes)
    check_unique(raw.path, "spot", raw.spots)
    check_counts(raw.path, raw.counts, spots=raw.spots, genes=raw.genes)
    _say_scaled(raw)
    _check_positions(raw)
    size_px, recorded = (None, None) if raw.image is None else _facts_of_image(raw, raw.image)
    raw = raw if size_px is None else _inside(raw, size_px, limit=settings.max_off_image)
    resolution = _resolution(raw, settings, size_px, recorded)
    ids = {} if raw.gene_ids is None else {"gene_id": [str(gene_id) for gene_id in raw.gene_ids]}
    from anndata import AnnData  # slow to load: an empty folder is refused without it

    section = AnnData(
        X=scipy.sparse.csr_matrix(raw.counts, dtype=np.float32),
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
        "mpp_um_per_px": resolution.mpp_um_per_px,
        "mpp_source": resolution.source,
        "mpp_candidates": dict(resolution.candidates),
        "spot_diameter_um": math.nan if raw.spot_diameter_um is None else float(raw.spot_diameter_um),
        "mismatches": {**raw.mismatches, **_empty_spots(raw)},
    }
    return section


def check_unique(path: Path, kind: str, names: Sequence[str]) -> None:
    """Refuses names that are empty or occur twice.

    Raises:
        DataError: naming them, or the first place without a name.
    """
    nameless = [place for place, name in enumerate(names, start=1) if not str(name).strip()]
    if nameless:
        raise DataError(
            f"{path}: {len(nameless)} of {len(names)} {kind}s have no name, the first in place {nameless[0]}; name it, "
            "or leave it out"
        )
    index = pd.Index(names)
    if not index.is_unique:
        repeated = list(dict.fromkeys(index[index.duplicated()]))
        raise DataError(
            f"{path}: {kind} {some(repeated)} listed more than once; each {kind} has one place, so remove or rename it"
        )


def check_counts(path: Path, counts: "scipy.sparse.csr_matrix", *, spots: Sequence[str], genes: Sequence[str]) -> None:
    """Refuses counts that are negative, fractional, NaN or infinite, and true and false.

    Raises:
        DataError: naming spot, gene and value of the first.
    """
    if counts.dtype == bool:
        raise DataError(f"{path}: counts are true and false, which tell where a gene was met, not how often; {_COUNTS}")
    entries = counts.tocoo()
    with np.errstate(invalid="ignore"):
        wrong = ~(np.isfinite(entries.data) & (entries.data >= 0) & (entries.data == np.floor(entries.data)))
    if wrong.any():
        first = np.flatnonzero(wrong)[0]
        raise DataError(
            f"{path}: {int(wrong.sum())} counts are negative, fractional or not finite, the first "
            f"{str(entries.data[first]).removesuffix('.0')} at spot {spots[entries.row[first]]}, gene "
            f"{genes[entries.col[first]]}; {_COUNTS}"
        )
    if counts.nnz and entries.data.max() > _MOST:
        most = int(entries.data.argmax())
        raise DataError(
            f"{path}: holds a count of {entries.data[most]:.0f} at spot {spots[entries.row[most]]}, gene "
            f"{genes[entries.col[most]]}, where {_MOST} is beyond any sequencing: a negative number kept without its "
            f"sign, or a scaled one; {_COUNTS}"
        )


_MOST = 2**24
"""Beyond it float32 holds not every whole number."""
_COUNTS = "raw counts are whole numbers of 0 or more, so give the table before any normalisation"


def _say_scaled(raw: RawSection) -> None:
    """Warns of whole numbers that no sequencing gives: sums of spots all alike, or 0 and 1 alone in deep spots."""
    totals = np.asarray(raw.counts.sum(axis=1, dtype=np.float64)).ravel()
    if len(totals) < _FEWEST or totals.mean() < _DEEP:
        return
    what = ""
    if totals.std() < _ALIKE * totals.mean():
        what = f"all spots sum to about {totals.mean():.0f}, as after scaling"
    elif raw.counts.data.max() == 1:
        what = f"no count is above 1, of {totals.mean():.0f} a spot, as after making them 0 and 1"
    if what:
        log.warning("%s: section %s: %s; are they raw counts?", raw.path, raw.name, what)


_FEWEST, _DEEP, _ALIKE = 10, 100, 0.01


def _resolution(
    raw: RawSection, settings: SectionsSettings, size_px: tuple[int, int] | None, recorded: "Resolution | None"
) -> SectionResolution:
    candidates = list(raw.resolutions)
    if settings.mpp_um_per_px is not None:
        candidates.insert(0, Candidate(settings.mpp_um_per_px, GIVEN))
    if recorded is not None:
        candidates.append(Candidate(recorded.mean_um_per_px, f"{TAGS} ({recorded.source})"))
    if settings.spot_spacing_um is not None and not any(SPACING in candidate.source for candidate in candidates):
        if is_grid(raw.coords_px):
            candidates.append(Candidate(settings.spot_spacing_um / spacing_px(raw.coords_px), SPACING))
        else:
            log.warning("section %s: its spots lie on no grid, so %s says nothing of it", raw.name, SPACING)
    if raw.full_size_px is not None and size_px is not None and candidates:
        factor = math.sqrt(math.prod(raw.full_size_px) / math.prod(size_px))
        candidates.insert(
            1, Candidate(candidates[0].mpp_um_per_px * factor, "the size of the reduced image's original")
        )
    reach = math.inf
    if size_px is not None and (raw.coords_px.max(0) > 0).all():
        reach = float((np.array(size_px) / raw.coords_px.max(0)).min())
    if recorded is not None and candidates[0].source.startswith(TAGS):
        _refuse_oblong(raw, recorded)
    try:
        return settle(raw.name, raw.image or raw.path, candidates, spot=raw.spot_size, most_enlarged=reach)
    except DataError as error:
        if raw.image is not None:
            raise
        log.info("%s; it has no image, so none is needed", error)
        return SectionResolution()


def _refuse_oblong(raw: RawSection, recorded: "Resolution") -> None:
    x, y = recorded.x_um_per_px, recorded.y_um_per_px
    if max(x, y) > SAID_BEYOND * min(x, y):
        raise DataError(
            f"{raw.image}: {x:g} by {y:g} um per px by {recorded.source}, so its pixels are not square, as patches "
            "around spots want them; where they are, data.mpp_um_per_px gives the right value"
        )


def _facts_of_image(raw: RawSection, image: Path) -> tuple[tuple[int, int], "Resolution | None"]:
    """Width and height, and the resolution that the image itself records where that is a microscope's."""
    from hage_transfer.data.sections.reduced_picture import refuse_quarter_turn, refuse_turned
    from hage_transfer.slides.reader import open_slide

    with open_slide(image, needs_resolution=False) as slide:
        size_px, recorded = (slide.width_px, slide.height_px), slide.resolution
        if raw.full_size_px is not None:
            refuse_quarter_turn(image, size_px, raw.full_size_px)
        if raw.reduced is not None:
            refuse_turned(slide, *raw.reduced)
    return size_px, recorded


def _check_positions(raw: RawSection) -> None:
    finite = np.isfinite(raw.coords_px).all(axis=1)
    if not finite.all():
        first = np.flatnonzero(~finite)[0]
        raise DataError(f"{raw.path}: {int((~finite).sum())} spots have no position, the first {raw.spots[first]}")
    _, first_of, times = np.unique(raw.coords_px, axis=0, return_index=True, return_counts=True)
    if (times > 1).any():
        place = int(first_of[np.argmax(times > 1)])
        same = np.flatnonzero((raw.coords_px == raw.coords_px[place]).all(axis=1)).tolist()
        x, y = raw.coords_px[place]
        raise DataError(
            f"{raw.path}: spots {some([raw.spots[row] for row in same])} of section {raw.name} lie at one position "
            f"({x:g}, {y:g}); are they spots of several libraries (capture areas)? give each a section of its own"
        )


def _inside(raw: RawSection, size_px: tuple[int, int], *, limit: float) -> RawSection:
    """The section without the spots whose centre lies outside its image, counted; refused where they are many."""
    outside = np.any((raw.coords_px < 0) | (raw.coords_px >= size_px), axis=1)
    n_outside = int(outside.sum())
    if n_outside > limit * len(raw.spots):
        first = np.flatnonzero(outside)[0]
        x, y = raw.coords_px[first]
        raise DataError(
            f"{raw.image}: {n_outside} of {len(raw.spots)} spots of section {raw.name} lie outside the image "
            f"of {size_px[0]} x {size_px[1]} px, the first {raw.spots[first]} at ({x:g}, {y:g}); is it the image, at "
            f"full size, that the positions were measured on? (data.max_off_image is {limit:g} of the spots)"
        )
    if not n_outside:
        return raw
    return replace(raw.rows(~outside), mismatches={**raw.mismatches, "spots_off_the_image": n_outside})


def _empty_spots(raw: RawSection) -> dict[str, int]:
    n_empty = int((raw.counts.sum(axis=1) == 0).sum())
    if n_empty == len(raw.spots):
        raise DataError(f"{raw.path}: all counts of section {raw.name} are 0; is it the count table?")
    return {KEPT_EMPTY: n_empty} if n_empty else {}


KEPT_EMPTY = "spots_of_no_count_at_all"
"""A kind of mismatch that is told and not left out: the field's own tables hold such spots."""
