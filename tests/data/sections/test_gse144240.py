import gzip

import pytest
from PIL import Image

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections, section_names
from hage_transfer.errors import DataError


@pytest.fixture
def write_section(tmp_path, write_counts, write_spots):
    def write(name: str, *, prefix: str = "", folder: str = "", zipped: bool = False):
        root = tmp_path / "gse" / folder
        ending = ".tsv.gz" if zipped else ".tsv"
        rows = {"2x1": [1, 0], "1x1": [0, 3], "9x9": [5, 5]}
        write_counts(root / f"{prefix}{name}_stdata{ending}", ["KRT5", "CD74"], rows)
        write_spots(
            root / f"{prefix}spot_data-selection-{name}{ending}",
            [(1, 1, 10, 20, 1), (2, 1, 30, 20, 1), (3, 1, 50, 20, 1)],
        )
        Image.new("RGB", (60, 40)).save(root / f"{prefix}{name}.jpg")
        return tmp_path / "gse"

    return write


def settings(root, **more):
    return SectionsSettings(layout="gse144240", root=root, **more)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("prefix", "folder"), [("", ""), ("GSM4284316_", ""), ("", "P2")])
def test_gse144240_section_is_in_the_one_form(write_section, prefix, folder, zipped):
    root = write_section("P2_ST_rep1", prefix=prefix, folder=folder, zipped=zipped)
    (section,) = read_sections(settings(root))
    facts = section.uns["section"]
    assert (facts["name"], facts["patient"]) == ("P2_ST_rep1", "P2")
    assert section.X.toarray().tolist() == [[1, 0], [0, 3]]
    assert section.obsm["spatial"].tolist() == [[30, 20], [10, 20]]
    assert facts["image_path"].endswith("P2_ST_rep1.jpg")
    assert facts["mismatches"]["count_rows_without_spot"] == 1
    assert facts["mismatches"]["spots_without_counts"] == 1


def test_gse144240_sections_are_ordered_by_patient_number_and_replicate(write_section):
    for name in ("P10_ST_rep1", "P2_ST_rep2", "P9_ST_rep3", "P2_ST_rep1"):
        root = write_section(name)
    assert section_names(settings(root)) == ["P2_ST_rep1", "P2_ST_rep2", "P9_ST_rep3", "P10_ST_rep1"]


def test_gse144240_default_is_the_fields_patients_and_replicates(write_section):
    for name in ("P1_ST_rep1", "P2_ST_rep1", "P2_ST_rep4"):
        root = write_section(name)
    assert section_names(settings(root)) == ["P2_ST_rep1"]
    assert section_names(settings(root, sections=("P1_ST_rep1",))) == ["P1_ST_rep1"]


def test_gse144240_replicate_1_does_not_take_the_image_of_replicate_10(write_section):
    root = write_section("P2_ST_rep10")
    write_section("P2_ST_rep1")
    (root / "P2_ST_rep1.jpg").unlink()
    (section,) = read_sections(settings(root, sections=("P2_ST_rep1",)))
    assert section.uns["section"]["image_path"] == ""


def test_gse144240_names_a_missing_spot_file(write_section):
    root = write_section("P2_ST_rep1")
    (root / "spot_data-selection-P2_ST_rep1.tsv").unlink()
    with pytest.raises(DataError, match=r"no file spot_data-selection-P2_ST_rep1\.tsv"):
        read_sections(settings(root))


def test_gse144240_says_how_to_unpack_a_gzipped_image(write_section):
    root = write_section("P2_ST_rep1")
    image = root / "P2_ST_rep1.jpg"
    (root / "P2_ST_rep1.jpg.gz").write_bytes(gzip.compress(image.read_bytes()))
    image.unlink()
    with pytest.raises(DataError, match=r"P2_ST_rep1\.jpg\.gz.*gunzip"):
        read_sections(settings(root))
