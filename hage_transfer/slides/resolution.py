"""Micrometres per pixel of a slide: what the file records, what the user gives, and which values are refused."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hage_transfer.csv_table import as_number
from hage_transfer.errors import DataError
from hage_transfer.running.once import say_once
from hage_transfer.slides.units import TIFF_UNITS, um_per

log = logging.getLogger(__name__)

PLAUSIBLE_MPP = (0.05, 20.0)
"""Finest and coarsest level 0 of a scanner, with room: 100x oil is 0.1, a 2.5x overview 4 um per px."""
REMEDY = (
    "give its level-0 value with slide_mpp_um_per_px= (`apply`), mpp_um_per_px= (`tissue`) or set "
    "data.slide_mpp_um_per_px=... (`encode_slides`, `mil`) for all slides that record none, or in a column `mpp` of "
    "the table of slides for one slide (the scanner's protocol has it; 0.25 is usual at 40x, 0.5 at 20x)"
)
_ANISOTROPY, _DISAGREE = 0.01, 0.05


@dataclass(frozen=True)
class Resolution:
    """Level-0 resolution.

    Attributes:
        x_um_per_px: along x.
        y_um_per_px: along y.
        source: where it is from, in words.
    """

    x_um_per_px: float
    y_um_per_px: float
    source: str

    @property
    def mean_um_per_px(self) -> float:
        """Geometric mean of both axes: the side of a square pixel of the same area."""
        return math.sqrt(self.x_um_per_px * self.y_um_per_px)

    @property
    def anisotropic(self) -> bool:
        """Whether the axes differ by more than 1%."""
        return abs(self.x_um_per_px - self.y_um_per_px) > _ANISOTROPY * self.x_um_per_px


@dataclass(frozen=True)
class Recorded:
    """What a file says of its resolution in one place; None where that axis is not there.

    Attributes:
        x_um_per_px: along x, as recorded, plausible or not.
        y_um_per_px: along y.
        source: the place, for messages.
    """

    x_um_per_px: float | None
    y_um_per_px: float | None
    source: str


def plausible(mpp_um_per_px: float | None) -> bool:
    """Whether a level 0 can have this resolution: finite, 0.05 to 20 um per px."""
    return mpp_um_per_px is not None and PLAUSIBLE_MPP[0] <= mpp_um_per_px <= PLAUSIBLE_MPP[1]


def settle_resolution(
    path: Path,
    recorded: Sequence[Recorded],
    *,
    fallback_um_per_px: float | None,
    override_um_per_px: float | None,
    needed: bool = True,
) -> Resolution | None:
    """The resolution of a slide: the user's own for this slide, else the file's, else the user's for all slides.

    Args:
        path: the slide, for messages.
        recorded: what the file says, the most trusted place first.
        fallback_um_per_px: for slides that record none.
        override_um_per_px: for this very slide (column `mpp` of a slide table); it wins, and the log says over what.
        needed: False: None instead of an error where there is none.

    Raises:
        DataError: nothing plausible is recorded and nothing is given, or what is given is not plausible.
    """
    for value in (override_um_per_px, fallback_um_per_px):
        if value is not None and not plausible(value):
            raise DataError(f"{path}: {value:g} um per px was given for level 0; {_WANTED}")
    found = first_plausible(recorded)
    if override_um_per_px is not None:
        if found is not None and abs(found.mean_um_per_px / override_um_per_px - 1) > _ANISOTROPY:
            log.warning(
                "%s: %g um per px of the slide table is used, the file says %g",
                path.name,
                override_um_per_px,
                found.mean_um_per_px,
            )
        return Resolution(override_um_per_px, override_um_per_px, "slide table")
    if found is not None:
        return _reported(path, found, recorded)
    if fallback_um_per_px is not None:
        return Resolution(fallback_um_per_px, fallback_um_per_px, "given for slides that record none")
    if not needed:
        return None
    raise DataError(f"{path}: {missing_resolution(recorded)}; {REMEDY}")


def first_plausible(recorded: Sequence[Recorded]) -> Resolution | None:
    """What the most trusted place that says something plausible says; None where none does."""
    return next((found for place in recorded if (found := _of(place)) is not None), None)


def missing_resolution(recorded: Sequence[Recorded]) -> str:
    """Why there is no resolution: none is recorded, or each recorded value is refused."""
    refused = [
        f"{_axes(place)} um per px in {place.source}"
        for place in recorded
        if (place.x_um_per_px, place.y_um_per_px) != (None, None)
    ]
    if not refused:
        return "records no resolution (micrometres per pixel)"
    return f"records no plausible resolution: {', '.join(refused)}; {_WANTED}"


def from_openslide(properties: Mapping[str, str]) -> list[Recorded]:
    """Places of OpenSlide's properties that hold a resolution: its own keys, then TIFF's resolution tags."""
    own = [as_number(properties.get(f"openslide.mpp-{axis}")) for axis in "xy"]
    tags = [as_number(properties.get(f"tiff.{axis}Resolution")) for axis in "XY"]
    unit = {"centimeter": 3, "inch": 2}.get(properties.get("tiff.ResolutionUnit", ""), 1)
    return [Recorded(own[0], own[1], "its metadata"), from_tiff_tags(tags[0], tags[1], unit)]


def from_tiff_tags(
    x_per_unit: float | None, y_per_unit: float | None, unit: int | str, *, source: str = "its TIFF resolution tags"
) -> Recorded:
    """TIFF's resolution tags (pixels per unit) as um per px.

    Args:
        x_per_unit: XResolution.
        y_per_unit: YResolution.
        unit: ResolutionUnit: 1 none (so there is no resolution), 2 inch, 3 cm, 4 mm, 5 um; or a unit's name.
        source: the place, for messages.
    """
    name = unit if isinstance(unit, str) else TIFF_UNITS.get(unit)
    um = None if name is None else um_per(name)
    x, y = (
        None if um is None or value is None else um / value if value > 0 else 0.0 for value in (x_per_unit, y_per_unit)
    )
    said = "" if name is None or x is None else f" (px per {name})"
    return Recorded(x, y, f"{source}{said}")


_WANTED = f"level 0 of a slide has {PLAUSIBLE_MPP[0]:g} to {PLAUSIBLE_MPP[1]:g}"


def _of(place: Recorded) -> Resolution | None:
    """The resolution of one place; where one axis alone is recorded it serves for both."""
    x, y = place.x_um_per_px, place.y_um_per_px
    x, y = (y if x is None else x), (x if y is None else y)
    if x is None or y is None or not (plausible(x) and plausible(y)):
        return None
    return Resolution(x, y, place.source)


def _reported(path: Path, found: Resolution, recorded: Sequence[Recorded]) -> Resolution:
    if "tags" in found.source:
        say_once(log, logging.INFO, path, f"{path.name}: {found.mean_um_per_px:g} um per px, from {found.source}")
    for other in filter(None, map(_of, recorded)):
        if abs(other.mean_um_per_px / found.mean_um_per_px - 1) > _DISAGREE:
            said = f"{found.mean_um_per_px:g} um per px in {found.source}, {other.mean_um_per_px:g} in {other.source}"
            say_once(
                log,
                logging.WARNING,
                path,
                f"{path.name}: records {said}; the first is used: if it is wrong (was the file resized?), a column "
                "`mpp` of the table of slides says the right one",
            )
    if found.anisotropic:
        log.warning(
            "%s: resolution differs between axes, %g by %g um per px; tiles are read so that they are square in um",
            path.name,
            found.x_um_per_px,
            found.y_um_per_px,
        )
    return found


def _axes(place: Recorded) -> str:
    x, y = place.x_um_per_px, place.y_um_per_px
    if x == y or y is None:
        return f"{x:g}"
    return f"{y:g}" if x is None else f"{x:g} by {y:g}"
