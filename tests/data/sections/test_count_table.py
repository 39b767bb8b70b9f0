import gzip
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from hage_transfer.data.sections.count_table import read_count_table
from hage_transfer.errors import DataError


def write(path, text):
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@given(counts=arrays(np.int64, array_shapes(min_dims=2, max_dims=2), elements=st.integers(0, 10**9)))
def test_count_table_reads_whole_numbers_exactly(tmp_path_factory, counts):
    path = tmp_path_factory.mktemp("counts") / "A1.tsv"
    lines = ["\t".join(["", *(f"G{j}" for j in range(counts.shape[1]))])]
    lines += ["\t".join([f"{i}x0", *map(str, row)]) for i, row in enumerate(counts)]
    table = read_count_table(write(path, "\n".join(lines) + "\n"))
    np.testing.assert_array_equal(table.counts.toarray(), counts)
    assert table.spots == [f"{i}x0" for i in range(len(counts))]
    assert table.genes == [f"G{j}" for j in range(counts.shape[1])]


@pytest.mark.parametrize("name", ["A1.tsv", "A1.tsv.gz"])
@pytest.mark.parametrize(
    "text",
    ["\tG\tH\n1x1\t1.0\t2e1\n2x1\t0\t3\n", "\tG\tH\r\n1x1\t1\t20\r\n2x1\t0\t3\r\n", "G\tH\n1x1\t1\t20\n2x1\t0\t3\n"],
)
def test_count_table_reads_decimals_windows_lines_and_tables_without_a_corner(tmp_path, name, text):
    table = read_count_table(write(tmp_path / name, text))
    assert table.genes == ["G", "H"]
    np.testing.assert_array_equal(table.counts.toarray(), [[1, 20], [0, 3]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\tG\t\n1x1\t1\t2\n", "1 of 2 genes have no name, the first in place 2"),
        ("\tG\t\t\n1x1\t1\t2\t3\n", "2 of 3 genes have no name, the first in place 2"),
        ("\tG\t\n1x1\t1\t\n", "spot 1x1, gene : '' is not a number"),
        ("\tG\tH\n1x1\t1\tmany\n", "spot 1x1, gene H: 'many' is not a number"),
        ("\tG\tH\n1x1\t1\t\n", "spot 1x1, gene H: '' is not a number"),
        ("\tG\tH\n1x1\t1\t2\n2x1\t1\n", "line 3 (spot 2x1) has 1 values, the header lists 2 genes"),
        ("\tG\tG\n1x1\t1\t2\n", "gene G listed more than once"),
        ("\tG\tH\n1x1\t1\t2\n1x1\t1\t2\n", "spot 1x1 listed more than once"),
        ("", "a count table has a header"),
        ("no table at all\n", "a count table has a header"),
    ],
)
def test_count_table_names_what_is_wrong(tmp_path, text, message):
    path = write(tmp_path / "A1.tsv", text)
    with pytest.raises(DataError, match=f"{re.escape(str(path))}.*{re.escape(message)}"):
        read_count_table(path)


def test_count_table_refuses_a_truncated_gzip(tmp_path):
    path = write(tmp_path / "A1.tsv.gz", "\tG\n" + "".join(f"{i}x1\t{i}\n" for i in range(500)))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="damaged or truncated gzip"):
        read_count_table(path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("A1.tsv.gz", b"\tG\n1x1\t1\n", r"A1\.tsv\.gz: ends in \.gz and is no gzip"),
        ("A1.tsv", gzip.compress(b"\tG\n1x1\t1\n"), r"A1\.tsv: is gzip and its name does not end in \.gz"),
        ("A1.tsv", "\tG\n1x1\t1\n".encode("utf-16"), r"A1\.tsv: is text in UTF-16; save it as UTF-8"),
    ],
    ids=["no gzip", "gzip", "UTF-16"],
)
def test_count_table_says_what_a_file_of_another_kind_is(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_count_table(tmp_path / name)


def test_count_table_refuses_a_column_of_sums(tmp_path):
    path = tmp_path / "A1.tsv"
    rows = [f"1x{k}\t{k}\t{k % 3}\t2\t{k + k % 3 + 2}\n" for k in range(10)]
    path.write_text("\tG\tH\tI\ttotal\n" + "".join(rows))
    with pytest.raises(DataError, match=r"A1\.tsv: column total is the sum of all others"):
        read_count_table(path)


def test_count_table_refuses_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"A1\.tsv: no such file"):
        read_count_table(tmp_path / "A1.tsv")
