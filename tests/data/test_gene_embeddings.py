import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from hage_transfer.data.gene_embeddings import GeneEmbeddings, cover, read_gene2vec
from hage_transfer.errors import DataError

VECTORS = arrays(np.float32, array_shapes(min_dims=2, max_dims=2), elements=st.floats(-10, 10, width=32))


def embeddings(*symbols):
    return GeneEmbeddings(symbols, np.arange(2 * len(symbols), dtype=np.float32).reshape(-1, 2), "toy.txt")


@pytest.mark.parametrize("form", ["gene2vec", "word2vec"])
@given(vectors=VECTORS)
def test_read_gene2vec_reads_both_forms_exactly(tmp_path_factory, form, vectors):
    path = tmp_path_factory.mktemp("g2v") / "gene2vec.txt"
    header = f"{len(vectors)} {vectors.shape[1]}\n" if form == "word2vec" else ""
    join = "\t" if form == "gene2vec" else " "
    rows = [f"GENE{i}{join}{' '.join(map(str, row))} \n" for i, row in enumerate(vectors)]
    path.write_text(header + "".join(rows))
    read = read_gene2vec(path)
    np.testing.assert_array_equal(read.vectors, vectors)
    assert read.symbols == tuple(f"GENE{i}" for i in range(len(vectors)))
    assert read.source == "gene2vec.txt"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TP53\t1 2\nMYC\t1 2 3\n", "line 2 (MYC) has 3 numbers, wanted 2 as in the first line"),
        ("2 3\nTP53 1 2 3\nMYC 1 2\n", "line 3 (MYC) has 2 numbers, wanted 3 as declared"),
        ("TP53\t1 two\n", "line 1 (TP53): could not convert string to float: 'two'"),
        ("TP53\t1 2\nMYC\t1 nan\n", "line 2 (MYC) holds NaN or infinity"),
        ("TP53\t1 2\nMYC\t1 2\nTP53\t3 4\n", "gene TP53 listed more than once"),
        ("3 2\nTP53 1 2\nMYC 1 2\n", "declares 3 rows, the file has 2"),
        ("TP53\nMYC\n", "line 1 (TP53) has 0 numbers"),
        ("", "no gene embedding in it"),
        ("0 200\n", "no gene embedding in it"),
    ],
)
def test_read_gene2vec_names_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "gene2vec.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=f"{re.escape(str(path))}.*{re.escape(message)}"):
        read_gene2vec(path)


def test_read_gene2vec_refuses_a_missing_file_and_a_binary_one(tmp_path):
    with pytest.raises(DataError, match="no such file of gene embeddings"):
        read_gene2vec(tmp_path / "none.txt")
    (tmp_path / "g.bin").write_bytes(b"2 3\n\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as text"):
        read_gene2vec(tmp_path / "g.bin")


def test_cover_keeps_the_panels_order_and_lists_the_missing():
    coverage = cover(["MYC", "ABSENT", "TP53"], embeddings("TP53", "KRAS", "MYC"))
    assert coverage.symbols == ("MYC", "TP53")
    assert coverage.vectors.tolist() == [[4, 5], [0, 1]]
    assert coverage.missing == ("ABSENT",)


def test_cover_is_case_exact_and_says_what_another_case_would_match(caplog):
    coverage = cover(["Tp53", "MYC"], embeddings("TP53", "MYC"))
    assert coverage.symbols == ("MYC",)
    assert "1 would match in another case (Tp53)" in caplog.text


def test_cover_refuses_a_panel_without_any_embedding():
    with pytest.raises(DataError, match=r"none of the panel's 1 genes \(Tp53\) has an embedding in toy\.txt"):
        cover(["Tp53"], embeddings("TP53"))
