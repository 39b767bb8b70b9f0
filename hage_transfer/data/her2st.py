"""The her2st layout: `ST-cnts/<S>.tsv[.gz]`, `ST-spotfiles/<S>_selection.tsv`, `ST-imgs/<P>/<S>/*.jpg`.

A section's first letter is its patient. Not every section need have an image.
"""

import logging
from pathlib import Path

from hage_transfer.data.count_table import read_count_table
from hage_transfer.data.section_form import RawSection
from hage_transfer.data.spot_file import match_spots, read_spot_file
from hage_transfer.errors import DataError

log = logging.getLogger(__name__)

# The published comparisons use sections A2 to G3 of the 36, a slice of the sorted list.
LEFT_OUT_BY_THE_FIELD = ("A1", "H1", "H2", "H3")
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".tif", ".tiff")


def find(root: Path) -> dict[str, Path]:
    """Every section under ``root`` and its count file, sorted by name.

    Raises:
        DataError: ``root`` does not hold the folders of the layout.
    """
    for folder in ("ST-cnts", "ST-spotfiles"):
        if not (root / folder).is_dir():
            near = "; data.root is one folder higher than wanted" if (root / "data" / folder).is_dir() else ""
            raise DataError(f"{root}: no folder {folder}, which the her2st layout has{near}; set data.root")
    found: dict[str, Path] = {}
    for path in sorted((root / "ST-cnts").glob("*.tsv*")):
        name, ending = path.name.split(".", 1)
        if ending not in ("tsv", "tsv.gz"):
            continue
        if name in found:
            raise DataError(f"{path}: section {name} is also in {found[name].name}; keep one of them")
        found[name] = path
    return found


def default(names: list[str]) -> list[str]:
    """The sections read where none are named: A2 to G3, the field's 32 of the 36 published; all where none is left."""
    chosen = [name for name in names if name not in LEFT_OUT_BY_THE_FIELD]
    left_out = [name for name in names if name in LEFT_OUT_BY_THE_FIELD]
    if chosen and left_out:
        log.info("%s left out as in the published comparisons; data.sections can name them", ", ".join(left_out))
    return chosen or names


def read(root: Path, name: str, path: Path) -> RawSection:
    """Reads one section.

    Raises:
        DataError: a file is missing or not in its form, or counts and spots have no name in common.
    """
    spot_file = root / "ST-spotfiles" / f"{name}_selection.tsv"
    return read_text_section(name, name[0], path, spot_file, _image(root / "ST-imgs" / name[0] / name))


def read_text_section(name: str, patient: str, counts: Path, spot_file: Path, image: Path | None) -> RawSection:
    """Reads a section of a count table and a spot file; errors as ``read``."""
    spots = read_spot_file(spot_file)
    table = read_count_table(counts)
    matched = match_spots(table, spots, paths=(counts, spot_file))
    return RawSection(
        name=name,
        patient=patient,
        path=counts,
        spots=[table.spots[row] for row in matched.rows],
        genes=table.genes,
        counts=table.counts[matched.rows],
        coords_px=matched.coords_px,
        image=image,
        mismatches=matched.mismatches,
    )


def _image(folder: Path) -> Path | None:
    if not folder.is_dir():
        return None
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_ENDINGS)
    if len(images) > 1:
        names = ", ".join(path.name for path in images)
        raise DataError(f"{folder}: {len(images)} images ({names}) for one section; keep the H&E image alone")
    return images[0] if images else None
