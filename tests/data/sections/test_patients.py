import pytest

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections
from hage_transfer.data.sections.patients import listed_patient
from hage_transfer.errors import DataError


@pytest.mark.parametrize("name", ["Patients.csv", "patient.csv", "PATIENTS.CSV", "patients.csv.txt", "patients.tsv"])
def test_a_table_of_patients_under_another_name_is_refused(tmp_path, name):
    between = "\t" if name.endswith("tsv") else ","
    (tmp_path / name).write_text(f"\ufeffSection{between}Patient\nS1{between}P1\n")
    with pytest.raises(DataError, match=rf"{name}: is not read by this name; save it as patients\.csv"):
        listed_patient(tmp_path, "S1")


def test_a_table_of_other_columns_is_in_nobodys_way(tmp_path):
    (tmp_path / "patients.tsv").write_text("donor\tage\n1\t64\n")
    (tmp_path / "patients.txt").write_text("")
    (tmp_path / "patient_notes.csv").write_text("section,patient\n")
    assert listed_patient(tmp_path, "S1") is None


def test_a_sheet_of_patients_is_said_once(tmp_path, caplog):
    (tmp_path / "patients.xlsx").write_bytes(b"PK")
    assert [listed_patient(tmp_path, name) for name in ("S1", "S2")] == [None, None]
    assert caplog.text.count("patients.xlsx: is not read; patients are read from") == 1


@pytest.mark.parametrize(("listed", "asked"), [("s1", "S1"), ("01", "1"), ("S1.h5ad", "S1")])
def test_the_nearest_row_is_named_where_a_section_has_none(tmp_path, listed, asked):
    (tmp_path / "patients.csv").write_text(f"section,patient\n{listed},P1\n")
    with pytest.raises(DataError, match=f"section {asked} has 0 patients .* the nearest it has is {listed}"):
        listed_patient(tmp_path, asked)


@pytest.mark.parametrize("both", ["P1;P2", "P1/P2", "P1 + P2", "P1 and P2", '"P1,P2"'])
def test_a_section_of_two_patients_of_the_table_is_refused(tmp_path, both):
    (tmp_path / "patients.csv").write_text(f"section,patient\nS1,{both}\nS2,P2\n")
    with pytest.raises(DataError, match=r"section S1 is of .* and P2 has sections of its own"):
        listed_patient(tmp_path, "S1")
    assert listed_patient(tmp_path, "S2") == "P2"


def test_a_name_with_a_separator_that_names_nobody_else_is_a_patient(tmp_path):
    (tmp_path / "patients.csv").write_text("section,patient\nS1,2019/113\nS2,2019/114\n")
    assert listed_patient(tmp_path, "S1") == "2019/113"


def test_a_section_of_her2st_without_a_letter_wants_the_table(her2st_root):
    for folder, ending in (("ST-cnts", ".tsv.gz"), ("ST-spotfiles", "_selection.tsv")):
        (her2st_root / folder / f"A1{ending}").rename(her2st_root / folder / f"01{ending}")
    settings = SectionsSettings(root=her2st_root, sections=("01",))
    with pytest.raises(DataError, match="section 01 begins with no letter, which is the patient in the her2st layout"):
        read_sections(settings)
    (her2st_root / "patients.csv").write_text("section,patient\n01,anna\n")
    assert read_sections(settings)[0].uns["section"]["patient"] == "anna"


def test_rows_that_name_no_section_are_said_once(her2st_root, caplog):
    caplog.set_level("INFO")
    (her2st_root / "patients.csv").write_text("section,patient\nA1,P1\nA2,P1\nB1,P2\nB01,P2\n\n")
    assert len(read_sections(SectionsSettings(root=her2st_root))) == 2
    assert caplog.text.count("patients.csv: 1 rows name no section that is there (B01)") == 1


def test_a_patient_whose_name_ends_in_a_sign_is_one(tmp_path):
    (tmp_path / "patients.csv").write_text("section,patient\nS1,P1+\nS2,P1\n,\n")
    assert listed_patient(tmp_path, "S1") == "P1+"
