"""Sections as files of the run directory, so that a job is given paths and opens what it needs.

They are arrays alone, with names and facts as JSON: AnnData's own form takes several times as long to open, and each
job opens every section of its fold.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.sparse import csr_matrix

from hage_transfer.data.h5_file import open_h5, stored_dataset
from hage_transfer.data.h5_writing import new_h5
from hage_transfer.errors import DataError

_COUNTS = ("data", "indices", "indptr")


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
        return _read(self.paths[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


def store_section(section: AnnData, folder: Path, *, sha256: str) -> Path:
    """Writes a section (counts, features, positions) to ``folder``, once: its name is the hash of what it holds."""
    path = folder / f"{sha256[:16]}.h5"
    if not path.exists():
        facts = {"spots": list(section.obs_names), "genes": list(section.var_names), "section": section.uns["section"]}
        with new_h5(path) as file:
            file["facts"] = np.frombuffer(json.dumps(facts, default=_number).encode(), dtype=np.uint8)
            for name in _COUNTS:
                file[f"counts/{name}"] = getattr(section.X, name)
            arrays = file.create_group("obsm")
            for name, values in section.obsm.items():
                arrays[name] = np.asarray(values)
    return path


def _number(value: np.generic) -> object:
    return value.item()


def _read(path: Path) -> AnnData:
    """A section of ``store_section``.

    Raises:
        DataError: missing, damaged, or another file.
    """
    with open_h5(path, remedy="run the pretraining again") as file:
        facts = json.loads(_array(path, file, "facts", kinds="u").tobytes())
        data, indices, indptr = (_array(path, file, f"counts/{name}", kinds="iuf") for name in _COUNTS)
        obsm = {name: _array(path, file, f"obsm/{name}", kinds="iuf") for name in file["obsm"]}
        spots, genes = (pd.DataFrame(index=pd.Index(facts[name], dtype=str)) for name in ("spots", "genes"))
        counts = csr_matrix((data, indices, indptr), shape=(len(spots), len(genes)))
        return AnnData(counts, obs=spots, var=genes, obsm=obsm, uns={"section": facts["section"]})


def _array(path: Path, file: h5py.File, name: str, *, kinds: str) -> np.ndarray:
    found = stored_dataset(path, file, name, kinds=kinds)
    if found is None:
        raise DataError(f"{path}: has no {name}, so is no section of a run; run the pretraining again")
    return np.asarray(found[()])
