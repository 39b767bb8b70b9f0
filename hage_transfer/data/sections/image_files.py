"""Which file of a folder is a section's image."""

from collections.abc import Collection, Sequence
from pathlib import Path

from hage_transfer.errors import DataError, some
from hage_transfer.slide_names import IMAGE_ENDINGS, SLIDE_ENDINGS

ENDINGS = tuple(sorted(IMAGE_ENDINGS | SLIDE_ENDINGS | {".btf"}))
SEPARATORS = "_-. "
"""What may stand between a prefix and the usual name of a file."""
_OME = ".ome"


def bare_name(path: Path) -> str:
    """An image's name without its ending, and without the `.ome` of an OME-TIFF before it."""
    return path.stem[: -len(_OME)] if path.stem.lower().endswith(_OME) else path.stem


def of_prefix(images: Sequence[Path], prefix: str, beside: Collection[str]) -> list[Path]:
    """The images of the section with a prefix, where files of several sections share a folder.

    An image belongs to the longest prefix that it begins with, or whose name it has without what ends it
    (`GSM1_P1_` has `GSM1_P1_he.png` and `GSM1_P1.png`).

    Args:
        images: of the folder.
        prefix: of the section.
        beside: prefixes of all its sections.
    """

    def owner(path: Path) -> str | None:
        fitting = [one for one in beside if path.name.startswith(one) or bare_name(path) == one.rstrip(SEPARATORS)]
        return max(fitting, key=len, default=None)

    return [path for path in images if owner(path) == prefix]


def images_called(folder: Path, name: str) -> list[Path]:
    """The images of a folder that have a name, whatever the capitals of their ending; `.ome` belongs to the ending."""
    if not folder.is_dir():
        return []
    named = (path for path in folder.iterdir() if path.name.startswith(name) and name in (path.stem, bare_name(path)))
    return sorted(path for path in named if path.suffix.lower() in ENDINGS and path.is_file())


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder, by their endings."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in ENDINGS and path.is_file() and not path.name.startswith(".")
    )


def the_image(images: Sequence[Path], where: str, *, remedy: str, prefix: str = "") -> Path | None:
    """The one image, by preference the one that is called `<prefix>image.<ending>`; None where there is none.

    Raises:
        DataError: several.
    """
    chosen = [path for path in images if path.stem.removeprefix(prefix).split(".")[0] == "image"] or list(images)
    if len(chosen) > 1:
        raise DataError(
            f"{where}: {len(chosen)} images ({some([path.name for path in chosen])}) for one section; {remedy}"
        )
    return chosen[0] if chosen else None
