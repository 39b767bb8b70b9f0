"""What `hage encode st --dry-run` shows."""

from typing import TYPE_CHECKING

from hage_transfer.cli import printed

if TYPE_CHECKING:
    from hage_transfer.pretrain.config import PretrainConfig


def show_check(config: "PretrainConfig") -> None:
    """Prints a row for each section, the faults, and where the pictures are.

    Raises:
        DataError: a section cannot be read as it is.
    """
    from hage_transfer.encode.section_check import COLUMNS, check_sections
    from hage_transfer.errors import DataError, some

    checked = check_sections(config)
    table = printed.table(*COLUMNS)
    for section in checked:
        table.add_row(*section.row.values())
    console = printed.console()
    console.print(table)
    overlays = [str(section.overlay) for section in checked if section.overlay is not None]
    if overlays:
        console.print(f"spots on the image: {some(overlays)}", highlight=False)
    console.print("nothing was encoded (--dry-run)")
    faults = [section.fault for section in checked if section.fault]
    if faults:
        raise DataError(f"{len(faults)} of {len(checked)} sections cannot be read: " + "; ".join(faults[:5]))
