"""Which file, or which folder of files, a name of a slide means; and which slides a folder holds."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from hage_transfer.errors import DataError, nearest, some
from hage_transfer.running.file_stamp import size_and_time
from hage_transfer.slide_names import IMAGE_ENDINGS, SLIDE_ENDINGS, match_names, slide_name
from hage_transfer.slides.dicom import is_dicom, series_in, series_uid

_SHOWN, _LONGEST = 80, 400
_OME = re.compile(r"\.ome$", re.IGNORECASE)
_OTHERS = (SLIDE_ENDINGS | IMAGE_ENDINGS) - {".dcm"}
"""Endings of files that are no DICOM and need not be opened to know it; instances often have none."""


@dataclass(frozen=True)
class NamedSlide:
    """A slide under the name that it has in tables, features and pictures.

    Attributes:
        path: its file; of DICOM, the folder of the series, or one of its instances where several share a folder.
        name: without folder and ending.
    """

    path: Path
    name: str


def find_slide(root: Path, name: str) -> Path:
    """The slide under ``root`` that a label table calls ``name``, with or without its ending.

    A file; or a folder of the slide's own, which holds one slide: a file, or a DICOM series, for which the folder
    stands. Names that no file has are matched as those of feature files are (``match_names``); DICOM slides that share
    a folder go by the name of an instance, their ContainerIdentifier or SeriesInstanceUID.

    Raises:
        DataError: none, or several.
    """
    exact = root / name
    try:
        there = exact.is_file()
    except (OSError, ValueError) as error:  # longer than a name can be, a loop of links, a null byte
        raise DataError(f"slide {name[:_SHOWN]}: is the name of no file ({error})"[:_LONGEST]) from None
    if there:
        return exact
    if exact.is_dir() and (own := slide_of_folder(exact)) is not None:
        return own
    beside = sorted(exact.parent.glob(f"{_escape(exact.name)}.*"))
    for endings in (SLIDE_ENDINGS, IMAGE_ENDINGS):
        longer = [path for path in beside if path.suffix.lower() in endings]
        found = [path for path in longer if _OME.sub("", slide_name(path.name)) == exact.name] or longer
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(path.name for path in found)
            raise DataError(f"slide {name}: several files, {names}; write the ending too")
    return _by_another_name(root, name)


def slides_in(folder: Path) -> list[NamedSlide]:
    """The slides of a folder by name: its files, its subfolders that hold one slide, and its DICOM series.

    A folder of one DICOM series alone is that slide.

    Raises:
        DataError: none, or an instance of DICOM that cannot be read.
    """
    own = slide_of_folder(folder)
    if own == folder:
        return [NamedSlide(folder, folder.resolve().name)]
    entries = sorted(folder.iterdir())
    files = [path for path in entries if path.is_file() and path.suffix.lower() in SLIDE_ENDINGS | IMAGE_ENDINGS]
    found = [NamedSlide(path, path.stem) for path in files if not is_dicom(path)]
    found += [NamedSlide(one.paths[0], one.container or one.uid) for one in series_in(folder)]
    stems = {one.name for one in found}
    for path in entries:
        if path.is_dir() and path.name not in stems and (inside := slide_of_folder(path)) is not None:
            found.append(NamedSlide(inside, path.name))
    if not found:
        raise DataError(f"{folder}: a folder without a slide ({', '.join(sorted(SLIDE_ENDINGS))}, DICOM)")
    return sorted(found, key=lambda one: one.name)


def slide_of_folder(folder: Path) -> Path | None:
    """The one slide in a folder of its own: the folder itself for DICOM, else the file; None where there is none.

    Raises:
        DataError: several DICOM series.
    """
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    slides = [path for path in files if path.suffix.lower() in SLIDE_ENDINGS - {".dcm"} and not is_dicom(path)]
    series = [] if slides else series_in(folder)
    if len(series) == 1:
        return folder
    return slides[0] if len(slides) == 1 else None


def slide_stamp(path: Path) -> list[int | str]:
    """Size and time of change, of every file of a folder: enough to notice another slide; 0 where there is none."""
    if path.is_dir():
        facts = [(one.name, *size_and_time(one)) for one in sorted(path.iterdir()) if one.is_file()]
        return ["folder", hashlib.sha256(repr(facts).encode()).hexdigest()]
    return [*size_and_time(path)] if path.is_file() else [0, 0]


def refuse_one_slide_twice(slides: list[tuple[str, Path]]) -> None:
    """Refuses one file, or instances of one DICOM series, under several names: one slide would fall into several folds.

    Args:
        slides: name and path of each.

    Raises:
        DataError: see above.
    """
    of_path: dict[Path, str] = {}
    for name, path in slides:
        if of_path.setdefault(path, name) != name:
            raise DataError(f"{of_path[path]} and {name}: one slide, {path.name}, and not two; write their whole names")
    of_series: dict[str, list[str]] = {}
    for name, path in slides:
        uid = series_uid(path) if path.is_file() and path.suffix.lower() not in _OTHERS else None
        if uid is not None:
            of_series.setdefault(uid, []).append(name)
    for uid, names in of_series.items():
        if len(names) > 1:
            first = some(names, 3)
            raise DataError(
                f"{first}: {len(names)} instances of one DICOM slide (series {uid}), not {len(names)} slides; keep one "
                "row, or put each series into a folder of its own and give the folder's name"
            )


def _by_another_name(root: Path, name: str) -> Path:
    wanted = slide_name(name)
    there: dict[str, Path] = {}
    if root.is_dir():
        for path in sorted(root.iterdir()):
            if path.is_dir() or path.suffix.lower() in SLIDE_ENDINGS:
                there.setdefault(slide_name(path.name), path)
        for series in series_in(root):
            there.setdefault(series.uid, series.paths[0])
            there.setdefault(series.container, series.paths[0])
    other = match_names([wanted], list(there)).get(wanted)
    if other is not None:
        path = there[other]
        inside = slide_of_folder(path) if path.is_dir() else path
        if inside is not None:
            return inside
    if (root / name).is_dir() and len(series_in(root / name)) > 1:
        raise DataError(f"slide {name}: the folder {root / name} holds several DICOM series; give each its own folder")
    hint = "".join(f"; nearest there: {there[near].name}" for near in nearest(wanted, there))
    raise DataError(f"slide {name}: no such file in {root} (data.root), with or without ending{hint}")


def _escape(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)
