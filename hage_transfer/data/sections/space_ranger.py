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

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hage_transfer.config import SectionsSettings
from hage_transfer.data.section_image import image_size_px
from hage_transfer.data.sections.count_table import read_bytes
from hage_transfer.data.sections.form import RawSection
from hage_transfer.data.sections.image_files import images_in, the_image
from hage_transfer.data.sections.matrix_10x import BARCODES, FEATURES, MTX, MatrixFiles, existing, read_matrix
from hage_transfer.data.sections.patients import listed_patient
from hage_transfer.data.sections.positions import POSITIONS, read_positions
from hage_transfer.data.sections.scale_factors import ScaleFactors, scale_factors
from hage_transfer.data.sections.spot_file import match_spots
from hage_transfer.errors import DataError, some

log = logging.getLogger(__name__)

MATRICES = ("filtered_feature_bc_matrix", "raw_feature_bc_matrix")
SCALE_FACTORS, HIRES = "scalefactors_json.json", "tissue_hires_image.png"
USUAL_BIN_UM = 8.0
_BIN = re.compile(r"square_(\d{3})um")
_PASSED_OVER = ("outs", "binned_outputs")
_DEPTH = 4


@dataclass(frozen=True)
class Found:
    """A matrix under the root.

    Attributes:
        folder: that holds it.
        prefix: what stands before the usual names.
        matrix: the file, or the three.
        raw: whether it holds barcodes without tissue too.
    """

    folder: Path
    prefix: str
    matrix: Path | MatrixFiles
    raw: bool

    @property
    def path(self) -> Path:
        """The matrix's main file."""
        return self.matrix if isinstance(self.matrix, Path) else self.matrix.matrix

    @property
    def bin_um(self) -> int | None:
        """Side of the bins of a Visium HD folder."""
        match = _BIN.fullmatch(self.folder.resolve().name)
        return int(match[1]) if match else None


def find(settings: SectionsSettings) -> dict[str, Path]:
    """Every section under the root and its matrix, sorted; one in the root itself is named as the root's folder.

    Raises:
        DataError: two sections of one name, or none of Visium HD's bin sizes that is asked for.
    """
    return {name: found.path for name, found in _sections(settings).items()}


def read(settings: SectionsSettings, name: str, path: Path) -> RawSection:
    """Reads one section.

    Raises:
        DataError: matrix, positions or scale factors missing or not in their form, or no common barcode.
    """
    found = _sections(settings)[name]
    positions = _part(found, POSITIONS)
    if positions is None:
        raise DataError(
            f"{found.folder / 'spatial'}: no {' or '.join(POSITIONS)}, so the spots of {path.name} have no positions"
        )
    spots = read_positions(positions)
    table, genes = read_matrix(found.matrix)
    matched = match_spots(table, spots, paths=(path, positions))
    if found.raw:
        log.info("%s: the filtered matrix is not there; of the raw one the spots under tissue are read", path)
    by_name = spots.drop_duplicates("name").set_index("name")
    names = [table.spots[row] for row in matched.rows]
    factors = _scale_factors(found)
    return RawSection(
        name=name,
        patient=listed_patient(settings.root, name) or name,
        path=path,
        spots=names,
        genes=table.genes,
        counts=table.counts[matched.rows],
        coords_px=matched.coords_px,
        image=_image(settings, found),
        resolutions=factors.resolutions(
            matched.coords_px, by_name.loc[names, ["array_row", "array_col"]].to_numpy(dtype=np.float64)
        ),
        spot_size=factors.spot_size,
        full_size_px=_full_size_px(found, factors),
        spot_diameter_um=factors.spot_diameter_um,
        mismatches={**matched.mismatches, "symbols_merged": genes.n_merged},
        gene_ids=genes.ids,
    )


def _sections(settings: SectionsSettings) -> dict[str, Found]:
    """Every section by name: of a folder's raw and filtered matrix the filtered, of HD's bin sizes one."""
    root = settings.root
    by_place: dict[tuple[Path, str], list[Found]] = {}
    for found in _matrices(root):
        by_place.setdefault((found.folder, found.prefix), []).append(found)
    chosen = [
        min(group, key=lambda found: (found.raw, isinstance(found.matrix, MatrixFiles))) for group in by_place.values()
    ]
    tissues: dict[Path, list[Found]] = {}
    for found in chosen:
        tissues.setdefault(found.folder.parent if found.bin_um else found.path, []).append(found)
    kept = [_one_bin_size(group, settings) for group in tissues.values()]
    folders = [found.folder for found in kept]
    named: dict[str, Found] = {}
    for found in kept:
        name = _name(found, root, alone=folders.count(found.folder) == 1)
        if name in named:
            raise DataError(f"{found.path}: section {name} is also {named[name].path}; rename a folder")
        named[name] = found
    return {name: named[name] for name in sorted(named)}


def _matrices(root: Path) -> Iterator[Found]:
    for folder in _folders(root, _DEPTH):
        for path in sorted(folder.iterdir()):
            if path.name.startswith("."):
                continue
            for name in MATRICES:
                if path.name.endswith(f"{name}.h5") and path.is_file():
                    yield Found(folder, path.name.removesuffix(f"{name}.h5"), path, name.startswith("raw"))
                elif path.name.endswith(name) and path.is_dir():
                    files = _mtx(path, "")
                    if files is not None:
                        yield Found(folder, path.name.removesuffix(name), files, name.startswith("raw"))
            ending = next((end for end in (MTX, f"{MTX}.gz") if path.name.endswith(end)), None)
            if ending is not None and not folder.name.endswith(MATRICES):
                files = _mtx(folder, path.name.removesuffix(ending))
                if files is not None:
                    yield Found(folder, path.name.removesuffix(ending), files, raw=False)


def _folders(root: Path, depth: int) -> Iterator[Path]:
    yield root
    if depth:
        for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
            yield from _folders(folder, depth - 1)


def _mtx(folder: Path, prefix: str) -> MatrixFiles | None:
    found = [existing(folder, prefix, names) for names in ((MTX,), (BARCODES,), FEATURES)]
    if any(path is None for path in found):
        return None
    matrix, barcodes, features = (path for path in found if path is not None)
    return MatrixFiles(matrix, barcodes, features)


def _part(found: Found, names: tuple[str, ...]) -> Path | None:
    """A file of `spatial/`, with the matrix's prefix, without, or the only one with another.

    Raises:
        DataError: several with other prefixes.
    """
    folders = (found.folder / "spatial", found.folder / f"{found.prefix}spatial", found.folder)
    for folder in folders:
        for prefix in dict.fromkeys((found.prefix, "")):
            path = existing(folder, prefix, names)
            if path is not None:
                return path
    endings = tuple(f"{name}{packed}" for name in names for packed in ("", ".gz"))
    others = [path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.name.endswith(endings)]
    if len(others) > 1:
        raise DataError(
            f"{found.path}: {some([path.name for path in others])} are there, none with its prefix "
            f"({found.prefix or 'none'}); rename the one that belongs to it"
        )
    return others[0] if others else None


def _one_bin_size(group: list[Found], settings: SectionsSettings) -> Found:
    sizes = {float(found.bin_um): found for found in group if found.bin_um}
    if not sizes:
        return group[0]
    there, folder = some([f"{size:g}" for size in sorted(sizes)]), group[0].folder.parent
    wanted = settings.bin_um or (USUAL_BIN_UM if len(sizes) > 1 else next(iter(sizes)))
    if wanted not in sizes:
        raise DataError(
            f"{folder}: Visium HD in bins of {there} um, and bins of {wanted:g} um are wanted; set data.bin_um to one "
            "that is there (they are one tissue, so one of them is read)"
        )
    if len(sizes) > 1:
        log.info("%s: Visium HD in bins of %s um, those of %g um are read (data.bin_um)", folder, there, wanted)
    return sizes[wanted]


def _name(found: Found, root: Path, *, alone: bool) -> str:
    folder, top = found.folder.resolve(), root.resolve()
    if found.bin_um and folder != top and folder.parent.name == "binned_outputs":
        folder = folder.parent
    while folder.name in _PASSED_OVER and folder.parent != folder:
        folder = folder.parent
    prefix = found.prefix.rstrip("_-. ")
    return prefix if prefix and (not alone or found.folder == root) else folder.name


def _scale_factors(found: Found) -> ScaleFactors:
    path = _part(found, (SCALE_FACTORS,))
    if path is None:
        log.warning("%s: no %s; the pitch of the spots is the only ruler", found.folder / "spatial", SCALE_FACTORS)
        return ScaleFactors("the matrix's folder", bin_um=found.bin_um)
    try:
        facts = json.loads(read_bytes(path).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON: {error}") from None
    if isinstance(facts, dict) and found.bin_um and "bin_size_um" not in facts:
        facts = {**facts, "bin_size_um": found.bin_um}
    return scale_factors(path, path.name, facts)


def _full_size_px(found: Found, factors: ScaleFactors) -> tuple[float, float] | None:
    """Size of the image that Space Ranger was given, by the reduced copy it made."""
    hires = _part(found, (HIRES,))
    if factors.hires is None or hires is None or hires.suffix == ".gz":
        return None
    width, height = image_size_px(hires)
    return width / factors.hires, height / factors.hires


def _image(settings: SectionsSettings, found: Found) -> Path | None:
    places = [found.folder]
    while found.bin_um and places[-1].resolve() != settings.root.resolve() and len(places) < 4:
        places.append(places[-1].parent)
    for place in places:
        images = [path for path in images_in(place) if not path.name.endswith(HIRES)]
        of_prefix = [path for path in images if found.prefix and path.name.startswith(found.prefix)]
        image = the_image(
            of_prefix or ([] if found.prefix and place == settings.root and len(images) > 1 else images),
            str(place),
            remedy="name the full-resolution one image.<ending>",
        )
        if image is not None:
            return image
    return None
