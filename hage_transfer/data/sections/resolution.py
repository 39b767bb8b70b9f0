"""Micrometres per pixel of a section's image: every source that tells it, which one is taken, and where they disagree.

The order is: the user's own value; what the data set records outright; the distance between spots where the
technology, and so that distance in micrometres, is known; the image's own tags; ``data.spot_spacing_um``.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hage_transfer.errors import DataError
from hage_transfer.slides.resolution import PLAUSIBLE_MPP, plausible

log = logging.getLogger(__name__)

GIVEN = "data.mpp_um_per_px"
SPACING = "data.spot_spacing_um"
TAGS = "the image's tags"
SAID_BEYOND, REFUSED_BEYOND = 1.05, 1.98  # "twice" with room for sizes that were rounded to a pixel


@dataclass(frozen=True)
class Candidate:
    """One thing that tells the resolution.

    Attributes:
        mpp_um_per_px: what it tells.
        source: what it is, in words.
    """

    mpp_um_per_px: float
    source: str

    def __str__(self) -> str:
        return f"{self.mpp_um_per_px:.4g} um/px by {self.source}"


@dataclass(frozen=True)
class SpotSize:
    """The recorded diameter of a spot, which varies between assays and so only checks a resolution.

    Attributes:
        diameter_px: as recorded, full-resolution pixels.
        usual_um: what it stands for by the makers' word.
        range_um: from and to which spots of this technology were seen.
        source: where it is recorded.
    """

    diameter_px: float
    usual_um: float
    range_um: tuple[float, float]
    source: str


@dataclass(frozen=True)
class SectionResolution:
    """The decision.

    Attributes:
        mpp_um_per_px: NaN where nothing tells it.
        source: what told it; "" where nothing did.
        candidates: every source with what it tells, the one taken first.
    """

    mpp_um_per_px: float = math.nan
    source: str = ""
    candidates: Mapping[str, float] = field(default_factory=dict)


def settle(
    name: str,
    path: Path,
    candidates: Sequence[Candidate],
    *,
    spot: SpotSize | None = None,
    most_enlarged: float = math.inf,
) -> SectionResolution:
    """Takes the first candidate and holds the others against it.

    Args:
        name: section's name.
        path: its file, for messages.
        candidates: in the order of trust.
        spot: a check of the one that is taken.
        most_enlarged: by how much the picture can be larger than the one that the positions were measured on, since
            they reach so far across it; tags that tell more than that are wrong, and only said to be.

    Raises:
        DataError: the first is not between 0.05 and 20 um/px, or another tells twice as much or half, unless the user
            has given the value or the positions show which of the two is wrong.
    """
    if not candidates:
        return SectionResolution()
    chosen, others = candidates[0], list(candidates[1:])
    if not plausible(chosen.mpp_um_per_px):
        raise DataError(
            f"{path}: section {name}: {chosen}, where {PLAUSIBLE_MPP[0]:g} to {PLAUSIBLE_MPP[1]:g} is possible"
            f"{_also(others)}; are positions in pixels of the full-size image? {_REMEDY}"
        )
    if spot is not None:
        others += _by_spot(chosen, spot)
    for other in others:
        ratio = max(chosen.mpp_um_per_px / other.mpp_um_per_px, other.mpp_um_per_px / chosen.mpp_um_per_px)
        if ratio <= SAID_BEYOND:
            continue
        told = (
            f"section {name}: sources of its resolution disagree: {chosen}{_also([o for o in others if o != chosen])}"
        )
        impossible = TAGS in other.source and chosen.mpp_um_per_px / other.mpp_um_per_px > most_enlarged
        if impossible:
            told += "; the spots reach across the picture, so it is not enlarged, and its tags are wrong"
        elif ratio >= REFUSED_BEYOND and GIVEN not in chosen.source and SPACING not in other.source:
            raise DataError(
                f"{path}: {told}; is the image the one, at full size, that the positions were measured on? {_REMEDY}"
            )
        log.warning("%s: %s; the first is taken", path.name, told)
        break
    found = {candidate.source: candidate.mpp_um_per_px for candidate in [chosen, *others]}
    return SectionResolution(chosen.mpp_um_per_px, chosen.source, found)


_REMEDY = "data.mpp_um_per_px=... gives the right value where you know it"


def _by_spot(chosen: Candidate, spot: SpotSize) -> list[Candidate]:
    """What the spots' recorded size tells, where it lies outside the sizes that are made."""
    low, high = spot.range_um
    if low <= spot.diameter_px * chosen.mpp_um_per_px <= high:
        return []
    source = f"{spot.source} of {spot.diameter_px:g} px ({spot.usual_um:g} um)"
    return [Candidate(spot.usual_um / spot.diameter_px, source)]


def _also(others: Sequence[Candidate]) -> str:
    return "".join(f", {other}" for other in others)
