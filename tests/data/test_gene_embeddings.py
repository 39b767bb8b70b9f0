import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from hage_transfer.data.gene_embeddings import GeneEmbeddings, cover, near_names, read_gene2vec
from hage_transfer.data.gene_names import GeneNames
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


NAMES = GeneNames.of_pairs(
    [("OLD", "NEW"), ("OLDER", "NEW"), ("TWO", "NEW"), ("TWO", "MYC")], ["NEW", "MYC"], source="toy"
)


def test_cover_finds_a_gene_that_the_embeddings_list_under_another_name(caplog):
    caplog.set_level("INFO")
    coverage = cover(["MYC", "NEW"], embeddings("OLD", "MYC"), names=NAMES)
    assert coverage.symbols == ("MYC", "NEW")
    assert coverage.vectors.tolist() == [[2, 3], [0, 1]]
    assert coverage.renamed == {"NEW": "OLD"}
    assert "1 of them under another name: NEW as OLD" in caplog.text


def test_cover_gives_an_embedding_to_the_gene_of_its_very_name_alone():
    coverage = cover(["OLD", "NEW"], embeddings("NEW", "MYC"), names=NAMES)
    assert coverage.symbols == ("NEW",)
    assert coverage.reasons == {"OLD": "no embedding in toy.txt: NEW there is the panel's NEW too"}


def test_cover_gives_an_embedding_to_none_of_two_genes_of_other_names():
    coverage = cover(["OLD", "OLDER", "MYC"], embeddings("NEW", "MYC"), names=NAMES)
    assert coverage.missing == ("OLD", "OLDER")
    assert coverage.reasons["OLD"] == "no embedding in toy.txt: NEW there is the panel's OLDER too"


def test_cover_tells_why_each_missing_gene_is():
    left_out = GeneEmbeddings(("MYC",), np.zeros((1, 2), np.float32), "toy", {"FLAT": "constant"})
    reasons = cover(["MYC", "FLAT", "TWO"], left_out, names=NAMES).reasons
    assert reasons == {
        "FLAT": "no embedding in toy: constant",
        "TWO": "no embedding in toy: ambiguous: may be MYC or NEW",
    }


def test_near_names_prefer_another_case_to_another_spelling():
    near = near_names(["Tp53", "ERBB9", "XYZ"], ["TP53", "TP63", "ERBB2", "ERBB3", "MYC"])
    assert near == {"Tp53": ("TP53",), "ERBB9": ("ERBB3", "ERBB2"), "XYZ": ()}
