"""SpatialData stores (`*.zarr`), by the extra `spatialdata`."""

from pathlib import Path

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections.form import RawSection
from hage_transfer.errors import DataError


def find(settings: SectionsSettings) -> dict[str, Path]:
    """Every store under the root, or the root itself, sorted; a section is named as its store."""
    root = settings.root
    stores = [root] if root.suffix == ".zarr" else sorted(root.glob("*.zarr"))
    return {path.name.removesuffix(".zarr"): path for path in stores if path.is_dir()}


def read(settings: SectionsSettings, name: str, path: Path) -> RawSection:
    """Reads one section.

    Raises:
        DataError: the extra is not installed.
    """
    raise DataError(f"{path}: a SpatialData store; pip install 'hage-transfer[spatialdata]' reads it")
