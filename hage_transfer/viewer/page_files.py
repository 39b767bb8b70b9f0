"""The page's files, read once when the viewer starts: a request chooses among them by name and opens no file."""

from dataclasses import dataclass
from importlib.resources import files

from hage_transfer.errors import DataError

INDEX = "index.html"
LIBRARY = "vendor/openseadragon.min.js"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class PageFile:
    """One file and its media type, which no setting of the machine decides."""

    content: bytes
    media_type: str


def read_page_files() -> dict[str, PageFile]:
    """Every file of the page by its path below `assets/`.

    Raises:
        DataError: the installation lacks one.
    """
    root = files("hage_transfer.viewer") / "assets"
    found: dict[str, PageFile] = {}
    for prefix, folder in (("", root), ("vendor/", root / "vendor")):
        for entry in folder.iterdir() if folder.is_dir() else ():
            ending = entry.name[entry.name.rfind(".") :]
            if entry.is_file() and ending in _TYPES:
                found[prefix + entry.name] = PageFile(entry.read_bytes(), _TYPES[ending])
    missing = [name for name in (INDEX, LIBRARY) if name not in found]
    if missing:
        raise DataError(f"{root}: {missing[0]} is missing; install hage-transfer again")
    return found
