"""`hage labels`: a table from a published one, and what is said of labels and split files."""

import pytest

from hage_transfer.cli.main import run

TABLE = """,case_id,slide_id,oncotree_code
0,TCGA-3C-A001,TCGA-3C-A001-01Z.svs,IDC
1,TCGA-3C-A001,TCGA-3C-A001-02Z.svs,IDC
2,TCGA-A2-A002,TCGA-A2-A002-01Z.svs,ILC
3,TCGA-A2-A003,TCGA-A2-A003-01Z.svs,MBC
"""


@pytest.fixture
def labels(tmp_path, capsys):
    (tmp_path / "published.csv").write_text(TABLE)
    out = tmp_path / "labels.csv"
    columns = ["--label", "oncotree_code", "--group", "case_id", "--site", "tcga", "--keep", "IDC", "--keep", "ILC"]
    assert run(["labels", "make", str(tmp_path / "published.csv"), "--out", str(out), *columns]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "3 slides (2 IDC, 1 ILC)" in printed
    assert "left out: 1 slides (1 MBC)" in printed
    return out


def test_labels_check_names_patients_on_two_sides_and_unknown_slides(labels, tmp_path, capsys):
    folder = tmp_path / "splits"
    folder.mkdir()
    rows = ",train,val,test\n0,TCGA-3C-A001-01Z,TCGA-A2-A002-01Z,TCGA-3C-A001-02Z\n1,TCGA-A2-A003-01Z,,\n"
    (folder / "splits_0.csv").write_text(rows)
    assert run(["labels", "check", str(labels), "--splits", str(folder)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 groups (patients), the largest of 2 slides" in printed
    assert "2 sites" in printed
    assert "splits_0.csv: 1 patients in both train and test: TCGA-3C-A001" in printed
    assert "splits_0.csv: 1 slides without a label: TCGA-A2-A003-01Z" in printed


def test_labels_make_names_a_missing_column(tmp_path, capsys):
    (tmp_path / "published.csv").write_text(TABLE)
    assert run(["labels", "make", str(tmp_path / "published.csv"), "--out", str(tmp_path / "l.csv")]) == 2
    assert "no column label" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "l.csv").exists()
