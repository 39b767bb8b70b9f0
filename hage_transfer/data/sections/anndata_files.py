"""AnnData files (`*.h5ad`): a folder of them or one file, a section each or several told apart by the file.

Sections of one file are those of ``obs["section"]``, else the libraries that ``obs`` and ``uns["spatial"]`` name.
Counts are the first of ``layers["counts"]`` (or another usual name of it), ``X`` and ``.raw`` that holds whole numbers.
Gene symbols are the index of ``var``; where that holds Ensembl ids, as in CELLxGENE files, they are ``feature_name`` or
another column of symbols. Positions are ``obsm["spatial"]``, (x, y) in level-0 pixels (a table's by its names);
spots whose ``obs["in_tissue"]`` is 0 are left out. The patient comes from `patients.csv` beside the file,
``obs["patient"]`` or ``obs["donor_id"]`` (whatever their capitals), else the section's name is the patient. The image
is the one that ``uns["section"]["image_path"]`` names (relative to the file), else the one that is called
`<section>.jpg|png|tif|svs|...` (`.ome.tif`, whatever the capitals) beside the file.

HEST-1k is such files in `st/`, with the images in `wsis/` and what is known of each section in `metadata/`.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import hest
from hage_transfer.data.sections.array_places import check_array_places
from hage_transfer.data.sections.form import RawSection
from hage_transfer.data.sections.gene_columns import GeneColumns
from hage_transfer.data.sections.h5ad import H5adFile, open_h5ad
from hage_transfer.data.sections.h5ad_counts import counts_of
from hage_transfer.data.sections.h5ad_positions import centres_of
from hage_transfer.data.sections.image_files import images_called, images_in
from hage_transfer.data.sections.libraries import Part, parts, say_unread
from hage_transfer.data.sections.patients import (
    listed_patient,
    may_name_patients,
    names_nobody,
    one_name,
    patient_columns,
    say_contradiction,
)
from hage_transfer.data.sections.positions import tissue_flags
from hage_transfer.data.sections.reduced_picture import as_picture
from hage_transfer.data.sections.resolution import Candidate
from hage_transfer.data.sections.scale_factors import ScaleFactors, named_bin_um, scale_factors
from hage_transfer.data.sections.tables import as_positive
from hage_transfer.errors import DataError, some

log = logging.getLogger(__name__)


def find(settings: SectionsSettings) -> dict[str, Path]:
    """Every section and the file it is in, in the files' order.

    Raises:
        DataError: a file cannot be read, or two files hold a section of one name.
    """
    found: dict[str, Path] = {}
    for path in h5ad_files(settings.root):
        with open_h5ad(path) as file:
            names = list(parts(file))
        for name in names:
            if name in found:
                raise DataError(f"{path}: section {name} is also in {found[name]}; rename one")
            found[name] = path
    return found


def h5ad_files(root: Path) -> list[Path]:
    """The files of a folder, or of its `st/` as HEST-1k is downloaded; the one file that is named itself."""
    if root.is_file():
        return [root]
    folder = root if next(root.glob("*.h5ad"), None) is not None else root / hest.FOLDER
    return sorted(path for path in folder.glob("*.h5ad") if not path.name.startswith("."))


def read(settings: SectionsSettings, name: str, path: Path) -> RawSection:
    """Reads one section of the file ``path``.

    Raises:
        DataError: not an h5ad file, no counts or positions in it, or several patients in one section.
    """
    with open_h5ad(path) as file:
        part = parts(file)[name]
        if part.rows.all() and not part.of_several:
            say_unread(file)
        noted = file.mapping("uns/section")
        in_tissue = tissue_flags(path, file.index("obs"), _tissue_column(file), among=part.rows)
        rows = part.rows & in_tissue
        found = counts_of(file, rows)
        coords = centres_of(file)[rows]
        factors = _factors(file, part)
        spots = list(file.index("obs")[rows])
        record = hest.record_of(path, name)
        image = _image(path, name, noted, part)
        if image is None:
            hest.say_missing_picture(path, name)
        diameter = as_positive(noted.get("spot_diameter_um"))
        array = _array(file, rows)
        bins = factors is not None and factors.bin_um is not None
        check_array_places(path, name, spots, coords, array, refuse=image is not None, bins=bins)
        by_factors = [] if factors is None else factors.resolutions(coords, array)
        return RawSection(
            name=name,
            patient=_patient(settings, file, name, part, record),
            path=path,
            spots=spots,
            genes=found.symbols,
            counts=found.counts,
            coords_px=coords,
            image=image,
            resolutions=[
                *_own_record(noted),
                *(by_factors if record is None else record.resolutions(coords, by_factors)),
            ],
            spot_size=factors.spot_size if factors is not None and record is None else None,
            full_size_px=_full_size_px(file, part, factors) if record is None else record.full_size_px,
            reduced=_reduced(file, part, factors) if image is not None and record is None else None,
            spot_diameter_um=diameter or next((told.spot_diameter_um for told in (record, factors) if told), None),
            mismatches=_mismatches(noted, found, int((part.rows & ~in_tissue).sum())),
            gene_ids=found.ids,
        )


def obs_column(settings: SectionsSettings, name: str, column: str, spots: pd.Index) -> pd.Series | None:
    """A column of ``obs`` for a section's spots; None where the file has none."""
    with open_h5ad(find(settings)[name]) as file:
        values = file.column("obs", column)
        index = file.index("obs")
    return None if values is None or not index.is_unique else values.set_axis(index).reindex(spots)


def _tissue_column(file: H5adFile) -> pd.Series | None:
    """``obs["in_tissue"]`` however it is spelt (`InTissue`), or Seurat's `tissue` of 0 and 1, beside its `imagerow`."""
    names = {re.sub(r"[^a-z]", "", name.lower()): name for name in reversed(file.keys("obs"))}
    if "intissue" in names:
        return file.column("obs", "in_tissue" if "in_tissue" in file.keys("obs") else names["intissue"])
    column = file.column("obs", "tissue") if "imagerow" in names else None  # else it may number pieces of tissue
    return column if column is not None and set(column.astype(str).str.strip()) <= {"0", "1", "0.0", "1.0"} else None


def _array(file: H5adFile, rows: np.ndarray) -> np.ndarray | None:
    """(row, column) on the slide's array, where scanpy has left them."""
    columns = [file.column("obs", name) for name in ("array_row", "array_col")]
    if any(column is None for column in columns):
        return None
    numbers = [pd.to_numeric(column[rows], errors="coerce") for column in columns if column is not None]
    return np.stack([number.to_numpy(dtype=np.float64) for number in numbers], axis=1)


def _factors(file: H5adFile, part: Part) -> ScaleFactors | None:
    if part.library is None:
        return None
    facts, bin_um = file.mapping(f"{part.key}/scalefactors"), named_bin_um(part.library)
    facts = {"bin_size_um": bin_um, **facts} if bin_um else facts
    return scale_factors(file.path, part.said, facts) if facts else None


def _full_size_px(file: H5adFile, part: Part, factors: ScaleFactors | None) -> tuple[float, float] | None:
    """Size of the image that the reduced copy in ``uns`` was made of."""
    shape = None if part.library is None else file.shape(f"{part.key}/images/hires")
    if (
        factors is None
        or factors.hires is None
        or shape is None
        or len(shape) != 3
        or shape[2] not in (3, 4)
        or not min(shape[:2])
    ):
        return None
    return shape[1] / factors.hires, shape[0] / factors.hires


def _reduced(file: H5adFile, part: Part, factors: ScaleFactors | None) -> tuple[UInt8[np.ndarray, "h w 3"], str] | None:
    """The reduced copy in ``uns``, whose size says that it is one of the whole image."""
    if _full_size_px(file, part, factors) is None:
        return None
    copy = as_picture(file.array(f"{part.key}/images", "hires"))
    return None if copy is None else (copy, f'{part.said}["images"]["hires"]')


def _own_record(noted: Mapping[str, Any]) -> list[Candidate]:
    mpp = as_positive(noted.get("mpp_um_per_px"))
    return [] if mpp is None else [Candidate(mpp, str(noted.get("mpp_source") or 'uns["section"]'))]


def _mismatches(noted: Mapping[str, Any], genes: GeneColumns, n_off_tissue: int) -> dict[str, int]:
    found = noted.get("mismatches", {})
    told = {str(kind): int(count) for kind, count in found.items()} if isinstance(found, Mapping) else {}
    told |= {kind: count for kind, count in genes.mismatches.items() if count}
    return told | ({"spots_not_in_tissue": n_off_tissue} if n_off_tissue else {})


def _patient(settings: SectionsSettings, file: H5adFile, name: str, part: Part, record: "hest.Record | None") -> str:
    listed = listed_patient(settings.root, name)
    columns = file.keys("obs")
    for column in patient_columns(columns):
        values = file.column("obs", column)
        if values is None:
            continue
        if listed is not None:
            own = values[part.rows].astype(str).str.strip().unique()
            say_contradiction(settings.root, name, listed, own, file.path)
            continue
        patient = one_name(file.path, column, values[part.rows], of=f"section {name}")
        if patient is not None:
            return patient
    if listed is not None:
        return listed
    if record is not None and record.patient is not None:
        return record.patient
    unread = next((column for column in may_name_patients(columns) if _names_anybody(file, column)), None)
    if unread is not None:
        log.warning(
            '%s: obs["%s"] may name patients and is not read, so section %s is taken as a patient of its own; call it '
            "patient, or give patients.csv (section,patient) beside the data",
            file.path,
            unread,
            name,
        )
    elif part.of_several or record is not None:
        log.warning(
            "%s: nothing says whose section %s is, so it is taken as a patient of its own; patients.csv "
            "(section,patient) beside the data can say it",
            file.path,
            name,
        )
    return name


def _names_anybody(file: H5adFile, column: str) -> bool:
    values = file.column("obs", column)
    return values is not None and not values.map(names_nobody).all()


def _image(path: Path, name: str, noted: Mapping[str, Any], part: Part) -> Path | None:
    written = str(noted.get("image_path", ""))
    if written:
        noted_image = path.parent / written
        if not noted_image.is_file():
            raise DataError(f'{path}: uns["section"]["image_path"] is {written}, which is not there')
        return noted_image
    folders = (path.parent, *hest.image_folders(path))
    images = [image for folder in folders for image in images_called(folder, name)]
    if len(images) > 1:
        raise DataError(
            f"{path}: {len(images)} images are called as section {name} ({some([str(image) for image in images])}); "
            'rename all but the full-resolution one, or name it in uns["section"]["image_path"]'
        )
    whole = [image for folder in folders for image in images_called(folder, path.stem)] if part.of_several else []
    if whole and not images:
        raise DataError(
            f"{path}: holds several libraries (capture areas), and {whole[0].name} is one image, which cannot be that "
            f"of all; name their images {name}{whole[0].suffix}, ..., or give each library a file"
        )
    if not images:
        _say_near_images(path, name, folders)
    return images[0] if images else None


def _say_near_images(path: Path, name: str, folders: Sequence[Path]) -> None:
    beside = [image.name for folder in folders for image in images_in(folder)]
    near = [image for image in beside if re.match(re.escape(name) + r"(?!\d)", image, re.IGNORECASE)]  # A1, not A10
    if near:
        log.warning(
            "%s: section %s has no image called %s.<ending>, and there is %s; call it so if it is the full-size one",
            path,
            name,
            name,
            some(near),
        )
