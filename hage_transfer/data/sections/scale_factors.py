"""Space Ranger's scale factors, from `scalefactors_json.json` or ``uns["spatial"]``: which assay, which resolution."""

import logging
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hage_transfer.data.sections.grid import is_grid, spacing_px, um_per_px_of_array
from hage_transfer.data.sections.resolution import Candidate, SpotSize
from hage_transfer.data.sections.tables import as_facts, positive_fact
from hage_transfer.errors import DataError, some

log = logging.getLogger(__name__)

PITCH_UM, SPOT_DIAMETER_UM = 100.0, 55.0
"""Of all Visium slides but HD: v1, v2, CytAssist of 6.5 and 11 mm."""
_NOMINAL_SPOT_UM = 65.0  # what Space Ranger's spot_diameter_fullres stands for by its documentation
_SEEN_SPOTS_UM = (52.0, 73.0)
_BIN_NAME = re.compile(r"(?<![A-Za-z0-9])square_(\d{3})um(?![A-Za-z0-9])")
_BIN_TOLERANCE = 0.05
USUAL_BIN_UM = 8.0


@dataclass(frozen=True)
class ScaleFactors:
    """Scale factors of a section.

    Attributes:
        source: file or element, for messages.
        microns_per_pixel: recorded by Visium HD.
        bin_um: side of a Visium HD bin; None for spots.
        spot_diameter_px: of a spot, full-resolution pixels.
        hires: reduction of the picture `tissue_hires_image.png`.
    """

    source: str
    microns_per_pixel: float | None = None
    bin_um: float | None = None
    spot_diameter_px: float | None = None
    hires: float | None = None

    def resolutions(
        self, coords_px: Float[np.ndarray, "spot 2"], array: Float[np.ndarray, "spot 2"] | None
    ) -> list[Candidate]:
        """What tells the resolution: ``microns_per_pixel``, then the pitch of the spots or bins.

        Args:
            coords_px: centres of the spots.
            array: (row, column) of each on the slide's array; None where the file does not say.
        """
        found = []
        if self.microns_per_pixel is not None:
            found.append(Candidate(self.microns_per_pixel, f"microns_per_pixel of {self.source}"))
        pitch_um = PITCH_UM if self.bin_um is None else self.bin_um
        what = (
            f"spots {pitch_um:g} um apart (Visium)" if self.bin_um is None else f"bins of {pitch_um:g} um (Visium HD)"
        )
        mpp = None if array is None else um_per_px_of_array(coords_px, self._array_um(array))
        says_nothing = array is None or not np.isfinite(array).all() or not np.ptp(array, axis=0).any()
        if says_nothing and is_grid(coords_px):  # an array that contradicts the positions is another technology's
            mpp = pitch_um / spacing_px(coords_px)
        if mpp is not None:
            found.append(Candidate(mpp, what))
        return found

    @property
    def spot_size(self) -> SpotSize | None:
        """The check that the recorded spot diameter is."""
        if self.spot_diameter_px is None:
            return None
        if self.bin_um is None:
            usual, seen = _NOMINAL_SPOT_UM, _SEEN_SPOTS_UM
        else:
            usual = self.bin_um
            seen = (usual * (1 - _BIN_TOLERANCE), usual * (1 + _BIN_TOLERANCE))
        return SpotSize(self.spot_diameter_px, usual, seen, f"spot_diameter_fullres in {self.source}")

    @property
    def spot_diameter_um(self) -> float:
        """Of a spot, or the side of a bin."""
        return SPOT_DIAMETER_UM if self.bin_um is None else self.bin_um

    def _array_um(self, array: np.ndarray) -> np.ndarray:
        if self.bin_um is not None:
            return array * self.bin_um
        return array * (PITCH_UM * math.sqrt(0.75), PITCH_UM / 2)  # rows interleave, columns count by two


def named_bin_um(name: str) -> int | None:
    """Side of the bins by which a table or library of Visium HD is called (`square_008um`: 8); None of others."""
    match = _BIN_NAME.search(name)
    return int(match[1]) if match else None


def chosen_bin(path: Path, sizes: Collection[float], wanted_um: float | None) -> float:
    """The one of Visium HD's bin sizes that is read: the one wanted, else 8 um, else the only one.

    Raises:
        DataError: it is not there.
    """
    there = some([f"{size:g}" for size in sorted(sizes)])
    wanted = wanted_um or (USUAL_BIN_UM if len(sizes) > 1 else next(iter(sizes)))
    if wanted not in sizes:
        raise DataError(
            f"{path}: Visium HD in bins of {there} um, and bins of {wanted:g} um are wanted; set data.bin_um to one "
            "that is there (they are one tissue, so one of them is read)"
        )
    if len(sizes) > 1:
        log.info("%s: Visium HD in bins of %s um, those of %g um are read (data.bin_um)", path, there, wanted)
    return wanted


def scale_factors(path: object, source: str, facts: Any) -> ScaleFactors:
    """Reads scale factors.

    Args:
        path: their file, for messages.
        source: where in it, in words.
        facts: what is there.

    Raises:
        DataError: not a mapping, or a factor that is not a number above 0.
    """
    facts = as_facts(path, facts)
    return ScaleFactors(
        source=source,
        microns_per_pixel=positive_fact(path, facts, "microns_per_pixel"),
        bin_um=positive_fact(path, facts, "bin_size_um"),
        spot_diameter_px=positive_fact(path, facts, "spot_diameter_fullres"),
        hires=positive_fact(path, facts, "tissue_hires_scalef"),
    )
