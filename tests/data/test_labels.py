"""Label tables: what is read, and what is refused with which message."""

import numpy as np
import pytest

from hage_transfer.data.labels import LabelTable, map_labels, read_labels
from hage_transfer.errors import ConfigError, DataError


def table(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return read_labels(path)


def test_read_labels_keeps_order_and_groups(tmp_path):
    found = table(tmp_path, "slide,label,group\ns2,tumour,p1\ns1,benign,p2\n")
    assert found.key_column == "slide"
    assert found.keys.tolist() == ["s2", "s1"]
    assert found.classes == ("benign", "tumour")
    assert found.class_indices.tolist() == [1, 0]
    assert found.groups.tolist() == ["p1", "p2"]


def test_read_labels_without_groups_has_none(tmp_path):
    assert table(tmp_path, "key,label,group\na,x,\nb,y,\n").groups is None


def test_read_labels_takes_a_byte_order_mark_and_spaces(tmp_path):
    assert table(tmp_path, "\ufeffkey, label\na, x\nb,y\n").labels.tolist() == ["x", "y"]


def test_read_labels_lets_a_group_hold_both_labels(tmp_path):
    assert len(table(tmp_path, "slide,label,group\ns1,a,p\ns2,b,p\n")) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na,x\n", "this has path, label"),
        ("", "this has none"),
        ("key,label\n", "without rows"),
        ("key,label\na,\n", "line 2 has no label"),
        ("key,label\n,x\n", "line 2 has no key"),
        ("slide,label\ns1,x\ns1,y\n", "slide s1 is listed twice, as x and as y"),
        ("slide,label\ns1,x\ns1,x\n", "slide s1 is listed twice \\(line 3\\)"),
        ("key,label,group\na,x,g\nb,y,\n", "1 of 2 rows have no group \\(first: b\\)"),
        ("key,label\na\nb,y\n", "line 2 has no label"),
        ("slide,label,group\na,x,p\nb,y,Unknown\n", "line 3: group 'Unknown' would make one patient of strangers"),
        ("slide,label,group\na,Carcinoma, NOS,p\n", "line 2 has 4 cells, its header 3: p is left over"),
    ],
)
def test_read_labels_refuses_with_one_message(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        table(tmp_path, text)


def test_read_labels_names_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv: no such label table"):
        read_labels(tmp_path / "nowhere.csv")


def test_read_labels_names_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(b"\xff\xfe\x00key")
    with pytest.raises(DataError, match="cannot be read as a csv"):
        read_labels(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,Tumor,P1\nb,tumor,P2\n", ["labels Tumor and tumor", "classes of their own"]),
        ("a,x,P1\nb,x,p1\nc,y,7.0\nd,y,07\n", ["groups 07 and 7.0, groups P1 and p1", "patients of their own"]),
        ("a,x,P1\nb,y,P2\n", None),
    ],
)
def test_read_labels_tells_of_names_that_may_be_one(tmp_path, caplog, text, said):
    table(tmp_path, "slide,label,group\n" + text)
    if said is None:
        assert not caplog.messages
    else:
        (message,) = caplog.messages
        assert all(part in message for part in said)


SKIN = LabelTable(
    keys=np.array(["1", "2", "3"]), labels=np.array(["tumor_bcc", "nontumor_dermis", "tumor_naevus"]), groups=None
)


def test_map_labels_take_the_class_of_the_pattern_they_match():
    found = map_labels(SKIN, {"tumor_*": "tumour", "nontumor_*": "other"})
    assert found.labels.tolist() == ["tumour", "other", "tumour"]
    assert found.keys.tolist() == SKIN.keys.tolist()


def test_map_labels_leave_labels_alone_without_patterns():
    assert map_labels(SKIN, {}) is SKIN


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"tumor_*": "tumour"}, r"label nontumor_dermis: no pattern matches it"),
        ({"*tumor_*": "x", "tumor_*": "y"}, r"label tumor_bcc: patterns give it x and y"),
        ({"*": "x", "stroma": "x"}, r"label_map\.stroma: matches no label; the labels are nontumor_dermis"),
    ],
)
def test_map_labels_refuse_what_is_not_one_class_each(mapping, message):
    with pytest.raises(ConfigError, match=message):
        map_labels(SKIN, mapping)


def test_read_labels_takes_a_published_target_table(tmp_path):
    found = table(tmp_path, "slide,target\nHobI16-05.1.svs,1\nHobI17-07,0\n")
    assert found.keys.tolist() == ["HobI16-05.1", "HobI17-07"]
    assert found.classes == ("0", "1")
    assert found.groups is None


def test_read_labels_takes_published_column_names_and_sites(tmp_path):
    found = table(tmp_path, "slide_id,case_id,label,site\na.svs,p1,x,A2\nb.svs,p2,y,3C\n")
    assert (found.key_column, found.groups.tolist(), found.sites.tolist()) == ("slide", ["p1", "p2"], ["A2", "3C"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slide,label,label\na,x,y\n", "column label is there twice"),
        ("slide,label,site\na,x,A\nb,y,\n", "1 of 2 rows have no site"),
        ("slide,label\na.svs,x\na.tif,y\n", "slide a is listed twice, as x and as y"),
    ],
)
def test_read_labels_refuses_published_tables_with_one_message(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        table(tmp_path, text)


def test_patients_by_barcode_whom_no_group_keeps_together_are_told(tmp_path, caplog):
    path = tmp_path / "labels.csv"
    path.write_text("slide,label\nTCGA-AA-0001-01Z-00-DX1.svs,a\nTCGA-AA-0001-01Z-00-DX2.svs,b\nTCGA-AA-0002-01,a\n")
    read_labels(path)
    assert "the barcodes of its slides name 2 patients of 3 rows" in caplog.text
    caplog.clear()
    path.write_text("slide,label\nTCGA-AA-0001-01,a\nTCGA-AA-0002-01,b\ns1,a\n")
    read_labels(path)
    assert not caplog.records


@pytest.mark.parametrize(("column", "is_told"), [("case_id", True), ("Patient ID", True), ("patient_age", False)])
def test_patients_who_are_in_several_groups_are_told(tmp_path, caplog, column, is_told):
    path = tmp_path / "labels.csv"
    path.write_text(f"slide,label,group,{column}\ns1,a,g1,p\ns2,b,g2,p\ns3,b,g2,q\n")
    assert read_labels(path).groups.tolist() == ["g1", "g2", "g2"]
    told = f"1 patients by column {column} are in several groups (first: p, in g1 and g2)"
    assert (told in caplog.text) == is_told


@pytest.mark.parametrize(
    ("header", "cells"), [("case", ("1", "0", "1")), ("Case", ("case", "control", "case")), ("donor", ("", "NA", "NA"))]
)
@pytest.mark.parametrize("group", ["", ",group"])
def test_a_column_of_cases_and_controls_or_of_nobody_names_no_patients(tmp_path, caplog, header, cells, group):
    path = tmp_path / "labels.csv"
    rows = [f"s{k},{'ab'[k % 2]},{cell}{f',g{k}' if group else ''}" for k, cell in enumerate(cells)]
    path.write_text("\n".join([f"slide,label,{header}{group}", *rows, ""]))
    read_labels(path)
    assert not caplog.records


def test_of_two_columns_of_labels_the_one_that_is_read_is_named(tmp_path, caplog):
    path = tmp_path / "labels.csv"
    path.write_text("slide,target,label\na,0,x\nb,1,y\n")
    assert read_labels(path).labels.tolist() == ["x", "y"]
    assert "has columns label and target; label is read" in caplog.text
    caplog.clear()
    path.write_text("slide,target\na,0\nb,1\n")
    assert read_labels(path).labels.tolist() == ["0", "1"]
    assert not caplog.text
