import numpy as np
import pytest

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections
from hage_transfer.data.sections.array_places import check_array_places
from hage_transfer.errors import DataError

TURNS = {
    "as it lies": lambda x, y: (x, y),
    "a quarter": lambda x, y: (3000 - y, x),
    "a half": lambda x, y: (3000 - x, 3000 - y),
    "three quarters": lambda x, y: (y, 3000 - x),
}
MIRRORS = {
    "are x and y exchanged": lambda x, y: (y, x),
    "is x or y counted from the other side": lambda x, y: (x, 3000 - y),
}


def check(made, coords, array=None, spots=None, **options):
    table = made().table
    places = table[["array_row", "array_col"]].to_numpy(float) if array is None else array
    check_array_places("a.csv", "S1", spots or list(table["barcode"]), coords, places, **options)


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_slide_is_nothing_to_say(made, turn, caplog):
    check(made, np.stack(TURNS[turn](*made().coords.T), axis=1))
    assert not caplog.records


@pytest.mark.parametrize("fault", MIRRORS)
def test_spots_that_lie_mirrored_are_said(made, fault, caplog):
    check(made, np.stack(MIRRORS[fault](*made().coords.T), axis=1))
    assert f"a.csv: the spots of section S1 lie as in a mirror of their array: {fault}?" in caplog.text


def test_bins_may_be_counted_from_any_corner(made, caplog):
    for mirror in MIRRORS.values():
        check(made, np.stack(mirror(*made().coords.T), axis=1), bins=True)
    assert not caplog.records


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_places_on_the_array_are_no_positions(made, order):
    array = made().table[["array_row", "array_col"]].to_numpy(float)
    with pytest.raises(
        DataError, match=r"a\.csv: the positions of section S1 are places on the array .* wanted pixels"
    ):
        check(made, array[:, order])


def test_spots_of_two_capture_areas_share_places_on_the_array(made):
    table = made().table
    array = table[["array_row", "array_col"]].to_numpy(float)
    array[10:] = array[:10]
    with pytest.raises(DataError, match=r"20 of 20 spots of section S1 share their place .* several libraries"):
        check(made, made().coords, array)


@pytest.mark.parametrize("array", [np.zeros((20, 2)), np.full((20, 2), np.nan)])
def test_an_array_that_says_nothing_is_not_held_against_positions(made, array, caplog):
    check(made, made().coords, array)
    assert not caplog.records


@pytest.mark.parametrize("layout", ["space_ranger", "anndata"])
def test_sections_are_held_against_their_array(tmp_path, made, layout, caplog):
    section = made()
    rows, columns = "pxl_row_in_fullres", "pxl_col_in_fullres"
    if layout == "space_ranger":
        section.h5(tmp_path / "S1" / "filtered_feature_bc_matrix.h5")
        section.table = section.table.rename(columns={rows: columns, columns: rows})
        section.spatial(tmp_path / "S1" / "spatial")
    else:
        found = section.anndata()
        for name in ("array_row", "array_col"):
            found.obs[name] = section.table[name].to_numpy()
        found.obsm["spatial"] = section.coords[:, ::-1].copy()
        found.write_h5ad(tmp_path / "S1.h5ad")
    read_sections(SectionsSettings(layout=layout, root=tmp_path))
    assert "are x and y exchanged?" in caplog.text


def test_places_for_positions_are_said_where_there_is_no_image_they_could_miss(tmp_path, made, caplog):
    found = made().anndata()
    for name in ("array_row", "array_col"):
        found.obs[name] = made().table[name].to_numpy()
    found.obsm["spatial"] = made().table[["array_col", "array_row"]].to_numpy(float)
    found.write_h5ad(tmp_path / "S1.h5ad")
    (read,) = read_sections(SectionsSettings(layout="anndata", root=tmp_path))
    assert read.n_obs == 20
    assert "the positions of section S1 are places on the array" in caplog.text
