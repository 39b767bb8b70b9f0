import pytest

from hage_transfer.csv_table import csv_table
from hage_transfer.errors import DataError


def test_csv_table_gives_lines_and_cells_under_trimmed_columns(tmp_path):
    (tmp_path / "t.csv").write_text("﻿ slide , mpp\na,0.5\nb\n", encoding="utf-8")
    with csv_table(tmp_path / "t.csv", absent="no such table") as table:
        assert table.columns == ["slide", "mpp"]
        assert list(table.rows) == [(2, {"slide": "a", "mpp": "0.5"}), (3, {"slide": "b", "mpp": ""})]


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_csv_table_names_separators_other_than_commas(tmp_path, separator, name):
    (tmp_path / "t.csv").write_text(f"slide{separator}mpp\na{separator}0,5\n")
    with (
        pytest.raises(
            DataError, match=rf"t\.csv: its columns \(slide mpp\) are between {name}; save it as csv with commas"
        ),
        csv_table(tmp_path / "t.csv", absent=""),
    ):
        pass


def test_csv_table_says_what_is_absent_and_what_cannot_be_read(tmp_path):
    with (
        pytest.raises(DataError, match=r"t\.csv: no such table of mine"),
        csv_table(tmp_path / "t.csv", absent="no such table of mine"),
    ):
        pass
    (tmp_path / "t.csv").write_bytes(b"slide\n\xff\xfe\n")
    with (
        pytest.raises(DataError, match="cannot be read as a csv of mine"),
        csv_table(tmp_path / "t.csv", absent="", kind="a csv of mine") as table,
    ):
        list(table.rows)
