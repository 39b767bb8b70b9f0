"""Sections as files of the run directory, so that a job is given paths and opens what it needs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from anndata import AnnData

from hage_transfer.data.h5_file import read_h5ad
from hage_transfer.data.h5_writing import write_h5ad


@dataclass(frozen=True)
class StoredSections(Mapping[str, AnnData]):
    """Sections by name, each read from its file whenever it is asked for and kept by nobody.

    Attributes:
        paths: the file of each section, in order.
        folder: that they lie in.
    """

    paths: Mapping[str, Path]
    folder: Path

    def __getitem__(self, name: str) -> AnnData:
        return read_h5ad(self.paths[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


def store_section(section: AnnData, folder: Path, *, sha256: str) -> Path:
    """Writes a section (counts, features, positions) to ``folder``, once: its name is the hash of what it holds."""
    path = folder / f"{sha256[:16]}.h5ad"
    if not path.exists():
        write_h5ad(path, section)
    return path
