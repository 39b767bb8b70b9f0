"""`make_manifest`: a patch set's manifest from a published table."""

from pathlib import Path

from hage_transfer.data.published_table import write_manifest
from hage_transfer.door.given import PathLike


def make_manifest(
    table: PathLike,
    *,
    out: PathLike,
    path_column: str = "file",
    label_column: str = "class",
    group_column: str = "case",
    part_column: str = "set",
) -> int:
    """Turns a published table into a manifest; the columns of SkinCancer's tiles-v2.csv (heiDATA 7QCR8S) by default.

    Args:
        table: csv, a row an image.
        out: manifest to write: ``path,label,group,part``.
        path_column: of the image, relative to ``data.root``.
        label_column: of the class.
        group_column: of the patient or slide; empty: none.
        part_column: of the published train, validation, test; empty: none.

    Returns:
        How many images it lists.

    Raises:
        DataError: the table is wrong, or has no such column.
    """
    columns = {"path": path_column, "label": label_column, "group": group_column, "part": part_column}
    return write_manifest(Path(table), Path(out), {name: column for name, column in columns.items() if column})
