"""Which files of a folder are Space Ranger's, whatever a repository has put before their names."""

import logging
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections.image_files import SEPARATORS
from hage_transfer.data.sections.matrix_10x import MTX, MatrixFiles, existing, missing_of_mtx, mtx_files
from hage_transfer.data.sections.scale_factors import chosen_bin
from hage_transfer.errors import DataError, some

log = logging.getLogger(__name__)

MATRICES = ("filtered_feature_bc_matrix", "raw_feature_bc_matrix")
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
    """

    folder: Path
    prefix: str
    matrix: Path | MatrixFiles

    @property
    def raw(self) -> bool:
        """Whether it holds barcodes without tissue too."""
        return MATRICES[1] in str(self.path.relative_to(self.folder))

    @property
    def path(self) -> Path:
        """The matrix's main file."""
        return self.matrix if isinstance(self.matrix, Path) else self.matrix.matrix

    @property
    def bin_um(self) -> int | None:
        """Side of the bins of a Visium HD folder."""
        match = _BIN.fullmatch(self.folder.resolve().name)
        return int(match[1]) if match else None


def matrices_by_section(settings: SectionsSettings) -> dict[str, Found]:
    """Every section by name: of a folder's raw and filtered matrix the filtered, of HD's bin sizes one."""
    root = settings.root
    by_place: dict[tuple[Path, str], list[Found]] = {}
    for found in _matrices(root):
        by_place.setdefault((found.folder, found.prefix), []).append(found)
    _refuse_incomplete(root, by_place)
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


def matrix_at(path: Path) -> Found | None:
    """The matrix whose main file this is; None where it is none's."""
    for name in MATRICES:
        if path.name.endswith(f"{name}.h5"):
            return Found(path.parent, path.name.removesuffix(f"{name}.h5"), path)
    prefix = _prefix_of_mtx(path)
    files = None if prefix is None else mtx_files(path.parent, prefix)
    return None if prefix is None or files is None else Found(*_place_of_mtx(path.parent, prefix), files)


def _prefix_of_mtx(path: Path) -> str | None:
    ending = next((end for end in (MTX, f"{MTX}.gz") if path.name.endswith(end)), None)
    return None if ending is None else path.name.removesuffix(ending)


def _place_of_mtx(folder: Path, prefix: str) -> tuple[Path, str]:
    """The section's folder and prefix: a folder with a matrix's name stands for the matrix."""
    of_folder = next((name for name in MATRICES if folder.name.endswith(name)), None)
    return (folder, prefix) if of_folder is None else (folder.parent, folder.name.removesuffix(of_folder))


def _refuse_incomplete(root: Path, there: Collection[tuple[Path, str]]) -> None:
    """Refuses a matrix that cannot be read as it lies, where the section has no other.

    Raises:
        DataError: an HDF5 file that is gzipped, or a Matrix Market file without the lists that belong to it.
    """
    for path in _files(root, _DEPTH):
        packed = next((f"{name}.h5.gz" for name in MATRICES if path.name.endswith(f"{name}.h5.gz")), None)
        if packed is not None and (path.parent, path.name.removesuffix(packed)) not in there:
            raise DataError(f"{path}: a gzipped HDF5 file cannot be read in parts; unpack it with gunzip")
        prefix = _prefix_of_mtx(path)
        missing = [] if prefix is None else missing_of_mtx(path.parent, prefix)
        if prefix is not None and missing and _place_of_mtx(path.parent, prefix) not in there:
            raise DataError(
                f"{path}: {' and '.join(missing)} not beside it, and a Matrix Market matrix is read with its lists of "
                "barcodes and features; put them there, or move the matrix elsewhere"
            )


def _matrices(root: Path, *, depth: int = _DEPTH) -> Iterator[Found]:
    for path in _files(root, depth):
        found = matrix_at(path)
        if found is not None:
            yield found


def _files(root: Path, depth: int) -> Iterator[Path]:
    for folder in _folders(root, depth):
        yield from (path for path in sorted(folder.iterdir()) if not path.name.startswith(".") and path.is_file())


def _folders(root: Path, depth: int) -> Iterator[Path]:
    yield root
    try:
        below = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{root}: cannot be listed ({error.strerror})") from None
    for folder in below if depth else ():
        yield from _folders(folder, depth - 1)


def prefixes_beside(found: Found) -> set[str]:
    """Prefixes of all sections whose matrices lie in the same folder."""
    return {other.prefix for other in _matrices(found.folder, depth=1) if other.folder == found.folder}


def is_alone(found: Found) -> bool:
    """Whether no other section's matrix lies in the same folder."""
    return len(prefixes_beside(found)) == 1


def places_of_image(found: Found, root: Path) -> list[Path]:
    """The matrix's folder, and of Visium HD those above it up to the section's, which may hold its image."""
    places = [found.folder]
    while (
        found.bin_um
        and places[-1].resolve() != root.resolve()
        and (len(places) == 1 or places[-1].resolve().name in _PASSED_OVER)
    ):
        places.append(places[-1].parent)
    return places


def part_of(found: Found, names: tuple[str, ...]) -> Path | None:
    """A file of `spatial/` with the matrix's prefix; with none or another where the matrix is alone in its folder.

    Raises:
        DataError: several with other prefixes.
    """
    alone = is_alone(found)
    folders = (found.folder / "spatial", found.folder / f"{found.prefix}spatial", found.folder)
    for folder in folders:
        for prefix in dict.fromkeys((found.prefix, "") if alone else (found.prefix,)):
            path = existing(folder, prefix, names)
            if path is not None:
                return path
    if not alone:
        return None
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
    return sizes[chosen_bin(group[0].folder.parent, sizes, settings.bin_um)]


def _name(found: Found, root: Path, *, alone: bool) -> str:
    folder, top = found.folder.resolve(), root.resolve()
    if found.bin_um and folder != top and folder.parent.name == "binned_outputs":
        folder = folder.parent
    while folder.name in _PASSED_OVER and folder.parent != folder:
        folder = folder.parent
    prefix = found.prefix.rstrip(SEPARATORS)
    return prefix if prefix and (not alone or found.folder == root) else folder.name
