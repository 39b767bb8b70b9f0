import sys
import warnings

import numpy as np
import pytest

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections
from hage_transfer.data.spot_patches import iter_spot_patches
from hage_transfer.errors import DataError


def settings(root, **more):
    return SectionsSettings(layout="spatialdata", root=root, **more)


def test_a_store_names_the_extra_where_it_is_not_installed(tmp_path, monkeypatch):
    (tmp_path / "S1.zarr").mkdir()
    monkeypatch.setitem(sys.modules, "spatialdata", None)
    with pytest.raises(DataError, match=r"S1\.zarr: a SpatialData store is read by .*hage-transfer\[spatialdata\]"):
        read_sections(settings(tmp_path))


@pytest.fixture
def store(tmp_path, made):
    """Writes a store of Visium spots in half of the picture's pixels; `change` may change its table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sd = pytest.importorskip("spatialdata", reason="the extra `spatialdata` is not installed")

    def write(change=lambda table: None, *, region="S1"):
        from geopandas import GeoDataFrame
        from shapely.geometry import Point
        from spatialdata.models import Image2DModel, ShapesModel, TableModel
        from spatialdata.transformations import Identity, Scale

        section = made()
        table = section.anndata()
        del table.uns["spatial"]
        table.obs["region"], table.obs["spot_id"] = region, np.arange(20)
        table.obs["region"] = table.obs["region"].astype("category")
        change(table)
        width, height = section.size_px
        rgb = np.random.default_rng(0).integers(0, 255, (3, height, width), dtype=np.uint8)
        double = {"global": Scale([2, 2], axes=("x", "y"))}
        circles = GeoDataFrame({"radius": [32.5] * 20}, geometry=[Point(x / 2, y / 2) for x, y in section.coords])
        axes = ("c", "y", "x")
        sd.SpatialData(
            images={
                "S1_full_image": Image2DModel.parse(
                    rgb, dims=axes, scale_factors=[2], transformations={"global": Identity()}
                ),
                "S1_hires_image": Image2DModel.parse(rgb[:, ::2, ::2], dims=axes, transformations=double),
            },
            shapes={region: ShapesModel.parse(circles, transformations=double)},
            tables={"table": TableModel.parse(table, region=region, region_key="region", instance_key="spot_id")},
        ).write(tmp_path / "root" / "S1.zarr", overwrite=True)
        return tmp_path / "root", rgb

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield write


def test_spatialdata_spots_lie_on_the_full_picture(store, made):
    root, rgb = store()
    (section,) = read_sections(settings(root))
    facts = section.uns["section"]
    np.testing.assert_array_equal(section.X.toarray(), made().counts.toarray())
    np.testing.assert_allclose(section.obsm["spatial"], made().coords)
    assert facts["mpp_um_per_px"] == pytest.approx(0.5, rel=0.01)
    patches = list(iter_spot_patches(section, size_px=32))
    left, top = (np.floor(section.obsm["spatial"][7] - 16 + 0.5)).astype(int)
    np.testing.assert_array_equal(patches[7], np.moveaxis(rgb[:, top : top + 32, left : left + 32], 0, 2))


def test_spatialdata_leaves_out_spots_off_the_tissue(store):
    def change(table):
        table.obs["in_tissue"] = [0] * 3 + [1] * 17

    (section,) = read_sections(settings(store(change)[0]))
    assert section.n_obs == 17
    assert section.uns["section"]["mismatches"]["spots_not_in_tissue"] == 3


def test_spatialdata_refuses_normalised_counts(store):
    def change(table):
        table.X = table.X * 0.5

    with pytest.raises(DataError, match="raw counts are whole numbers"):
        read_sections(settings(store(change)[0]))
