"""Missing values that a program wrote out are no class, no patient and no slide, in every table that is read."""

import pytest

from hage_transfer.config import PatchSetSettings
from hage_transfer.csv_table import is_missing
from hage_transfer.data.labels import read_labels
from hage_transfer.data.patches import read_patch_set
from hage_transfer.data.published_table import NO_LABEL, Columns, write_label_table, write_manifest
from hage_transfer.errors import DataError

WORDS = [
    "#REF!",
    "'--",
    "not reported",
    "nan",
    "NaN",
    "NA",
    "N/A",
    "n/a",
    "<NA>",
    "NULL",
    "null",
    "None",
    "#N/A",
    "NaT",
    "[Not Available]",
]
COLUMNS = Columns("slide_id", "label", "case_id")


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("column", ["slide", "label", "group", "site"])
def test_label_tables_name_the_line_the_column_and_the_word(tmp_path, word, column):
    cells = {"slide": "a", "label": "x", "group": "p1", "site": "s"}
    table = tmp_path / "l.csv"
    rows = [{**cells, "slide": "b"}, {**cells, column: word}]
    table.write_text("slide,label,group,site\n" + "".join(",".join(row.values()) + "\n" for row in rows))
    with pytest.raises(DataError) as caught:
        read_labels(table)
    assert f"l.csv: line 3: {column} {word!r} is a missing value" in str(caught.value)


@pytest.mark.parametrize("word", ["none", "negative", "0", "unknown", "Nan-A", "NAD"])
def test_words_that_may_be_a_class_stay(word):
    assert not is_missing(word)


def published(tmp_path, labels, **options):
    table = tmp_path / "p.csv"
    rows = [f"c{row},s{row}.svs,{label}\n" for row, label in enumerate(labels)]
    table.write_text("case_id,slide_id,label\n" + "".join(rows))
    counts = write_label_table(table, tmp_path / "l.csv", COLUMNS, **options)
    return counts, read_labels(tmp_path / "l.csv").keys.tolist()


@pytest.mark.parametrize("options", [{"keep": ("x", "y")}, {"drop_empty": True}])
@pytest.mark.parametrize("empty", ["", *WORDS])
def test_labels_make_leaves_rows_without_a_class_out(tmp_path, empty, options):
    counts, slides = published(tmp_path, ["x", empty, "y"], **options)
    assert counts == {"x": 1, "y": 1, NO_LABEL: 1}
    assert slides == ["s0", "s2"]


@pytest.mark.parametrize("empty", ["", "NA"])
def test_labels_make_names_the_remedy_where_rows_have_no_class(tmp_path, empty):
    with pytest.raises(DataError, match=r"p\.csv: line 3.*drop_empty=True or keep="):
        published(tmp_path, ["x", empty])


def test_labels_make_says_that_no_row_has_a_class(tmp_path):
    with pytest.raises(DataError, match="no slide with a label"):
        published(tmp_path, ["", "NA"], drop_empty=True)


@pytest.mark.parametrize("row", ["b.png,nan,p", "b.png,x,NA", "nan,x,p"])
def test_manifests_refuse_them_too(tmp_path, row):
    (tmp_path / "m.csv").write_text(f"path,label,group\na.png,x,p\n{row}\n")
    with pytest.raises(DataError, match=r"m\.csv: line 3: .* is a missing value"):
        read_patch_set(PatchSetSettings(root=tmp_path, manifest=tmp_path / "m.csv"))
    with pytest.raises(DataError, match=r"m\.csv: line 3: .* is a missing value"):
        write_manifest(tmp_path / "m.csv", tmp_path / "o.csv", {"path": "path", "label": "label", "group": "group"})
