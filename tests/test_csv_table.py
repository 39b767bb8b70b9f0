import os
import time
import zipfile

import pytest

from hage_transfer.csv_table import alike, as_number, csv_table, refuse_missing
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


def zipped(tmp_path, *, flag=0, method=zipfile.ZIP_DEFLATED, damage=None, size=None):
    """A zip of one table, spoilt in its headers or its bytes."""
    path = tmp_path / "t.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("t.csv", "slide,label\n" + "".join(f"s{k},{k % 7}\n" for k in range(5000)))
    data = bytearray(path.read_bytes())
    local, central = data.find(b"PK\x03\x04"), data.rfind(b"PK\x01\x02")
    if flag:
        data[local + 6] |= flag
        data[central + 8] |= flag
    if damage is not None:
        data[damage : damage + 40] = bytes(40)
    if size is not None:
        data[central + 24 : central + 28] = size.to_bytes(4, "little")
    path.write_bytes(data)
    return path


SPOILT = {
    "encrypted": ({"flag": 1}, "encrypted"),
    "an unknown packing": ({}, "compression"),
    "damaged data": ({"damage": 2000}, "cannot be read as csv"),
    "a damaged beginning": ({"damage": 40}, "cannot be read as csv"),
    "a damaged header": ({"damage": 0}, "cannot be read as csv"),
    "oversized": ({"size": 3_000_000_000}, "wanted 104,857,600 at most"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_zips_that_cannot_be_read_are_one_message_before_anything_large_is_read(tmp_path, kind):
    how, said = SPOILT[kind]
    path = zipped(tmp_path, **how)
    if kind == "an unknown packing":
        data = bytearray(path.read_bytes())
        for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
            place = data.rfind(mark) + at
            data[place : place + 2] = (97).to_bytes(2, "little")
        path.write_bytes(data)
    with (
        pytest.raises(DataError, match=rf"t\.zip: .*{said}"),
        csv_table(path, absent="gone", zipped=True) as table,
    ):
        list(table.rows)


@pytest.mark.parametrize("kind", ["pipe", "folder", "a table of 10 GB"])
def test_what_is_no_table_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "t.csv"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(10**10)
    with pytest.raises(DataError, match=r"t\.csv: "), csv_table(path, absent="gone"):
        pass


def test_a_column_s_name_is_one_line(tmp_path):
    (tmp_path / "t.csv").write_text('"slide\nname",x\na,b\n')
    with csv_table(tmp_path / "t.csv", absent="gone") as table:
        assert table.columns == ["slide name", "x"]


def test_null_bytes_are_named_by_their_line(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"slide,x\na,b\n\x00,c\n")
    with (
        pytest.raises(DataError, match=r"t\.csv: .*(null byte|NUL)"),
        csv_table(tmp_path / "t.csv", absent="gone") as table,
    ):
        list(table.rows)


def test_a_null_byte_in_the_header_is_named(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"slide,la\x00bel\na,b\n")
    with pytest.raises(DataError, match="line 1 holds a null byte"), csv_table(tmp_path / "t.csv", absent="gone"):
        pass


def test_a_table_of_many_columns_is_looked_through_in_linear_time(tmp_path):
    names = [f"c{number}" for number in range(50_000)]
    (tmp_path / "t.csv").write_text(",".join(names) + "\n")
    begun = time.monotonic()
    with csv_table(tmp_path / "t.csv", absent="gone") as table:
        table.refuse_repeated(table.columns, path=tmp_path / "t.csv")
        assert time.monotonic() - begun < 10  # a look for each among all took minutes
        with pytest.raises(DataError, match="column c1 is there twice"):
            table.__class__([*names, "c1"], table.rows).refuse_repeated(names, path=tmp_path / "t.csv")


@pytest.mark.parametrize("row", ["a,Duct carcinoma, NOS", 'a,"x, y",z,,1'])
def test_a_comma_without_quotes_is_refused_not_taken_for_the_next_column(tmp_path, row):
    (tmp_path / "t.csv").write_text(f"slide,label\nb,x\n{row}\n")
    with (
        pytest.raises(DataError, match=r"t\.csv: line 3 has \d cells, its header 2: .* between quotes"),
        csv_table(tmp_path / "t.csv", absent="") as table,
    ):
        list(table.rows)


def test_empty_cells_behind_the_header_and_spaces_around_cells_are_nothing(tmp_path):
    (tmp_path / "t.csv").write_text('slide,label\n a ,"x, y" ,, \n')
    with csv_table(tmp_path / "t.csv", absent="") as table:
        assert list(table.rows) == [(2, {"slide": "a", "label": "x, y"})]


def test_names_that_a_spreadsheet_or_typing_made_two_of_one_are_alike():
    names = ["P1", "p1", "7", "07", "7.0", "A-1", "A_1", "A 1", "P 01", "10", "1.5", "1.05", "tumor", "Tumor", "A1"]
    assert alike(names) == [
        ("07", "7"),
        ("07", "7.0"),
        ("A 1", "A-1"),
        ("A 1", "A_1"),
        ("P1", "p1"),
        ("Tumor", "tumor"),
    ]


OPEN_QUOTES = {
    "to the end": 'a,x,\nb,"y,\nc,x,\nd,y,\n',
    "in a column that nobody reads": 'a,x,\nb,y,"see\nc,x,\nd,y,\n',
    "up to the next": 'a,x,\nb,y,"see\nc,x,"see\nd,y,\n',
}


@pytest.mark.parametrize("kind", OPEN_QUOTES)
def test_a_quote_that_is_not_closed_swallows_no_rows(tmp_path, kind):
    (tmp_path / "t.csv").write_text("slide,label,note\n" + OPEN_QUOTES[kind])
    with (
        pytest.raises(DataError, match=r"t\.csv: line 3: a quote that is not closed makes one row of \d lines"),
        csv_table(tmp_path / "t.csv", absent="") as table,
    ):
        list(table.rows)


def test_empty_lines_and_spaces_behind_a_quote_belong_to_no_row(tmp_path):
    (tmp_path / "t.csv").write_text('slide,label\n\n"a" ,x\n\n\nb,"y" \n')
    with csv_table(tmp_path / "t.csv", absent="") as table:
        assert [(line, row["slide"], row["label"]) for line, row in table.rows] == [(3, "a", "x"), (6, "b", "y")]


def test_a_note_of_several_lines_is_one_cell_and_a_label_that_holds_rows_is_none(tmp_path):
    (tmp_path / "t.csv").write_text('slide,label,note\na,x,"one\ntwo, 5"" three"\nb,"y\nc,z",\nd,"u\nv",\n')
    with csv_table(tmp_path / "t.csv", absent="") as table:
        (_, first), (line, second), (_, third) = table.rows
    assert first["note"] == 'one\ntwo, 5" three'
    with pytest.raises(DataError, match="ends in line 5 has a label of several lines"):
        refuse_missing(tmp_path / "t.csv", line, {"label": second["label"]})
    refuse_missing(tmp_path / "t.csv", 7, {"label": third["label"]})  # it swallowed no row


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04" + bytes(600), "is a workbook of Excel .* save the sheet as csv"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), "is a workbook of Excel .* save the sheet as csv"),
        (b"\x1f\x8b\x08" + bytes(600), "is packed by gzip"),
        ("Größe,label\n".encode("latin-1"), "'utf-8' codec .*Excel: CSV UTF-8"),
    ],
)
def test_what_is_no_text_in_utf_8_is_called_what_it_is(tmp_path, content, said):
    (tmp_path / "t.csv").write_bytes(content)
    with (
        pytest.raises(DataError, match=rf"t\.csv: .*{said}"),
        csv_table(tmp_path / "t.csv", absent=""),
    ):
        pass


def test_grades_with_an_underscore_are_no_numbers_and_unseen_signs_no_difference():
    assert as_number("3_4") is None
    assert as_number("3.4") == 3.4
    assert alike(["ILC", "ILC\u200b", "IDC"]) == [("ILC", "ILC\u200b")]


@pytest.mark.parametrize(
    "pair",
    [
        ("M\u00fcller", "Mu\u0308ller"),
        ("P1", "P1\u200b"),
        ("P1", "P\uff11"),
        ("P-1", "P\u20111"),
        ("P-1", "P\u2212" + "1"),
    ],
)
def test_names_that_look_alike_and_are_stored_in_other_ways_are_alike(pair):
    assert alike(pair) == [tuple(sorted(pair))]
