"""`make_labels`: a label table of slides from a published one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hage_transfer.data.published_table import NO_LABEL, Columns, write_label_table
from hage_transfer.door.given import PathLike


@dataclass(frozen=True)
class MadeLabels:
    """A label table that was made.

    Attributes:
        path: of the table.
        kept: slides by class.
        left_out: likewise, of classes that were not to be kept and of rows without one.
    """

    path: Path
    kept: dict[str, int]
    left_out: dict[str, int]

    def __fspath__(self) -> str:
        return str(self.path)


def make_labels(
    table: PathLike,
    *,
    out: PathLike,
    slide: str = "slide_id",
    label: str = "label",
    group: str | None = None,
    site: str | None = None,
    keep: Sequence[str] = (),
    drop_empty: bool = False,
) -> MadeLabels:
    """Writes a label table (``slide,label[,group][,site]``) from a published one.

    Args:
        table: published csv, or a zip of one.
        out: label table to write.
        slide: column of the slide.
        label: column of the class.
        group: column of the patient.
        site: column of the site; ``tcga``: the second field of the slide's barcode.
        keep: classes to keep; none: all.
        drop_empty: leave out rows without a class, as ``keep`` does.

    Raises:
        DataError: the table is wrong, has no such column, or names a slide twice.
    """
    columns = Columns(slide, label, group, site)
    counts = write_label_table(Path(table), Path(out), columns, keep=keep, drop_empty=drop_empty)
    kept = {name: n for name, n in counts.items() if name != NO_LABEL and (not keep or name in keep)}
    return MadeLabels(Path(out), kept, {name: n for name, n in counts.items() if name not in kept})
