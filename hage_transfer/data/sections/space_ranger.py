"""Space Ranger output of Visium (v1, v2, CytAssist) and Visium HD, as it is written and as repositories hold it.

A section is a folder with a matrix (`filtered_feature_bc_matrix.h5`, or the folder of that name with `matrix.mtx`) and
the positions and scale factors in `spatial/`: the root itself, `root/<section>/`, `root/<section>/outs/`. Names may
carry a repository's prefix (`GSM4284316_P2_filtered_feature_bc_matrix.h5`), files of text and tables may be gzipped,
and several prefixed sections may lie in one folder. Where the raw matrix is there alone it is taken, since positions
say which barcodes are under tissue.

Visium HD holds one tissue in several bin sizes (`binned_outputs/square_002um`, `_008um`, `_016um`): one of them is
read, ``data.bin_um`` or 8.

The full-resolution image is not part of the output: it is `image.*`, or the only image file, beside the matrix (HD:
there or in a folder above, up to the section's). `patients.csv` (`section,patient`) in the root tells the patients;
else each section is a patient of its own.
"""

import logging
import re
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections.array_places import check_array_places
from hage_transfer.data.sections.form import RawSection
from hage_transfer.data.sections.image_files import ENDINGS as IMAGE_TYPES
from hage_transfer.data.sections.image_files import bare_name, images_in, of_prefix, the_image
from hage_transfer.data.sections.matrix_10x import existing, read_matrix
from hage_transfer.data.sections.patients import listed_patient
from hage_transfer.data.sections.positions import POSITIONS, read_positions
from hage_transfer.data.sections.scale_factors import ScaleFactors, scale_factors
from hage_transfer.data.sections.space_ranger_files import (
    Found,
    matrices_by_section,
    matrix_at,
    part_of,
    places_of_image,
    prefixes_beside,
)
from hage_transfer.data.sections.spot_file import match_spots
from hage_transfer.data.sections.tables import read_facts
from hage_transfer.errors import DataError

log = logging.getLogger(__name__)

_REDUCED = (
    "tissue_hires_image",
    "tissue_lowres_image",
    "aligned_fiducials",
    "aligned_tissue_image",
    "detected_tissue_image",
    "cytassist_image",
)
_COPY = re.compile(r"hi-?res|low-?res|fiducial|detected|cytassist|plot|_qc|qc_", re.IGNORECASE)
_PLACE = ["pixel_x", "pixel_y"]
SCALE_FACTORS, HIRES = "scalefactors_json.json", "tissue_hires_image.png"


def find(settings: SectionsSettings) -> dict[str, Path]:
    """Every section under the root and its matrix, sorted; one in the root itself is named as the root's folder.

    Raises:
        DataError: two sections of one name, or none of Visium HD's bin sizes that is asked for.
    """
    return {name: found.path for name, found in matrices_by_section(settings).items()}


def read(settings: SectionsSettings, name: str, path: Path) -> RawSection:
    """Reads one section.

    Raises:
        DataError: matrix, positions or scale factors missing or not in their form, or no common barcode.
    """
    found = matrix_at(path)
    if found is None:
        raise DataError(f"{path}: no matrix of Space Ranger")
    positions = part_of(found, POSITIONS)
    if positions is None:
        raise DataError(
            f"{found.folder / 'spatial'}: no {' or '.join(POSITIONS)}, so the spots of {path.name} have no positions"
        )
    spots = read_positions(positions)
    _refuse_other_positions(positions, spots)
    barcodes, genes = read_matrix(found.matrix)
    matched = match_spots(barcodes, spots, paths=(path, positions))
    if found.raw:
        log.info("%s: the filtered matrix is not there; of the raw one the spots under tissue are read", path)
    by_name = spots.drop_duplicates("name").set_index("name")
    names = [barcodes[row] for row in matched.rows]
    array = by_name.loc[names, ["array_row", "array_col"]].to_numpy(dtype=np.float64)
    factors = _scale_factors(found)
    check_array_places(positions, name, names, matched.coords_px, array, bins=factors.bin_um is not None)
    image = _image(settings, found)
    full_size_px, reduced = _reduced(found, factors, needed=image is not None)
    return RawSection(
        name=name,
        patient=listed_patient(settings.root, name) or name,
        path=path,
        spots=names,
        genes=genes.symbols,
        counts=genes.counts[matched.rows],
        coords_px=matched.coords_px,
        image=image,
        resolutions=factors.resolutions(matched.coords_px, array),
        spot_size=factors.spot_size,
        full_size_px=full_size_px,
        reduced=reduced,
        spot_diameter_um=factors.spot_diameter_um,
        mismatches={**matched.mismatches, **genes.mismatches},
        gene_ids=genes.ids,
    )


def _refuse_other_positions(path: Path, spots: pd.DataFrame) -> None:
    """Refuses a second file of positions beside the one that is read, where both do not say the same.

    Raises:
        DataError: naming both, and a spot.
    """
    prefix = next(path.name.partition(name)[0] for name in POSITIONS if name in path.name)
    beside = [existing(path.parent, prefix, (name,)) for name in POSITIONS]
    mine = spots.drop_duplicates("name").set_index("name")
    for other in beside:
        if other is None or other == path:
            continue
        theirs = read_positions(other).drop_duplicates("name").set_index("name")
        shared = mine.index.intersection(theirs.index)
        apart = (mine.loc[shared, _PLACE] - theirs.loc[shared, _PLACE]).abs().max(axis=1) > 1
        if apart.any() or not len(shared):
            spot = f", of spot {shared[int(np.argmax(apart))]} for one" if len(shared) else ""
            raise DataError(f"{path} and {other.name} beside it say other positions{spot}; keep the one that is right")


def _scale_factors(found: Found) -> ScaleFactors:
    path = part_of(found, (SCALE_FACTORS,))
    if path is None:
        log.warning("%s: no %s; the pitch of the spots is the only ruler", found.folder / "spatial", SCALE_FACTORS)
        return ScaleFactors("the matrix's folder", bin_um=found.bin_um)
    facts = read_facts(path)
    if found.bin_um and "bin_size_um" not in facts:
        facts = {**facts, "bin_size_um": found.bin_um}
    return scale_factors(path, path.name, facts)


def _reduced(
    found: Found, factors: ScaleFactors, *, needed: bool
) -> tuple[tuple[float, float] | None, tuple[UInt8[np.ndarray, "h w 3"], str] | None]:
    """Size of the image that Space Ranger was given, and the reduced copy it made, where there is an image to hold."""
    hires = part_of(found, (HIRES,))
    if not needed or factors.hires is None or hires is None or hires.suffix == ".gz":
        return None, None
    from hage_transfer.slides.reader import open_picture  # slow to load

    with open_picture(hires) as copy:
        width, height = copy.width_px, copy.height_px
        full_size_px = width / factors.hires, height / factors.hires
        try:
            return full_size_px, (copy.read_region(0, 0, level=0, width_px=width, height_px=height), hires.name)
        except DataError as error:
            log.warning("%s; so the image is not held against it", error)
            return full_size_px, None


def _image(settings: SectionsSettings, found: Found) -> Path | None:
    beside = prefixes_beside(found)
    for place in places_of_image(found, settings.root):
        images = [path for path in images_in(place) if not bare_name(path).endswith(_REDUCED)]
        own = of_prefix(images, found.prefix, beside)
        image = the_image(
            own if own or len(beside) > 1 else images,
            str(place),
            remedy=f"name the full-resolution one {found.prefix}image.<ending>",
            prefix=found.prefix,
        )
        if image is not None:
            return image
        _refuse_packed(place, found.prefix, alone=len(beside) == 1)
    return None


def _refuse_packed(folder: Path, prefix: str, *, alone: bool) -> None:
    """Refuses a gzipped image where there is no other, but the gzipped copies and plots that repositories hold."""
    for path in sorted(folder.glob("*.gz") if folder.is_dir() else ()):
        inner = Path(path.stem)
        mine = alone or path.name.startswith(prefix)
        if mine and inner.suffix.lower() in IMAGE_TYPES and not _COPY.search(f"_{inner.stem}"):
            raise DataError(f"{path}: a gzipped image cannot be read in parts; unpack it with gunzip")
