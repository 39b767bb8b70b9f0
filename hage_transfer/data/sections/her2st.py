"""The her2st layout: `ST-cnts/<S>.tsv[.gz]`, `ST-spotfiles/<S>_selection.tsv`, `ST-imgs/<P>/<S>/*.jpg`.

A section's first letter is its patient. Not every section need have an image. Spots of these arrays (legacy ST) are
200 um apart, unless ``data.spot_spacing_um`` says otherwise.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections.array_places import check_array_places
from hage_transfer.data.sections.count_table import read_count_table
from hage_transfer.data.sections.form import RawSection
from hage_transfer.data.sections.gene_columns import genes_of
from hage_transfer.data.sections.grid import is_grid, spacing_px
from hage_transfer.data.sections.image_files import images_in, the_image
from hage_transfer.data.sections.patients import PATIENTS_FILE, listed_patient
from hage_transfer.data.sections.resolution import SPACING, Candidate
from hage_transfer.data.sections.spot_file import match_spots, read_spot_file
from hage_transfer.errors import DataError, some

log = logging.getLogger(__name__)

# The published comparisons use sections A2 to G3 of the 36, a slice of the sorted list.
LEFT_OUT_BY_THE_FIELD = ("A1", "H1", "H2", "H3")
PITCH_UM, SPOT_DIAMETER_UM = 200.0, 100.0


def find(settings: SectionsSettings) -> dict[str, Path]:
    """Every section under the root and its count file, sorted by name.

    Raises:
        DataError: the root does not hold the folders of the layout.
    """
    root = settings.root
    for folder in ("ST-cnts", "ST-spotfiles"):
        if not (root / folder).is_dir():
            near = "; data.root is one folder higher than wanted" if (root / "data" / folder).is_dir() else ""
            raise DataError(f"{root}: no folder {folder}, which the her2st layout has{near}; set data.root")
    found: dict[str, Path] = {}
    for path in sorted((root / "ST-cnts").glob("*.tsv*")):
        name, ending = path.name.split(".", 1)
        if ending not in ("tsv", "tsv.gz") or name.startswith("._"):
            continue
        if name in found:
            raise DataError(f"{path}: section {name} is also in {found[name].name}; keep one of them")
        found[name] = path
    return found


def default(names: list[str]) -> list[str]:
    """The sections read where none are named: A2 to G3, the field's 32 of the 36 published; all where none is left."""
    return of_the_field(names, [name for name in names if name not in LEFT_OUT_BY_THE_FIELD])


def of_the_field(names: list[str], chosen: list[str]) -> list[str]:
    """The sections of the published comparisons, the others named in the log; all where none of them is there."""
    left_out = [name for name in names if name not in chosen]
    if chosen and left_out:
        log.info("%s left out as in the published comparisons; data.sections can name them", ", ".join(left_out))
    return chosen or names


def read(settings: SectionsSettings, name: str, path: Path) -> RawSection:
    """Reads one section.

    Raises:
        DataError: a file is missing or not in its form, or counts and spots have no name in common.
    """
    root = settings.root
    files = (path, root / "ST-spotfiles" / f"{name}_selection.tsv")
    patient = listed_patient(root, name) or _letter(path, name)
    image = _image(root / "ST-imgs" / name[0] / name)
    return read_text_section(settings, name, patient, files, image, spot_diameter_um=SPOT_DIAMETER_UM)


def _letter(path: Path, name: str) -> str:
    """The first letter of a section's name, its patient; without one there is no patient to take."""
    if not name[0].isalpha():
        raise DataError(
            f"{path}: section {name} begins with no letter, which is the patient in the her2st layout; "
            f"{PATIENTS_FILE} (section,patient) in data.root says whose it is"
        )
    return name[0]


def read_text_section(
    settings: SectionsSettings,
    name: str,
    patient: str,
    files: tuple[Path, Path],
    image: Path | None,
    *,
    spot_diameter_um: float,
) -> RawSection:
    """Reads a section of legacy ST from its count table and spot file; errors as ``read``."""
    counts, spot_file = files
    spots = read_spot_file(spot_file)
    table = read_count_table(counts)
    matched = match_spots(table.spots, spots, paths=(counts, spot_file))
    _refuse_quotes(counts, table.genes)
    genes = genes_of(counts, table.counts[matched.rows], pd.DataFrame(index=table.genes), index_repeats=False)
    names = [table.spots[row] for row in matched.rows]
    check_array_places(spot_file, name, names, matched.coords_px, _array(names))
    return RawSection(
        name=name,
        patient=patient,
        path=counts,
        spots=names,
        genes=genes.symbols,
        counts=genes.counts,
        coords_px=matched.coords_px,
        image=image,
        resolutions=_by_pitch(matched.coords_px, settings.spot_spacing_um),
        spot_diameter_um=spot_diameter_um,
        mismatches={**matched.mismatches, **genes.mismatches},
    )


def _array(names: Sequence[str]) -> np.ndarray:
    """(row, column) of each spot on the array, as its name `XxY` says."""
    return np.array([name.split("x")[::-1] for name in names], dtype=np.float64)


def _refuse_quotes(path: Path, genes: Sequence[str]) -> None:
    quoted = [gene for gene in genes if len(gene) > 1 and gene[0] == gene[-1] == '"']
    if quoted:
        raise DataError(
            f"{path}: {len(quoted)} genes are called with quotes around them ({some(quoted, 3)}), as R's write.table "
            "does; write the table with quote=FALSE"
        )


def _by_pitch(coords_px: np.ndarray, given_um: float | None) -> list[Candidate]:
    if not is_grid(coords_px):
        return []
    pitch_um = PITCH_UM if given_um is None else given_um
    source = f"spots {pitch_um:g} um apart ({'legacy ST' if given_um is None else SPACING})"
    return [Candidate(pitch_um / spacing_px(coords_px), source)]


def _image(folder: Path) -> Path | None:
    if not folder.is_dir():
        return None
    return the_image(images_in(folder), str(folder), remedy="keep the H&E image alone")
