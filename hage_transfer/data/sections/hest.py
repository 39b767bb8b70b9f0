"""HEST-1k as it is downloaded: `st/<id>.h5ad`, `wsis/<id>.tif`, `metadata/<id>.json` (`patches/` is not read)."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hage_transfer.csv_table import names_nobody
from hage_transfer.data.sections.grid import is_grid, spacing_px
from hage_transfer.data.sections.resolution import Candidate
from hage_transfer.data.sections.tables import as_positive, read_facts

log = logging.getLogger(__name__)

FOLDER, IMAGES, METADATA, PATCHES = "st", "wsis", "metadata", "patches"


@dataclass(frozen=True)
class Record:
    """What `metadata/<id>.json` says of a section.

    Attributes:
        patient: with the study it is numbered in; None where none is recorded.
        technology: Visium, Visium HD, Xenium, Spatial Transcriptomics.
        pitch_um: distance between spots.
        spot_diameter_um: of a spot.
        estimated_um_per_px: by HEST's authors.
        full_size_px: of the image.
    """

    patient: str | None
    technology: str
    pitch_um: float | None
    spot_diameter_um: float | None
    estimated_um_per_px: float | None
    full_size_px: tuple[float, float] | None

    def resolutions(self, coords_px: Float[np.ndarray, "spot 2"], by_factors: Sequence[Candidate]) -> list[Candidate]:
        """The pitch's resolution, the scale factors' where no pitch is recorded, then the recorded one."""
        found = list(by_factors) if self.pitch_um is None else []
        if self.pitch_um is not None and is_grid(coords_px):
            source = f"spots {self.pitch_um:g} um apart ({self.technology}, metadata)"
            found.append(Candidate(self.pitch_um / spacing_px(coords_px), source))
        if self.estimated_um_per_px is not None:
            found.append(Candidate(self.estimated_um_per_px, "pixel_size_um_estimated of the metadata"))
        return found


def image_folders(path: Path) -> tuple[Path, ...]:
    """Where images of a file of `st/` lie."""
    return (path.parent.parent / IMAGES,) if path.parent.name == FOLDER else ()


def say_missing_picture(path: Path, name: str) -> None:
    """Warns where a section's slide was not downloaded and its patches were, which are not read."""
    patches = path.parent.parent / PATCHES / f"{name}.h5"
    if path.parent.name == FOLDER and patches.is_file():
        log.warning(
            "section %s: %s is not read, since its patches are of one size and resolution; download %s/%s.tif",
            name,
            patches,
            IMAGES,
            name,
        )


def record_of(path: Path, name: str) -> Record | None:
    """The record of a section of the file `st/<id>.h5ad`; None where there is none.

    Raises:
        DataError: not JSON, or not a mapping.
    """
    file = path.parent.parent / METADATA / f"{name}.json"
    if path.parent.name != FOLDER or not file.is_file():
        return None
    facts = read_facts(file)
    sides = [as_positive(facts.get(key)) for key in ("fullres_px_width", "fullres_px_height")]
    technology = str(facts.get("st_technology") or "unknown technology")
    return Record(
        patient=_patient(facts),
        technology=technology,
        pitch_um=as_positive(facts.get("inter_spot_dist")),
        spot_diameter_um=as_positive(facts.get("spot_diameter")),
        estimated_um_per_px=as_positive(facts.get("pixel_size_um_estimated")),
        full_size_px=None if sides[0] is None or sides[1] is None else (sides[0], sides[1]),
    )


def _patient(facts: Mapping[str, Any]) -> str | None:
    """Patients are numbered anew in every study, so the study belongs to the name."""
    patient = facts.get("patient")
    if names_nobody(patient):
        return None
    study = facts.get("dataset_title") or facts.get("study_link")
    return str(patient).strip() if names_nobody(study) else f"{str(patient).strip()} of {str(study).strip()}"
