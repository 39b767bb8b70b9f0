"""Manifests from published tables."""

import csv

import pytest

from hage_transfer.data.published_table import Columns, write_label_table, write_manifest
from hage_transfer.errors import DataError

COLUMNS = {"path": "file", "label": "class", "group": "case", "part": "set"}
HEADER = "malignicy,case,class,file,set"
ROWS = (
    "tumor,7,tumor_skin_epithelial_bcc,data/tiles/tumor_skin_epithelial_bcc/a.jpg,Train",
    "nontumor,8,nontumor_skin_dermis_dermis,data/tiles/nontumor_skin_dermis_dermis/b.jpg,Test",
)


def table(tmp_path, *rows, header=HEADER):
    path = tmp_path / "tiles-v2.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_write_manifest_takes_the_columns_of_skin_cancers_table(tmp_path):
    assert write_manifest(table(tmp_path, *ROWS), tmp_path / "m.csv", COLUMNS) == 2
    with (tmp_path / "m.csv").open(newline="") as handle:
        found = list(csv.DictReader(handle))
    assert found[0] == {
        "path": "data/tiles/tumor_skin_epithelial_bcc/a.jpg",
        "label": "tumor_skin_epithelial_bcc",
        "group": "7",
        "part": "Train",
    }
    assert len(found) == 2


def test_write_manifest_names_a_missing_column(tmp_path):
    with pytest.raises(DataError, match=r"no column case, only file, class, set; .*group_column="):
        write_manifest(table(tmp_path, "a,b,c", header="file,class,set"), tmp_path / "m.csv", COLUMNS)


def test_write_manifest_names_the_line_of_an_empty_cell(tmp_path):
    with pytest.raises(DataError, match=r"line 3 has no case"):
        write_manifest(table(tmp_path, ROWS[0], ROWS[1].replace(",8,", ",,")), tmp_path / "m.csv", COLUMNS)


def test_write_manifest_refuses_an_image_listed_twice(tmp_path):
    with pytest.raises(DataError, match=r"a\.jpg is listed twice"):
        write_manifest(table(tmp_path, ROWS[0], ROWS[0]), tmp_path / "m.csv", COLUMNS)
    assert not (tmp_path / "m.csv").exists()


def test_write_manifest_names_the_line_of_an_unknown_part(tmp_path):
    with pytest.raises(DataError, match=r"line 2: set is train, valid or test, not Vali"):
        write_manifest(table(tmp_path, ROWS[0].replace("Train", "Vali")), tmp_path / "m.csv", COLUMNS)


def test_write_manifest_refuses_a_column_that_is_there_twice(tmp_path):
    path = table(tmp_path, "7,a,a.jpg,z.jpg,Train", header="case,class,file,file,set")
    with pytest.raises(DataError, match=r"tiles-v2\.csv: column file is there twice; keep one"):
        write_manifest(path, tmp_path / "m.csv", COLUMNS)


def test_write_manifest_wants_a_file_to_write(tmp_path):
    with pytest.raises(DataError, match=r"is a folder; out= names a file"):
        write_manifest(table(tmp_path, *ROWS), tmp_path, COLUMNS)
    assert [path.name for path in tmp_path.iterdir()] == ["tiles-v2.csv"]


def test_write_manifest_never_overwrites_its_own_table(tmp_path):
    path = table(tmp_path, *ROWS)
    with pytest.raises(DataError, match="is the table itself"):
        write_manifest(path, tmp_path / ".." / tmp_path.name / path.name, COLUMNS)
    assert path.read_text().startswith(HEADER)


def test_a_patient_whom_nobody_knows_is_no_patient(tmp_path):
    path = table(tmp_path, ROWS[0], ROWS[1].replace(",8,", ",unknown,"))
    with pytest.raises(DataError, match=r"line 3: case 'unknown' would make one patient of strangers"):
        write_manifest(path, tmp_path / "m.csv", COLUMNS)
    with pytest.raises(DataError, match=r"line 3: case 'unknown' would make one patient of strangers"):
        write_label_table(path, tmp_path / "l.csv", Columns("file", "class", "case"))
