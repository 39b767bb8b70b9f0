import pytest

from hage_transfer.data.gene_sets import read_gmt
from hage_transfer.errors import DataError


def test_sets_keep_their_genes_once_in_order(tmp_path):
    path = tmp_path / "sets.gmt"
    path.write_text("B\thttps://x\tESR1\tPGR\tESR1\t\n\nA\t\tTP53\r\n")
    assert read_gmt(path) == {"B": ("ESR1", "PGR"), "A": ("TP53",)}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "0 sets"),
        (b"A\tonly a description\n", "line 1"),
        (b"gene,set\nESR1,A\n", "line 1"),
        (b"A\tx\tESR1\nA\tx\tPGR\n", "line 2: the set A is there twice"),
        (b"\tx\tESR1\n", "without a name"),
        (b"\xff\xfe\x00", "GMT"),
        (None, "no such file"),
    ],
)
def test_what_is_no_gmt_is_refused_by_name_and_line(tmp_path, content, words):
    path = tmp_path / "sets.gmt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=words) as refused:
        read_gmt(path)
    assert str(path) in str(refused.value)
