"""Which column of an h5ad file names the patient, and which are said not to be read."""

import pytest

from hage_transfer.errors import DataError


@pytest.mark.parametrize("column", ["patient", "Patient", "PatientID", "patient id", "PATIENT_ID", "donor_ID", "Donor"])
def test_the_patients_column_is_read_whatever_its_capitals(read, made, column, caplog):
    section = made().anndata()
    section.obs[column] = "P7"
    (found,) = read(section)
    assert found.uns["section"]["patient"] == "P7"
    assert "patient" not in caplog.text


def test_of_two_columns_of_patients_the_usual_name_comes_first(read, made):
    section = made().anndata()
    section.obs["Donor"], section.obs["Patient"], section.obs["patient"] = "D", "P", "p"
    assert read(section)[0].uns["section"]["patient"] == "p"


@pytest.mark.parametrize("column", ["subject", "Subject_ID", "individual", "case_id", "Patient_Name"])
def test_another_column_that_may_name_patients_is_said_not_to_be_read(read, made, column, caplog):
    section = made().anndata()
    section.obs[column] = "P7"
    (found,) = read(section)
    assert found.uns["section"]["patient"] == "S1"
    assert f'obs["{column}"] may name patients and is not read' in caplog.text


@pytest.mark.parametrize(
    ("column", "value"), [("subject", ""), ("donor_age", "7"), ("cell_type", "x"), ("sample", "x")]
)
def test_a_column_that_names_no_patient_is_not_spoken_of(read, made, column, value, caplog):
    section = made().anndata()
    section.obs[column] = value
    read(section)
    assert "may name patients" not in caplog.text


@pytest.mark.parametrize("word", ["", "nan", "N/A", "#N/A", "[Not Available]", "<NA>", "NULL", "None", "Unknown"])
def test_a_word_for_a_missing_value_is_no_patient(read, made, word):
    section = made().anndata()
    section.obs["patient"] = word
    assert read(section)[0].uns["section"]["patient"] == "S1"


def test_spaces_around_cells_of_the_patients_table_are_none_of_the_name(read, made, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "patients.csv").write_text("section,patient\nS1, P1\n S2 ,P1 \n")
    read(made().anndata())
    assert {section.uns["section"]["patient"] for section in read(made().anndata(), name="S2")} == {"P1"}


def test_a_column_twice_in_the_patients_table_is_refused(read, made, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "patients.csv").write_text("section,patient,patient\nS1,P1,P2\n")
    with pytest.raises(DataError, match=r"patients\.csv: column patient is there twice"):
        read(made().anndata())


@pytest.mark.parametrize(("other", "is_told"), [("p1", True), ("P01", True), ("P2", False)])
def test_patients_that_differ_in_spelling_alone_are_told_of(read, made, tmp_path, caplog, other, is_told):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "patients.csv").write_text(f"section,patient\nS1,P1\nS2,{other}\n")
    read(made().anndata())
    read(made().anndata(), name="S2")
    assert ("of whom one can train while the other is held out" in caplog.text) is is_told


@pytest.mark.parametrize(("own", "said"), [("P2", True), ("P1", False), ("anonymous 7", False)])
def test_a_table_that_gives_a_section_to_another_of_its_patients_is_said(read, made, tmp_path, own, said, caplog):
    section = made().anndata()
    section.obs["donor_id"] = own
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "patients.csv").write_text("section,patient\nS1,P1\nS2,P2\n")
    assert read(section)[0].uns["section"]["patient"] == "P1"
    assert ("section S1 is of P2, and" in caplog.text) == said
