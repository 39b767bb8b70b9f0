"""Which file of a folder is a section's image."""

from collections.abc import Sequence
from pathlib import Path

from hage_transfer.errors import DataError, some
from hage_transfer.slide_names import IMAGE_ENDINGS, SLIDE_ENDINGS

ENDINGS = tuple(sorted(IMAGE_ENDINGS | SLIDE_ENDINGS | {".btf"}))


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder, by their endings."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in ENDINGS and path.is_file() and not path.name.startswith(".")
    )


def the_image(images: Sequence[Path], where: str, *, remedy: str) -> Path | None:
    """The one image, by preference the one that is called `image.<ending>`; None where there is none.

    Raises:
        DataError: several.
    """
    chosen = [path for path in images if path.stem.split(".")[0] == "image"] or list(images)
    if len(chosen) > 1:
        raise DataError(
            f"{where}: {len(chosen)} images ({some([path.name for path in chosen])}) for one section; {remedy}"
        )
    return chosen[0] if chosen else None
