"""Split files in CLAM's form, and what is found wrong in them."""

import zipfile

import numpy as np
import pytest

from hage_transfer.compare.split_files import read_split_files, survey_split
from hage_transfer.compare.splits import write_split
from hage_transfer.data.labels import LabelTable, read_labels
from hage_transfer.data.published_table import Columns, tcga_site, write_label_table
from hage_transfer.errors import DataError

LABELS = LabelTable(
    keys=np.array(["a", "b", "c", "d", "e"]),
    labels=np.array(["x", "y", "x", "y", "x"]),
    groups=np.array(["p", "p", "q", "r", "s"]),
    key_column="slide",
    sites=np.array(["S", "S", "S", "T", "T"]),
)


def split(tmp_path, text, name="splits_0.csv"):
    (tmp_path / name).write_text(text)
    return read_split_files(tmp_path)[0]


def test_split_files_read_what_was_written(tmp_path):
    write_split(tmp_path / "splits_3.csv", train=["a", "b", "e"], validation=["c"], test=["d"])
    (found,) = read_split_files(tmp_path)
    assert found.name == "3"
    assert found.sides == {"train": ("a", "b", "e"), "val": ("c",), "test": ("d",)}


def test_split_files_come_in_natural_order_without_clams_other_tables(tmp_path):
    for name in ("10", "2", "0", "0_bool", "1_descriptor"):
        write_split(tmp_path / f"splits_{name}.csv", train=["a"], validation=[], test=["b"])
    assert [file.name for file in read_split_files(tmp_path)] == ["0", "2", "10"]


def test_split_files_read_numbers_that_pandas_made_floats(tmp_path):
    found = split(tmp_path, ",train,val,test\n0,10,12.0,s.0\n1,11,13.0,14.0\n2,15,,\n")
    assert found.sides == {"train": ("10", "11", "15"), "val": ("12", "13"), "test": ("s.0", "14.0")}


def test_split_files_drop_the_endings_of_slide_files(tmp_path):
    found = split(tmp_path, ",train,val,test\n0,TCGA-A.1.svs,b.tif,c\n")
    assert found.sides == {"train": ("TCGA-A.1",), "val": ("b",), "test": ("c",)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",train,test\n0,a,b\n", "no column val"),
        (",train,val,test,train\n0,a,b,c,d\n", "column train is there twice"),
        (",train,val,test\na,True,False,False\n", "line 2 holds True where slides are named"),
        (",train,val,test\n0,a,,b\n1,a,,\n", "line 3 names slide a a second time in train"),
    ],
)
def test_split_files_refuse_with_one_message(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        split(tmp_path, text)


def test_split_files_name_a_folder_without_any(tmp_path):
    with pytest.raises(DataError, match="holds no split file"):
        read_split_files(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        read_split_files(tmp_path / "nowhere")


def test_survey_finds_everything_that_is_on_two_sides(tmp_path):
    survey = survey_split(split(tmp_path, ",train,val,test\n0,a,b,e\n1,c,z,c\n"), LABELS)
    assert survey.unknown == {"train": [], "val": ["z"], "test": []}
    assert survey.shared_slides == {("train", "test"): ["c"]}
    assert survey.shared_groups == {("train", "val"): ["p"], ("train", "test"): ["q"]}
    assert survey.shared_sites == {("train", "val"): ["S"], ("train", "test"): ["S"], ("val", "test"): ["S"]}
    assert survey.counts["train"] == {"x": 2, "y": 0}
    assert survey.unused == ["d"]


PUBLISHED = """n,slide_id,case_id,oncotree_code
0,TCGA-3C-AALI-01Z.svs,TCGA-3C-AALI,IDC
1,TCGA-A2-BBBB-01Z.svs,TCGA-A2-BBBB,ILC
2,TCGA-A2-CCCC-01Z.svs,TCGA-A2-CCCC,MBC
"""


@pytest.mark.parametrize("zipped", [False, True])
def test_write_label_table_keeps_classes_and_reads_zips(tmp_path, zipped):
    source = tmp_path / "published.csv"
    source.write_text(PUBLISHED)
    if zipped:
        with zipfile.ZipFile(tmp_path / "published.csv.zip", "w") as archive:
            archive.writestr("published.csv.zip", PUBLISHED)  # as the published one names it
        source = tmp_path / "published.csv.zip"
    columns = Columns("slide_id", "oncotree_code", "case_id", "tcga")
    counts = write_label_table(source, tmp_path / "out.csv", columns, keep=["IDC", "ILC"])
    assert counts == {"IDC": 1, "ILC": 1, "MBC": 1}
    table = read_labels(tmp_path / "out.csv")
    assert table.keys.tolist() == ["TCGA-3C-AALI-01Z", "TCGA-A2-BBBB-01Z"]
    assert table.sites.tolist() == ["3C", "A2"]
    assert table.groups.tolist() == ["TCGA-3C-AALI", "TCGA-A2-BBBB"]


@pytest.mark.parametrize(
    ("columns", "keep", "message"),
    [
        (Columns("slide", "oncotree_code"), (), "no column slide, only n, slide_id"),
        (Columns("slide_id", "oncotree_code"), ["XYZ"], "no slide of class XYZ; the classes are IDC, ILC, MBC"),
    ],
)
def test_write_label_table_refuses_with_one_message(tmp_path, columns, keep, message):
    (tmp_path / "published.csv").write_text(PUBLISHED)
    with pytest.raises(DataError, match=message):
        write_label_table(tmp_path / "published.csv", tmp_path / "out.csv", columns, keep=keep)


def test_tcga_site_refuses_other_names():
    assert tcga_site("TCGA-3C-AALI") == "3C"
    with pytest.raises(DataError, match="slide s1 has no TCGA barcode"):
        tcga_site("s1")


def test_real_split_files_have_patients_on_two_sides(real_data, tmp_path):
    source = real_data / "tcga_brca" / "tcga_brca_subset.csv.zip"
    columns = Columns("slide_id", "oncotree_code", "case_id", "site")
    counts = write_label_table(source, tmp_path / "labels.csv", columns, keep=["IDC", "ILC"])
    assert (counts["IDC"], counts["ILC"], sum(counts.values())) == (726, 149, 937)
    labels = read_labels(tmp_path / "labels.csv")
    assert labels.sites.tolist() == [tcga_site(slide) for slide in labels.keys.tolist()]
    files = read_split_files(real_data / "tcga_brca" / "splits")
    assert len(files) == 10
    for file in files:
        survey = survey_split(file, labels)
        assert sum(map(len, file.sides.values())) == 1041
        assert sum(map(len, survey.unknown.values())) == 166
        assert not survey.shared_slides
        assert not survey.unused
        assert 7 <= len({name for names in survey.shared_groups.values() for name in names}) <= 15


def test_split_files_tell_a_number_that_is_left_out_and_a_split_that_is_there_twice(tmp_path, caplog):
    for name, test in (("0", "c"), ("1", "d"), ("3", "d")):
        write_split(tmp_path / f"splits_{name}.csv", train=["a"], validation=["b"], test=[test])
    assert len(read_split_files(tmp_path)) == 3
    assert "holds no split 2 between its others" in caplog.text
    assert "splits 1 and 3 are the same" in caplog.text


def test_split_files_called_by_their_seeds_miss_no_number(tmp_path, caplog):
    for seed, test in ((1, "c"), (42, "d"), (20240131, "e")):
        write_split(tmp_path / f"splits_{seed}.csv", train=["a"], validation=["b"], test=[test])
    assert len(read_split_files(tmp_path)) == 3
    assert not caplog.records


def test_a_folder_of_true_and_false_alone_is_refused_by_its_file(tmp_path):
    write_split(tmp_path / "splits_0_bool.csv", train=["a"], validation=[], test=["b"])
    with pytest.raises(DataError, match=r"splits_0_bool\.csv, of true and false, is not read"):
        read_split_files(tmp_path)
