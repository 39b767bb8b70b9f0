"""Positions in h5ad files that are a table, whose columns may say which is x and which is y."""

import numpy as np
import pandas as pd
import pytest

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections
from hage_transfer.errors import DataError


@pytest.fixture
def centres(tmp_path, made):
    """Writes positions as a table, y before x where ``turned``, and reads them."""

    def centres(names, *, turned=False):
        section = made().anndata()
        section.obsm["spatial"] = pd.DataFrame(
            section.obsm["spatial"][:, ::-1] if turned else section.obsm["spatial"],
            index=section.obs_names,
            columns=list(names),
        )
        section.write_h5ad(tmp_path / "S1.h5ad")
        (read,) = read_sections(SectionsSettings(layout="anndata", root=tmp_path))
        return read.obsm["spatial"]

    return centres


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ("x", "y"),
        ("X", "Y"),
        ("pxl_col_in_fullres", "pxl_row_in_fullres"),
        ("pxl_col", "pxl_row"),
        ("imagecol", "imagerow"),
        ("image_col", "image_row"),
        ("pixel_x", "pixel_y"),
        ("X_centroid", "Y_centroid"),
    ],
)
def test_columns_that_say_x_and_y_are_read_so_in_any_order(centres, made, x, y):
    np.testing.assert_array_equal(centres([x, y]), made().coords)
    np.testing.assert_array_equal(centres([y, x], turned=True), made().coords)


@pytest.mark.parametrize("names", [("0", "1"), ("spatial1", "spatial2"), ("a", "b"), ("max_a", "max_b")])
def test_columns_that_say_nothing_are_x_then_y(centres, made, names):
    np.testing.assert_array_equal(centres(names), made().coords)


@pytest.mark.parametrize("names", [("x", "col"), ("y", "row"), ("x", "b"), ("a", "y"), ("x_row", "y")])
def test_columns_that_contradict_are_refused(centres, names):
    with pytest.raises(DataError, match=rf"S1\.h5ad: .*{names[0]} and {names[1]}, .*call them x and y"):
        centres(names)


def test_halves_beyond_what_they_hold_exactly_are_refused(tmp_path, made):
    section = made().anndata()
    section.obsm["spatial"] = (section.obsm["spatial"] * 10).astype("f2")
    section.write_h5ad(tmp_path / "S1.h5ad")
    with pytest.raises(DataError, match=r'S1\.h5ad: obsm\["spatial"\] is in half precision'):
        read_sections(SectionsSettings(layout="anndata", root=tmp_path))
