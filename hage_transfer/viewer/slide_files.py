"""Which file a run's slide is: in the folder that the user names, as the run recorded it, or where its data were."""

import os
from collections.abc import Sequence
from pathlib import Path

from hage_transfer.errors import DataError
from hage_transfer.slide_names import IMAGE_ENDINGS, SLIDE_ENDINGS

_ENDINGS = SLIDE_ENDINGS | IMAGE_ENDINGS


class SlideFiles:
    """Finds slides by file name, with or without ending, anywhere below a folder; a folder is walked once.

    Args:
        given: folder that the user names; it goes before what is recorded.
        roots: folders that the run's config names; they come last.
        run: folder of the run, whose relative paths are those of a folder above it.
    """

    def __init__(self, given: Path | None, roots: Sequence[Path] = (), *, run: Path) -> None:
        self._run, self._given = run, given
        self._roots = tuple(seen_from(run, root) for root in roots) if given is None else ()
        self._indices: dict[Path, dict[str, list[Path]]] = {}

    def find(self, name: str, recorded: Path | None = None) -> Path | None:
        """A slide's file; None where there is none, or where one name is several files."""
        names = [name] if recorded is None else [recorded.name, recorded.stem, name]
        if self._given is not None:
            found = self._below(self._given, names)
            if found is not None:
                return found
        recorded = None if recorded is None else seen_from(self._run, recorded)
        if recorded is not None and recorded.exists():
            return recorded.resolve()
        return next((found for root in self._roots if (found := self._below(root, names)) is not None), None)

    def sought(self, recorded: Path | None = None) -> str:
        """Where it was looked for, in words."""
        folders = [self._given] if self._given is not None else self._roots
        places = [*([str(recorded)] if recorded else []), *(f"the folder {folder.resolve()}" for folder in folders)]
        return ", ".join(places) or "no folder, since the run names none"

    def _below(self, folder: Path, names: Sequence[str]) -> Path | None:
        if folder not in self._indices:
            self._indices[folder] = _index(folder)
        index = self._indices[folder]
        alone = (index[name][0] for name in names if len(index.get(name, ())) == 1)
        return next(alone, None)


def seen_from(run: Path, path: Path) -> Path:
    """A path that a run recorded: as it is, else below the nearest folder above the run where there is such a one."""
    if path.is_absolute() or path.exists():
        return path
    return next((found for above in run.resolve().parents if (found := above / path).exists()), path)


def check_folder(slides: Path | None) -> None:
    """Refuses a folder of slides that is not there.

    Raises:
        DataError: see above.
    """
    if slides is not None and not slides.is_dir():
        raise DataError(f"slides={slides}: no such folder; give the one that holds the slides")


def _index(folder: Path) -> dict[str, list[Path]]:
    """Files of a slide's ending by name and by name without ending."""
    found: dict[str, list[Path]] = {}
    for place, _, names in os.walk(folder):
        if place != str(folder) and any(name.lower().endswith(".dcm") for name in names):
            found.setdefault(Path(place).name, []).append(Path(place).resolve())  # DICOM: the folder is the slide
        for name in names:
            path = Path(place, name).resolve()
            if path.suffix.lower() in _ENDINGS:
                found.setdefault(name, []).append(path)
                found.setdefault(Path(name).stem, []).append(path)
    return found
