import re

import pytest

from hage_transfer.data.gene_name_table import read_gene_names
from hage_transfer.errors import DataError

HGNC_HEADER = "hgnc_id\tsymbol\tname\talias_symbol\tprev_symbol\tensembl_gene_id\n"


@pytest.fixture
def write(tmp_path):
    def write(text: str):
        (tmp_path / "names.csv").write_text(text)
        return tmp_path / "names.csv"

    return write


@pytest.mark.parametrize(
    "start", ["alias,symbol\n", "\ufeffalias,symbol\r\n", "alias\tsymbol\n", "symbol,note,alias\n"]
)
def test_read_gene_names_reads_pairs(write, start):
    row = {"symbol,note,alias\n": "TENT5A,was,FAM46A\n", "alias\tsymbol\n": "FAM46A\tTENT5A\n"}
    names = read_gene_names(write(start + row.get(start, "FAM46A,TENT5A\n")))
    assert names.symbols == {"TENT5A"}
    assert names.aliases == {"FAM46A": ("TENT5A",)}
    assert names.source == "names.csv"


def test_read_gene_names_reads_the_hgnc_table(write):
    rows = (
        'HGNC:1\tTENT5A\tterminal, 5A\t"XTP11|C6orf37"\tFAM46A\tENSG00000112773\n'
        "HGNC:2\tTP53\ttumor protein p53\tp53|LFS1\t\tENSG00000141510\nHGNC:3\tNOIDS\tnone\t\t\t\n"
    )
    names = read_gene_names(write(HGNC_HEADER + rows))
    assert names.symbols == {"TENT5A", "TP53", "NOIDS"}
    assert {alias for alias, found in names.aliases.items() if found == ("TENT5A",)} == {
        "XTP11",
        "C6orf37",
        "FAM46A",
        "ENSG00000112773",
    }
    assert set(names.aliases) - {"p53", "LFS1", "ENSG00000141510"} == {"XTP11", "C6orf37", "FAM46A", "ENSG00000112773"}


def test_read_gene_names_tells_of_shared_aliases_and_of_aliases_that_are_symbols(write, caplog):
    caplog.set_level("INFO")
    names = read_gene_names(write("alias,symbol\nA1,B\nA1,C\nC,B\n"))
    assert names.aliases == {"A1": ("B", "C")}
    assert "1 names stand for several symbols, so they are resolved to none: A1 (B or C)" in caplog.text
    assert "1 aliases are symbols of other genes, so they are not resolved: C (of B)" in caplog.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("old,new\nA,B\n", "the header has the columns old, new; wanted a csv with the columns alias,symbol"),
        ("", "the header has the columns ; wanted"),
        ("alias,symbol\n", "no gene name in it"),
        ("alias,symbol\nA,B\nC\n", "line 3 has 1 columns (C), the header 2"),
        ("alias,symbol\nA,B\n\nC,\n", "line 4: symbol is empty"),
        ("alias,symbol\n ,B\n", "line 2: alias is empty"),
        (HGNC_HEADER + "HGNC:1\t\tname\t\t\t\n", "line 2: symbol is empty"),
        (HGNC_HEADER + "HGNC:1\tTP53\tname\n", "line 2 has 3 columns"),
        ("symbol\talias_symbol\nA\tB\n", "wanted a csv with the columns alias,symbol, or HGNC's"),
    ],
)
def test_read_gene_names_names_what_is_wrong(write, text, message):
    path = write(text)
    with pytest.raises(DataError, match=f"{re.escape(str(path))}.*{re.escape(message)}"):
        read_gene_names(path)


def test_read_gene_names_refuses_a_missing_file_and_a_binary_one(tmp_path):
    with pytest.raises(DataError, match="no such table of gene names"):
        read_gene_names(tmp_path / "none.csv")
    (tmp_path / "names.bin").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as a table of gene names"):
        read_gene_names(tmp_path / "names.bin")


def test_read_gene_names_takes_an_alias_that_looks_like_a_missing_value(write):
    assert read_gene_names(write("alias,symbol\nNaN,SCN11A\nHER2,ERBB2\n")).aliases["NaN"] == ("SCN11A",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alias,symbol,symbol\nHER2,ERBB2,X\n", "column symbol is there twice; keep one"),
        ("alias,symbol\nHER2,NA\n", "line 2: symbol 'NA' is a missing value"),
        ("alias,symbol\nHER2|NEU,ERBB2\n", r"line 2: HER2\|NEU are several aliases; give each a line"),
    ],
)
def test_read_gene_names_refuses_what_would_name_no_gene(write, text, message):
    with pytest.raises(DataError, match=message):
        read_gene_names(write(text))
