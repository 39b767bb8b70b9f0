import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from hage_transfer.data.co_expression import GeneEmbeddings
from hage_transfer.data.gene2vec import read_gene2vec, write_gene2vec
from hage_transfer.errors import DataError

FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(vectors=arrays(np.float32, array_shapes(min_dims=2, max_dims=2), elements=FLOAT32))
def test_write_gene2vec_is_read_back_bit_by_bit(tmp_path_factory, vectors):
    path = tmp_path_factory.mktemp("g2v") / "trained.txt"
    write_gene2vec(path, GeneEmbeddings(tuple(f"G{i}" for i in range(len(vectors))), vectors, "toy"))
    read = read_gene2vec(path)
    np.testing.assert_array_equal(read.vectors.view(np.int32), vectors.view(np.int32))
    assert read.symbols == tuple(f"G{i}" for i in range(len(vectors)))


def test_write_gene2vec_writes_the_published_form(tmp_path):
    write_gene2vec(tmp_path / "g.txt", GeneEmbeddings(("TP53",), np.array([[0.5, -2.0]], np.float32), "toy"))
    assert (tmp_path / "g.txt").read_text() == "TP53\t0.5 -2.0\n"


def test_read_gene2vec_loses_no_gene_to_a_byte_order_mark(tmp_path):
    (tmp_path / "g.txt").write_bytes(b"\xef\xbb\xbfTP53\t0.5 -2.0\nMYC\t1 2\n")
    assert read_gene2vec(tmp_path / "g.txt").symbols == ("TP53", "MYC")
    (tmp_path / "g.txt").write_bytes(b"\xef\xbb\xbf1 2\nTP53 0.5 -2.0\n")
    assert read_gene2vec(tmp_path / "g.txt").symbols == ("TP53",)


def test_read_gene2vec_refuses_a_number_past_float32(tmp_path):
    (tmp_path / "g.txt").write_text("TP53\t1 1e300\n")
    with pytest.raises(DataError, match=r"line 1 \(TP53\) holds NaN or infinity"):
        read_gene2vec(tmp_path / "g.txt")


def test_read_gene2vec_holds_little_more_than_the_numbers(tmp_path):
    path = tmp_path / "g.txt"
    row = " ".join(["0.123456"] * 200)
    path.write_text("2000 200\n" + "".join(f"G{i} {row}\n" for i in range(2000)))
    tracemalloc.start()
    vectors = read_gene2vec(path).vectors
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * vectors.nbytes


@pytest.mark.slow
def test_read_gene2vec_reads_a_file_of_the_published_size(tmp_path):
    path = tmp_path / "g.txt"
    rows = np.random.default_rng(0).normal(size=(24_447, 200)).astype(np.float32)
    path.write_text("24447 200\n" + "".join(f"G{i} {' '.join(map(str, row))} \n" for i, row in enumerate(rows)))
    read = read_gene2vec(path)
    np.testing.assert_array_equal(read.vectors, rows)


def test_read_gene2vec_refuses_a_number_with_an_underscore(tmp_path):
    (tmp_path / "g.txt").write_text("TP53\t1 1_0\n")
    with pytest.raises(DataError, match=r"line 1 \(TP53\): could not convert string to float: '1_0'"):
        read_gene2vec(tmp_path / "g.txt")
