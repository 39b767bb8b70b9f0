import re

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from hage_transfer.data.genes import panel_counts, select_panel
from hage_transfer.errors import DataError


@pytest.fixture
def write_panel(tmp_path):
    def write(text: str):
        (tmp_path / "panel.txt").write_text(text)
        return tmp_path / "panel.txt"

    return write


@pytest.fixture(scope="module")
def varying_sections(make_section):
    """Three sections; G0 to G4 are on in half of the spots, G5 to G204 vary like Poisson counts, G205 is never seen."""

    def make(seed: int = 0):
        rng = np.random.default_rng(seed)
        sections = []
        for name in ("A2", "B1", "C1"):
            switched = rng.permuted(np.repeat([[0], [12]], 40, axis=0) * np.ones(5), axis=0)
            steady = rng.poisson(np.repeat([1, 6], 100), size=(80, 200))
            sections.append(make_section(np.hstack([switched, steady, np.zeros((80, 1))]), name=name))
        return sections

    return make


def test_panel_file_keeps_its_order_and_skips_blanks_and_comments(write_panel, make_section):
    path = write_panel("# my genes\nG2\n\n  G0  # known\n")
    panel = select_panel([make_section(np.ones((2, 3)))], panel=path)
    assert panel.symbols == ("G2", "G0")
    assert panel.report["kept"].tolist() == [True, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("G0\nG9\nG1\nG8\n", "2 of 4 genes are in none of the 1 training sections: G9, G8"),
        ("G0\ng1\n", "1 of 2 genes are in none of the 1 training sections: g1"),
        ("G0\nG1\nG0\n", "gene G0 listed more than once"),
        ("\n# nothing\n", "the panel is empty"),
        ("G0\nG1 G2\n", "line 2 holds 2 words (G1, G2), wanted one symbol"),
    ],
)
def test_panel_file_names_what_is_wrong(write_panel, make_section, text, message):
    path = write_panel(text)
    with pytest.raises(DataError, match=f"{re.escape(str(path))}.*{re.escape(message)}"):
        select_panel([make_section(np.ones((2, 3)))], panel=path)


def test_panel_file_that_is_missing_or_no_text_is_refused(tmp_path, make_section):
    sections = [make_section(np.ones((2, 3)))]
    with pytest.raises(DataError, match="no such panel file"):
        select_panel(sections, panel=tmp_path / "none.txt")
    (tmp_path / "panel.npy").write_bytes(b"\x93NUMPY\xff")
    with pytest.raises(DataError, match="cannot be read as a panel"):
        select_panel(sections, panel=tmp_path / "panel.npy")


def test_panel_file_keeps_a_gene_that_one_section_lacks(write_panel, make_section):
    sections = [make_section(np.ones((2, 2)), genes=["G0", "G1"]), make_section(np.ones((2, 1)), genes=["G0"])]
    panel = select_panel(sections, panel=write_panel("G0\nG1\n"))
    assert panel.symbols == ("G0", "G1")
    assert "1 of 2 training sections have it" in panel.report["reason"][1]


def test_hvg_keeps_genes_that_vary_in_enough_sections(varying_sections):
    panel = select_panel(varying_sections(), panel="hvg", n_top=5, min_sections=3, min_spots=1)
    assert panel.symbols == ("G0", "G1", "G2", "G3", "G4")


def test_hvg_reports_a_reason_for_each_gene(varying_sections):
    panel = select_panel(varying_sections(), panel="hvg", n_top=8, min_sections=2, min_spots=1)
    report = panel.report.set_index("gene")
    assert set(report.index[report["kept"]]) == set(panel.symbols)
    assert report.loc["G0", "reason"].startswith("among the top 8 of 3 of 3 sections, seen in")
    assert report.loc["G205", ["rule", "reason"]].tolist() == ["never_seen", "no count in any of 3 sections"]
    few = report[report["rule"] == "min_sections"]
    assert len(few)
    assert few["reason"].str.contains(r"among the top 8 of 1 of 3 sections, fewer than min_sections = 2").all()
    assert report.loc[report["rule"] == "n_top", "reason"].str.contains("of 0 of 3 sections, wanted min_sec").all()


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), min_sections=st.integers(1, 3))
def test_hvg_with_a_stricter_rule_is_a_subset(varying_sections, seed, min_sections):
    sections = varying_sections(seed)
    loose = select_panel(sections, panel="hvg", n_top=20, min_sections=1, min_spots=1)
    strict = select_panel(sections, panel="hvg", n_top=20, min_sections=min_sections, min_spots=60)
    assert set(strict.symbols) <= set(loose.symbols)
    for symbol in strict.symbols:
        assert sum(int((section[:, symbol].X > 0).sum()) for section in sections) >= 60


def test_hvg_ignores_the_order_of_sections(varying_sections):
    sections = varying_sections()
    forward = select_panel(sections, panel="hvg", n_top=8, min_sections=1, min_spots=1)
    backward = select_panel(sections[::-1], panel="hvg", n_top=8, min_sections=1, min_spots=1)
    assert forward.symbols == backward.symbols


def test_hvg_never_takes_a_gene_that_no_spot_has(varying_sections):
    panel = select_panel(varying_sections(), panel="hvg", n_top=1000, min_sections=1, min_spots=0)
    assert set(panel.symbols) == {f"G{j}" for j in range(205)}


def test_hvg_survives_a_spot_without_counts(varying_sections):
    sections = varying_sections()
    counts = sections[0].X.toarray()
    counts[3] = 0
    sections[0].X = sp.csr_matrix(counts)
    assert select_panel(sections, panel="hvg", n_top=5, min_sections=3, min_spots=1).symbols[0] == "G0"


def test_hvg_leaves_the_sections_as_they_were(varying_sections):
    sections = varying_sections()
    before = sections[0].X.toarray()
    select_panel(sections, panel="hvg", n_top=5, min_sections=1, min_spots=1)
    np.testing.assert_array_equal(sections[0].X.toarray(), before)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"min_sections": 9}, r"min_sections = 9 keeps 0 of \d+ genes.*largest value that keeps any is 3"),
        ({"min_spots": 999}, r"min_spots = 999 keeps 0 of the 5 genes.*largest value that keeps any is \d+"),
    ],
)
def test_hvg_that_keeps_nothing_says_which_rule_emptied_it(varying_sections, rules, message):
    with pytest.raises(DataError, match=message):
        select_panel(varying_sections(), panel="hvg", n_top=5, **{"min_sections": 3, "min_spots": 1, **rules})


def test_select_panel_needs_a_section():
    with pytest.raises(DataError, match="at least one training section"):
        select_panel([], panel="hvg")


def test_panel_counts_are_in_panel_order_and_zero_where_absent(make_section):
    section = make_section([[1, 2, 3], [4, 5, 6]])
    counts = panel_counts(section, ["G2", "ABSENT", "G0"])
    assert counts.dtype == np.float32
    assert counts.tolist() == [[3, 0, 1], [6, 0, 4]]


@pytest.mark.slow
def test_hvg_of_the_real_sections_has_no_gene_in_all_of_them(real_sections):
    with pytest.raises(DataError, match=r"min_sections = 32 keeps 0 of 12,\d{3} genes"):
        select_panel(real_sections, panel="hvg", n_top=1000, min_sections=32, min_spots=0)
