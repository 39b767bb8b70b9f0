from pathlib import Path

import pytest

from hage_transfer.data.sections.spot_file import match_spots, read_spot_file
from hage_transfer.errors import DataError

PATHS = (Path("A1.tsv"), Path("A1_selection.tsv"))


def test_spot_names_are_the_rounded_array_positions(tmp_path, write_spots):
    path = write_spots(tmp_path / "s.tsv", [(1.04, 1.96, 10, 20, 1), (12, 7, 30, 40, 1)])
    assert read_spot_file(path)["name"].tolist() == ["1x2", "12x7"]


def test_spot_file_without_selected_holds_selected_spots_alone(tmp_path):
    path = tmp_path / "s.tsv"
    path.write_text("x\ty\tnew_x\tnew_y\tpixel_x\tpixel_y\n1\t2\t1\t2\t10\t20\n")
    assert read_spot_file(path)["selected"].tolist() == [True]


def test_spot_file_names_a_missing_column(tmp_path):
    path = tmp_path / "s.tsv"
    path.write_text("x\ty\tpixel_x\n1\t2\t10\n")
    with pytest.raises(DataError, match=r"s\.tsv: column pixel_y missing; the file has x, y, pixel_x"):
        read_spot_file(path)


def test_spot_file_names_text_among_numbers(tmp_path, write_spots):
    path = write_spots(tmp_path / "s.tsv", [(1, 1, 10, 20, 1), (1, 2, "far", 20, 1)])
    with pytest.raises(DataError, match="line 3, column pixel_x: 'far' is not a number"):
        read_spot_file(path)


def test_spot_file_says_what_its_columns_are_between(tmp_path):
    path = tmp_path / "s.tsv"
    path.write_text("x,y,pixel_x,pixel_y\n1,2,10,20\n")
    with pytest.raises(
        DataError, match=r"column x, y, pixel_x, pixel_y missing; .*\(its columns are between commas\?\)"
    ):
        read_spot_file(path)


def test_spot_file_refuses_an_empty_file(tmp_path):
    path = tmp_path / "s.tsv"
    path.write_text("")
    with pytest.raises(DataError, match="not a tab-separated table of spots"):
        read_spot_file(path)


def test_match_spots_counts_every_mismatch(tmp_path, write_spots):
    spots = read_spot_file(
        write_spots(
            tmp_path / "s.tsv",
            [(1, 1, 10, 11, 1), (2, 1, 20, 21, 0), (3, 1, 30, 31, 1), (1, 1, 10, 11, 1), (4, 1, 40, 41, 0)],
        )
    )
    matched = match_spots(["9x9", "1x1", "2x1"], spots, paths=PATHS)
    assert matched.rows.tolist() == [1]
    assert matched.coords_px.tolist() == [[10, 11]]
    assert matched.mismatches == {
        "count_rows_without_spot": 1,
        "count_rows_of_unselected_spots": 1,
        "spots_without_counts": 1,
        "unselected_spots": 2,
        "duplicate_spots": 1,
    }


@pytest.mark.parametrize("step", [(1, 1), (-1, 0), (0, 1)])
def test_match_spots_refuses_places_that_are_all_moved_by_one(tmp_path, write_spots, step):
    places = [(x, y) for x in range(2, 8) for y in range(3, 9)]
    spots = read_spot_file(write_spots(tmp_path / "s.tsv", [(x, y, 10 * x, 10 * y, 1) for x, y in places]))
    counted = [f"{x - step[0]}x{y - step[1]}" for x, y in places]
    n_common = len(set(counted) & set(spots["name"]))
    said = rf"{n_common} of 36 spots have a name in common, and 36 would with \({step[0]}, {step[1]}\) added"
    with pytest.raises(DataError, match=rf"A1\.tsv and .*: {said}.*from 0"):
        match_spots(counted, spots, paths=PATHS)


def test_match_spots_goes_by_name_not_by_order(tmp_path, write_spots):
    spots = read_spot_file(write_spots(tmp_path / "s.tsv", [(i, 1, 10 * i, 5, 1) for i in range(5)]))
    matched = match_spots(["3x1", "0x1", "4x1"], spots, paths=PATHS)
    assert matched.coords_px[:, 0].tolist() == [30, 0, 40]


def test_match_spots_refuses_tables_without_a_common_spot(tmp_path, write_spots):
    spots = read_spot_file(write_spots(tmp_path / "s.tsv", [(1, 1, 10, 11, 1)]))
    with pytest.raises(DataError, match="no common spots; the counts name theirs 7x7, the spot file 1x1"):
        match_spots(["7x7"], spots, paths=PATHS)


@pytest.mark.parametrize("column", ["pixel_x", "selected"])
def test_a_column_that_is_there_twice_is_refused(tmp_path, column):
    columns = ["x", "y", "pixel_x", "pixel_y", "selected", column]
    (tmp_path / "S_selection.tsv").write_text("\t".join(columns) + "\n1\t1\t10\t10\t1\t0\n")
    with pytest.raises(DataError, match=rf"S_selection\.tsv: column {column} is there twice; keep one"):
        read_spot_file(tmp_path / "S_selection.tsv")


def test_a_flag_that_is_none_is_refused(tmp_path, write_spots):
    path = write_spots(tmp_path / "S_selection.tsv", [(1, 1, 10, 10, 1), (2, 1, 20, 10, 2)])
    with pytest.raises(DataError, match="line 3, column selected: 2, wanted 0 or 1"):
        read_spot_file(path)


def test_names_with_zeros_before_their_numbers_are_told_so(tmp_path, write_spots):
    spots = read_spot_file(write_spots(tmp_path / "s.tsv", [(x, 7, 10 * x, 20, 1) for x in range(1, 6)]))
    with pytest.raises(DataError, match="0 of 5 spots have a name in common, and 5 would without zeros before their"):
        match_spots([f"{x:02d}x07" for x in range(1, 6)], spots, paths=PATHS)
