"""AnnData files (`*.h5ad`): a folder of them or one file, a section each or several told apart by ``obs["section"]``.

Counts are ``layers["counts"]`` where there is one, else ``X``. Gene symbols are the index of ``var``; where that holds
Ensembl ids, as in CELLxGENE files, they are ``feature_name`` or another column of symbols. Positions are
``obsm["spatial"]``, (x, y) in level-0 pixels. Patient and section come from ``obs``, else the file's name is both. The
image is the one that ``uns["section"]["image_path"]`` names (relative to the file), else
`<section>.jpg|png|tif|svs|...` beside the file.
"""

import math
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.io import read_elem

from hage_transfer.data.gene_columns import GeneColumns, gene_names_of, merge_symbols
from hage_transfer.data.section_form import RawSection, some
from hage_transfer.data.space_ranger import IMAGE_ENDINGS
from hage_transfer.errors import DataError


def find(root: Path) -> dict[str, Path]:
    """Every section and the file it is in, in the files' order.

    Raises:
        DataError: a file cannot be read, or two files hold a section of one name.
    """
    found: dict[str, Path] = {}
    for path in [root] if root.is_file() else sorted(root.glob("*.h5ad")):
        for name in _names(path):
            if name in found:
                raise DataError(f"{path}: section {name} is also in {found[name]}; rename one")
            found[name] = path
    return found


def read(root: Path, name: str, path: Path) -> RawSection:
    """Reads one section of the file ``path``.

    Raises:
        DataError: not an h5ad file, no ``obsm["spatial"]``, or several patients in one section.
    """
    del root
    try:
        with warnings.catch_warnings():
            # Names that occur twice are an error of ours a moment later.
            warnings.filterwarnings("ignore", message=".* names are not unique", category=UserWarning)
            file = ad.read_h5ad(path)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path}: cannot be read as AnnData ({error})") from None
    section = file[(file.obs["section"].astype(str) == name).to_numpy()] if "section" in file.obs else file
    genes = _genes(section)
    return RawSection(
        name=name,
        patient=_patient(path, name, section.obs),
        path=path,
        spots=list(section.obs_names),
        genes=genes.symbols,
        counts=genes.counts,
        coords_px=_coords(path, section),
        image=_image(path, name, file.uns.get("section", {})),
        mpp_um_per_px=_resolution(file.uns),
        mismatches=_mismatches(file.uns.get("section", {}), genes),
        gene_ids=genes.ids,
    )


def _names(path: Path) -> list[str]:
    try:
        with h5py.File(path, "r") as file:
            obs = read_elem(file["obs"])
    except (OSError, KeyError) as error:
        raise DataError(f"{path}: cannot be read as AnnData ({error})") from None
    if "section" not in obs:
        return [path.stem]
    return list(dict.fromkeys(obs["section"].astype(str)))


def _genes(section: ad.AnnData) -> GeneColumns:
    """Counts by symbol. Symbols of a column are summed where they repeat; an index that repeats is an error later."""
    counts = sp.csr_matrix(section.layers.get("counts", section.X))
    symbols, ids = gene_names_of(section.var)
    if symbols == list(section.var_names):
        return GeneColumns(counts, symbols, ids, n_merged=0)
    return merge_symbols(counts, symbols, ids)


def _mismatches(noted: Any, genes: GeneColumns) -> dict[str, int]:
    found = {kind: int(count) for kind, count in noted.get("mismatches", {}).items()}
    return {**found, "symbols_merged": genes.n_merged} if genes.n_merged else found


def _patient(path: Path, name: str, obs: pd.DataFrame) -> str:
    if "patient" not in obs:
        return name
    patients = obs["patient"].astype(str).unique()
    if len(patients) != 1:
        raise DataError(f"{path}: section {name} has spots of {len(patients)} patients ({some(list(patients))})")
    return str(patients[0])


def _coords(path: Path, section: ad.AnnData) -> np.ndarray:
    if "spatial" not in section.obsm:
        raise DataError(
            f'{path}: no obsm["spatial"], the (x, y) of each spot in level-0 pixels; '
            f"obsm holds {some(list(section.obsm)) or 'nothing'}"
        )
    coords = np.asarray(section.obsm["spatial"])
    if coords.ndim != 2 or coords.shape[1] != 2 or not np.issubdtype(coords.dtype, np.number):
        raise DataError(f'{path}: obsm["spatial"] is (spot, 2) numbers, this is {coords.dtype} of {coords.shape}')
    return coords.astype(np.float64)


def _image(path: Path, name: str, noted: Any) -> Path | None:
    written = str(noted.get("image_path", ""))
    if written:
        image = path.parent / written
        if not image.is_file():
            raise DataError(f'{path}: uns["section"]["image_path"] is {written}, which is not there')
        return image
    beside = [path.parent / f"{name}{ending}" for ending in IMAGE_ENDINGS]
    return next((image for image in beside if image.is_file()), None)


def _resolution(uns: Any) -> float | None:
    mpp = float(uns.get("section", {}).get("mpp_um_per_px", math.nan))
    return None if math.isnan(mpp) else mpp
