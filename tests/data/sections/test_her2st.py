import gzip

import numpy as np
import pytest
from PIL import Image

from hage_transfer.config import SectionsSettings
from hage_transfer.data.sections import read_sections, section_names
from hage_transfer.errors import DataError


def test_her2st_section_is_in_the_one_form(her2st_root):
    (section,) = read_sections(SectionsSettings(root=her2st_root, sections=("A2",)))
    assert section.X.dtype == np.float32
    assert section.X.toarray().tolist() == [[1, 0, 2], [0, 0, 31], [4, 5, 0], [0, 7, 120]]
    assert list(section.var_names) == ["ERBB2", "CD74", "FASN"]
    assert list(section.obs_names) == ["1x1", "2x1", "1x2", "2x2"]
    assert section.obsm["spatial"].tolist() == [[20, 20.5], [40, 20.5], [20, 40.5], [40, 40.5]]
    assert set(section.obs["section"]) == {"A2"}
    assert set(section.obs["patient"]) == {"A"}
    assert section.uns["section"]["image_path"].endswith("ST-imgs/A/A2/he.jpg")


def test_her2st_resolution_comes_from_the_distance_between_spots(her2st_root):
    (section,) = read_sections(SectionsSettings(root=her2st_root, sections=("A2",), spot_spacing_um=200))
    assert section.uns["section"]["mpp_um_per_px"] == pytest.approx(10.0)


def test_her2st_default_leaves_out_what_the_field_leaves_out(her2st_root, caplog):
    with caplog.at_level("INFO"):
        assert section_names(SectionsSettings(root=her2st_root)) == ["A2", "B1"]
    assert "A1 left out as in the published comparisons" in caplog.text


def test_her2st_reads_a_left_out_section_that_is_named(her2st_root):
    assert section_names(SectionsSettings(root=her2st_root, sections=("A1",))) == ["A1"]


def test_her2st_reads_sections_in_the_order_named(her2st_root):
    sections = read_sections(SectionsSettings(root=her2st_root, sections=("B1", "A1")))
    assert [section.uns["section"]["name"] for section in sections] == ["B1", "A1"]


def test_her2st_section_without_image_says_what_it_serves(her2st_root, caplog):
    with caplog.at_level("INFO"):
        (section,) = read_sections(SectionsSettings(root=her2st_root, sections=("B1",)))
    assert section.uns["section"]["image_path"] == ""
    assert "only gene panel and co-expression (1): B1" in caplog.text


def test_her2st_refuses_a_second_image(her2st_root):
    Image.new("RGB", (80, 60)).save(her2st_root / "ST-imgs" / "A" / "A2" / "mask.png")
    with pytest.raises(DataError, match=r"2 images \(he\.jpg, mask\.png\) for one section"):
        read_sections(SectionsSettings(root=her2st_root, sections=("A2",)))


def test_her2st_refuses_a_section_in_two_files(her2st_root):
    (her2st_root / "ST-cnts" / "A2.tsv").write_text("\tG\n1x1\t1\n")
    with pytest.raises(DataError, match=r"section A2 is also in A2\.tsv"):
        section_names(SectionsSettings(root=her2st_root))


def test_her2st_names_the_folder_that_is_missing(tmp_path):
    with pytest.raises(DataError, match="no folder ST-cnts, which the her2st layout has"):
        section_names(SectionsSettings(root=tmp_path))


def test_her2st_names_a_missing_spot_file(her2st_root):
    (her2st_root / "ST-spotfiles" / "B1_selection.tsv").unlink()
    with pytest.raises(DataError, match=r"B1_selection\.tsv: no such file"):
        read_sections(SectionsSettings(root=her2st_root, sections=("B1",)))


@pytest.mark.slow
def test_her2st_real_sections_have_the_measured_size(real_sections):
    sections = real_sections
    assert len(sections) == 32
    assert [sections[0].uns["section"]["name"], sections[-1].uns["section"]["name"]] == ["A2", "G3"]
    assert sum(section.n_obs for section in sections) == 11548
    assert len({section.uns["section"]["patient"] for section in sections}) == 7
    assert len(set.intersection(*(set(section.var_names) for section in sections))) == 12080


def test_her2st_real_section_has_image_resolution_and_mismatches(real_data):
    (section,) = read_sections(SectionsSettings(root=real_data / "her2st" / "data", sections=("C4",)))
    facts = section.uns["section"]
    assert section.shape == (184, 15842)
    assert facts["image_path"].endswith("5714_HE_BT_D2.jpg")
    assert facts["mismatches"]["spots_without_counts"] == 3
    assert facts["mpp_um_per_px"] == pytest.approx(200 / 291, abs=0.01)  # pitch of the array by linear regression


def test_her2st_refuses_genes_with_quotes(her2st_root):
    lines = ['\t"ERBB2"\t"CD74"\t"FASN"', "1x1\t1\t0\t2", "2x1\t0\t0\t31"]
    (her2st_root / "ST-cnts" / "A2.tsv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    with pytest.raises(DataError, match=r"A2\.tsv\.gz: 3 genes are called with quotes around them"):
        read_sections(SectionsSettings(root=her2st_root, sections=("A2",)))


def test_her2st_leaves_a_gene_out_whose_name_is_a_missing_value(her2st_root, write_counts):
    rows = {spot: [1, 2, 3] for spot in ("1x1", "2x1", "1x2", "2x2")}
    write_counts(her2st_root / "ST-cnts" / "A2.tsv.gz", ["ERBB2", "NA", "FASN"], rows)
    (section,) = read_sections(SectionsSettings(root=her2st_root, sections=("A2",)))
    assert (list(section.var_names), section.X.sum()) == (["ERBB2", "FASN"], 16)


def test_her2st_leaves_sums_of_reads_out_and_says_dates(her2st_root, write_counts, caplog):
    rows = {spot: [1, 2, 3] for spot in ("1x1", "2x1", "1x2", "2x2")}
    write_counts(her2st_root / "ST-cnts" / "A2.tsv.gz", ["ERBB2", "__ambiguous[A+B]", "2-Sep"], rows)
    (section,) = read_sections(SectionsSettings(root=her2st_root, sections=("A2",)))
    assert (list(section.var_names), section.X.sum()) == (["ERBB2", "2-Sep"], 16)
    assert section.uns["section"]["mismatches"]["features_that_are_no_genes"] == 1
    assert "A2.tsv.gz: 1 genes are called as dates (2-Sep)" in caplog.text
