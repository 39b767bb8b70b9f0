"""The layout of GSE144240 (cSCC): `<P>_ST_repK_stdata.tsv[.gz]`, `spot_data-selection-<P>_ST_repK.tsv[.gz]`, `*.jpg`.

Files may carry the repository's prefix (`GSM4284316_`) and lie in folders below the root. A section is named
`<P>_ST_repK`; its patient is `<P>`.
"""

import re
from pathlib import Path

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections.form import RawSection
from hage_transfer.data.sections.her2st import of_the_field, read_text_section
from hage_transfer.data.sections.image_files import the_image
from hage_transfer.data.sections.patients import listed_patient
from hage_transfer.errors import DataError, some

SPOT_DIAMETER_UM = 110.0
PATIENTS = ("P2", "P5", "P9", "P10")
REPLICATES = ("rep1", "rep2", "rep3")
_PREFIX = r"(?:GSM\d+_)?"
_SECTION = r"(?P<section>(?P<patient>P\d+)_ST_(?P<replicate>rep\d+))"
_COUNTS = re.compile(rf"{_PREFIX}{_SECTION}_stdata\.tsv(?:\.gz)?")
_SPOTS = re.compile(rf"{_PREFIX}spot_data-selection-{_SECTION}\.tsv(?:\.gz)?")
_IMAGE = re.compile(rf"{_PREFIX}{_SECTION}(?:[^0-9].*)?\.(?:jpe?g|png|tiff?)(?:\.gz)?", re.IGNORECASE)


def find(settings: SectionsSettings) -> dict[str, Path]:
    """Every section under the root and its count file, by patient number and replicate.

    Raises:
        DataError: two count files of one section.
    """
    found: dict[str, Path] = {}
    for path, match in _matching(settings.root, _COUNTS):
        if match["section"] in found:
            raise DataError(f"{path}: section {match['section']} is also in {found[match['section']]}; keep one")
        found[match["section"]] = path
    return {name: found[name] for name in sorted(found, key=_order)}


def default(names: list[str]) -> list[str]:
    """The field's 12 sections, P2, P5, P9, P10, rep1 to rep3, or the ones that are there; all where none of them is."""
    field = [f"{patient}_ST_{replicate}" for patient in PATIENTS for replicate in REPLICATES]
    return of_the_field(names, [name for name in names if name in field])


def read(settings: SectionsSettings, name: str, path: Path) -> RawSection:
    """Reads one section.

    Raises:
        DataError: a file is missing or not in its form, or counts and spots have no name in common.
    """
    root = settings.root
    spot_files = [found for found, match in _matching(root, _SPOTS) if match["section"] == name]
    if len(spot_files) != 1:
        what = (
            f"no file spot_data-selection-{name}.tsv"
            if not spot_files
            else f"several: {some([str(found) for found in spot_files])}"
        )
        raise DataError(f"{root}: section {name} needs one spot file, {what}")
    images = [found for found, match in _matching(root, _IMAGE) if match["section"] == name]
    packed = [image for image in images if image.suffix == ".gz"]
    if packed:
        raise DataError(f"{packed[0]}: a gzipped image cannot be read in parts; unpack it with gunzip")
    image = the_image(images, f"{root}: {name}", remedy="keep the H&E image alone")
    patient = listed_patient(root, name) or name.split("_")[0]
    return read_text_section(settings, name, patient, (path, spot_files[0]), image, spot_diameter_um=SPOT_DIAMETER_UM)


def _matching(root: Path, pattern: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
    pairs = [(path, pattern.fullmatch(path.name)) for path in sorted(root.rglob("*")) if path.is_file()]
    return [(path, match) for path, match in pairs if match]


def _order(name: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", name))
