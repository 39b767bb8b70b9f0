"""Slides without a classifier: the folders of `hage encode slides` and of `hage tissue`."""

from pathlib import Path

from hage_transfer.csv_table import as_number, csv_table
from hage_transfer.errors import DataError
from hage_transfer.viewer.contents import Contents, Fact, ListedSlide, by_name
from hage_transfer.viewer.slide_files import SlideFiles

SOURCE = "slides"
_ENCODED = {"status": "Status", "tiles": "Tiles", "tissue_mm2": "Tissue, mm²"}
_SURVEYED = {"tiles": "Tiles", "tissue_mm2": "Tissue, mm²", "pieces": "Pieces"}
_HINT = "a run of hage mil on these slides, and hage heatmap on that run, make attention maps to lay over them"


def read_surveyed(folder: Path, *, slides: Path | None) -> Contents:
    """The folder of `hage tissue`.

    Raises:
        DataError: its table is not in its form.
    """
    return _read(folder, folder / "tissue.csv", _SURVEYED, kind="tissue", slides=slides)


def read_encoded(folder: Path, *, slides: Path | None) -> Contents:
    """The folder of `hage encode slides`, which says nothing of where the slides are.

    Raises:
        DataError: its table is not in its form.
    """
    return _read(folder, folder / "status.csv", _ENCODED, kind="encoded slides", slides=slides)


def _read(folder: Path, table: Path, columns: dict[str, str], *, kind: str, slides: Path | None) -> Contents:
    files = SlideFiles(slides, run=folder)
    listed = []
    for row in _rows(table, folder):
        name, recorded = row["slide"], Path(row["path"]) if row.get("path") else None
        outline = folder / "geojson" / f"{name}.geojson"
        listed.append(
            ListedSlide(
                name=name,
                path=files.find(name, recorded),
                sought=files.sought(recorded),
                facts={SOURCE: {key: _fact(row.get(key, "")) for key in columns}},
                tissue=outline if outline.is_file() else None,
                mpp_um_per_px=_resolution(row),
            )
        )
    return Contents(folder.name, kind, columns, (SOURCE,), by_name(listed, folder), _HINT)


def _rows(table: Path, folder: Path) -> list[dict[str, str]]:
    if not table.is_file():  # feature files without a status table
        return [{"slide": path.stem} for path in sorted((folder / "features").glob("*.h5")) if path.name[0] != "."]
    with csv_table(table, absent="no such file") as opened:
        if "slide" not in opened.columns:
            raise DataError(f"{table}: has no column slide; `encode_slides` and `tissue` write it")
        return [row for _, row in opened.rows]


def _resolution(row: dict[str, str]) -> float | None:
    """Of level 0, as either table has it; None where the axes differ, as in no slide but one that records so itself."""
    across, down = (as_number(row.get(f"mpp_{axis}_um_per_px", "")) for axis in "xy")
    return across if across is not None and across == down else as_number(row.get("mpp_um_per_px", ""))


def _fact(text: str) -> Fact:
    number = as_number(text)
    return number if number is not None else text or None
