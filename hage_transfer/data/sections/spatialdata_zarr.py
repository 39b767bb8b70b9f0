"""SpatialData stores (`<section>.zarr`) of spots or bins, by the extra `spatialdata`.

The table says which shapes its rows are (one region is one section); their centres are taken to the pixels of the H&E
picture by the store's own transformations. The picture is the one of three channels whose name is neither that of a
reduced copy (`hires`, `lowres`) nor of morphology, and is read where it lies in the store. Of Visium HD's tables, one a
bin size, the one of ``data.bin_um`` is read.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy
from jaxtyping import Float

from hage_transfer.config import SectionsSettings
from hage_transfer.damage import reading
from hage_transfer.data.sections.array_places import check_array_places
from hage_transfer.data.sections.form import RawSection
from hage_transfer.data.sections.gene_columns import genes_of
from hage_transfer.data.sections.patients import listed_patient, one_name, patient_columns
from hage_transfer.data.sections.positions import tissue_flags
from hage_transfer.data.sections.scale_factors import ScaleFactors, chosen_bin, named_bin_um
from hage_transfer.errors import DataError, install_extra, some

_NO_PICTURE = ("hires", "lowres", "morphology", "cytassist")


def find(settings: SectionsSettings) -> dict[str, Path]:
    """Every store under the root, or the root itself, sorted; a section is named as its store."""
    root = settings.root
    stores = [root] if root.suffix == ".zarr" else sorted(root.glob("*.zarr"))
    return {path.name.removesuffix(".zarr"): path for path in stores if path.is_dir()}


def read(settings: SectionsSettings, name: str, path: Path) -> RawSection:
    """Reads one section.

    Raises:
        DataError: the extra is not installed, not such a store, several regions or pictures, or no transformation
            from spots to picture.
    """
    store = _open(path)
    table_name, bin_um = _table_name(path, list(store.tables), settings.bin_um)
    table = store.tables[table_name]
    shapes = _shapes_name(path, table)
    picture = _picture_name(path, store)
    rows, centres = _centres(path, table, store.shapes[shapes])
    with reading(path, f"nothing takes {shapes} to the picture {picture}"):
        to_picture = np.eye(3) if picture is None else _affine(store, shapes, picture)
    in_tissue = tissue_flags(path, table.obs_names, table.obs.get("in_tissue"), among=np.ones(table.n_obs, dtype=bool))[
        rows
    ]
    rows, centres = rows[in_tissue], centres[in_tissue]
    coords_px = centres @ to_picture[:2, :2].T + to_picture[:2, 2]
    genes = genes_of(path, _counts(path, table)[rows], table.var)
    array, spots = _array(table.obs.iloc[rows]), [str(spot) for spot in table.obs_names[rows]]
    check_array_places(path, name, spots, coords_px, array, bins=bin_um is not None)
    factors = ScaleFactors(f"tables/{table_name}", bin_um=bin_um)
    return RawSection(
        name=name,
        patient=listed_patient(settings.root, name) or _patient(path, table.obs, name),
        path=path,
        spots=spots,
        genes=genes.symbols,
        counts=genes.counts,
        coords_px=coords_px,
        image=None if picture is None else path / "images" / picture,
        resolutions=[] if array is None else factors.resolutions(coords_px, array),
        spot_diameter_um=None if array is None else factors.spot_diameter_um,
        mismatches={
            "spots_not_in_tissue": int((~in_tissue).sum()),
            "rows_without_shape": table.n_obs - len(in_tissue),
            **genes.mismatches,
        },
        gene_ids=genes.ids,
    )


def _open(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import spatialdata
    except ImportError:
        raise DataError(f"{path}: a SpatialData store is read by an extra: {install_extra('spatialdata')}") from None
    from anndata._io.specs.registry import IORegistryError

    with reading(path, "cannot be read as a SpatialData store", IORegistryError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's, that formats will change
        return spatialdata.read_zarr(path)


def _table_name(path: Path, names: list[str], bin_um: float | None) -> tuple[str, float | None]:
    sizes = {float(um): name for name in names if (um := named_bin_um(name))}
    if sizes:
        wanted = chosen_bin(path, sizes, bin_um)
        return sizes[wanted], wanted
    if len(names) != 1:
        raise DataError(f"{path}: {len(names)} tables ({some(names) or 'none'}), wanted one of spots")
    return names[0], None


def _shapes_name(path: Path, table: Any) -> str:
    regions = table.uns.get("spatialdata_attrs", {}).get("region", [])
    regions = [regions] if isinstance(regions, str) else list(regions)
    if len(regions) != 1:
        raise DataError(
            f"{path}: its table is of {len(regions)} regions ({some(regions) or 'none'}), each a section; write a "
            "store of each"
        )
    return str(regions[0])


def _picture_name(path: Path, store: Any) -> str | None:
    """The H&E picture; None where the store has none."""
    stained = [
        name
        for name in store.images
        if not any(word in name.lower() for word in _NO_PICTURE) and _n_channels(store.images[name]) == 3
    ]
    chosen = [name for name in stained if "full" in name.lower() or "he_image" in name.lower()] or stained
    if len(chosen) > 1:
        raise DataError(f"{path}: {len(chosen)} pictures ({some(chosen)}) for one section; keep the H&E alone")
    return chosen[0] if chosen else None


def _n_channels(image: Any) -> int:
    first = image["scale0"]["image"] if hasattr(image, "keys") and "scale0" in image else image
    return int(first.sizes["c"])


def _centres(path: Path, table: Any, shapes: Any) -> tuple[np.ndarray, Float[np.ndarray, "spot 2"]]:
    """Rows of the table that have a shape, and the shapes' centres in their own coordinates."""
    key = table.uns["spatialdata_attrs"].get("instance_key")
    if key not in table.obs:
        raise DataError(f'{path}: obs["{key}"], which tells the shape of each row, is not in its table')
    place = pd.Index(shapes.index).get_indexer(pd.Index(table.obs[key]))
    rows = np.flatnonzero(place >= 0)
    if len(rows) < 0.5 * table.n_obs or not len(rows):
        raise DataError(f"{path}: {len(rows)} of {table.n_obs} rows of the table have a shape; is it of these shapes?")
    points = shapes.geometry.centroid
    return rows, np.stack([points.x.to_numpy(), points.y.to_numpy()], axis=1)[place[rows]]


def _affine(store: Any, shapes: str, picture: str) -> Float[np.ndarray, "3 3"]:
    """Takes the shapes' coordinates to level-0 pixels of the picture."""
    from spatialdata.transformations import get_transformation_between_coordinate_systems as between

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moved = between(store, store.shapes[shapes], store.images[picture])
    return np.asarray(moved.to_affine_matrix(input_axes=("x", "y"), output_axes=("x", "y")), dtype=np.float64)


def _counts(path: Path, table: Any) -> "scipy.sparse.csr_matrix":
    values = table.layers.get("counts", table.X)
    if values is None:
        raise DataError(f'{path}: its table has no X and no layers["counts"]')
    return scipy.sparse.csr_matrix(values)


def _array(obs: pd.DataFrame) -> np.ndarray | None:
    if not {"array_row", "array_col"} <= set(obs):
        return None
    return obs[["array_row", "array_col"]].to_numpy(dtype=np.float64)


def _patient(path: Path, obs: pd.DataFrame, name: str) -> str:
    found = (one_name(path, column, obs[column], of=f"section {name}") for column in patient_columns(obs.columns))
    return next((patient for patient in found if patient is not None), name)
