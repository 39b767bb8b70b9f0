"""The slides of a folder of features: flat, or as CLAM, TRIDENT or torchmil lay it out."""

from pathlib import Path

from hage_transfer.errors import DataError
from hage_transfer.running.atomic import TEMPORARY_MARK
from hage_transfer.slide_names import FEATURE_ENDINGS, slide_name


def slide_of_file(path: Path) -> str:
    """The slide whose features a file holds: its name without the endings of the file and of the slide.

    >>> slide_of_file(Path("TCGA-3C-AALI-01Z-00-DX1.F6E9.svs.H5"))
    'TCGA-3C-AALI-01Z-00-DX1.F6E9'
    """
    return slide_name(path.stem if path.suffix.lower() in FEATURE_ENDINGS else path.name)


def find_feature_files(folder: Path) -> dict[str, Path]:
    """Feature file of every slide in a folder, by the slide's name, in order of names.

    A flat folder of `.h5`, `.pt` or `.npy`, in capitals or not; what `hage encode` wrote, or torchmil's
    (``features/``); CLAM's features folder (``h5_files/`` first, ``pt_files/`` for slides without an h5); TRIDENT's
    folder of one magnification, or its job folder, where these hold the features of one encoder.

    Raises:
        DataError: no such folder, none in it, several encoders or magnifications, or two files of one slide.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of feature files")
    if (folder / "h5_files").is_dir() or (folder / "pt_files").is_dir():
        found = {**_flat(folder / "pt_files"), **_flat(folder / "h5_files")}
    else:
        found = _flat(folder) or _flat(folder / "features") or _trident(folder)
    if not found:
        raise DataError(
            f"{folder}: holds no feature file: wanted <slide>.h5, <slide>.pt or <slide>.npy, CLAM's h5_files/ or "
            "pt_files/, or TRIDENT's features_<encoder>/"
        )
    return dict(sorted(found.items()))


def _flat(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    if not folder.is_dir():
        return found
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in FEATURE_ENDINGS or path.name.startswith(TEMPORARY_MARK) or not path.is_file():
            continue
        slide = slide_of_file(path)
        if slide in found:
            raise DataError(f"{folder}: {found[slide].name} and {path.name} are of one slide; move one of them away")
        found[slide] = path
    return found


def _trident(folder: Path) -> dict[str, Path]:
    inside = [path for pattern in ("features_*", "*_overlap/features_*") for path in sorted(folder.glob(pattern))]
    inside = [path for path in inside if path.is_dir()]
    if len(inside) > 1:
        names = ", ".join(str(path.relative_to(folder)) for path in inside)
        raise DataError(f"{folder}: holds several sets of features ({names}); give one of these folders")
    return _flat(inside[0]) if inside else {}
