import re

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from hage_transfer.data.gene_names import GeneNames, rename_to_current
from hage_transfer.data.genes import panel_counts, read_symbols, select_panel
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


ALIASES = GeneNames.of_pairs(
    [("OLD1", "G1"), ("ENSG00000000001", "G1"), ("TWO", "G0"), ("TWO", "G2")], ["G0", "G1", "G2"], source="toy"
)


def test_panel_file_resolves_aliases_and_ids_and_reports_them(write_panel, make_section, caplog):
    caplog.set_level("INFO")
    path = write_panel("G2\nENSG00000000001.7\n")
    panel = select_panel([make_section(np.ones((2, 3)))], panel=path, names=ALIASES)
    assert panel.symbols == ("G2", "G1")
    assert panel.report["resolved_from"].tolist() == ["", "ENSG00000000001.7"]
    assert "1 of 2 names resolved (ENSG00000000001.7 is G1)" in caplog.text


def test_panel_file_resolves_the_ids_that_the_sections_carry(write_panel, make_section):
    section = make_section(np.ones((2, 2)))
    section.var["gene_id"] = ["ENSG00000000008", "ENSG00000000009"]
    assert select_panel([section], panel=write_panel("ENSG00000000009\n")).symbols == ("G1",)


@pytest.mark.parametrize("rows", ["G1\nOLD1\n", "OLD1\nENSG00000000001\n"])
def test_panel_file_with_two_names_of_one_gene_is_refused_naming_both(write_panel, make_section, rows):
    first, second = rows.split()
    with pytest.raises(DataError, match=f"{first} and {second} are both G1; a gene has one place"):
        select_panel([make_section(np.ones((2, 3)))], panel=write_panel(rows), names=ALIASES)


def test_panel_file_with_an_ambiguous_alias_is_refused_naming_its_symbols(write_panel, make_section):
    with pytest.raises(DataError, match=r"1 of 2 genes are in none .* TWO \(ambiguous: may be G0 or G2\)"):
        select_panel([make_section(np.ones((2, 3)))], panel=write_panel("G1\nTWO\n"), names=ALIASES)


@pytest.mark.parametrize("rule", ["hvg", "file"])
def test_panel_report_tells_what_the_sections_files_call_a_gene(write_panel, make_section, rule):
    section = make_section(np.eye(3), genes=["G0", "OLD1", "G2"])
    rename_to_current([section], ALIASES)
    panel = write_panel("G0\nG1\n") if rule == "file" else "hvg"
    report = select_panel([section], panel=panel, min_sections=1, min_spots=1, names=ALIASES).report
    assert dict(zip(report["gene"], report["resolved_from"], strict=True))["G1"] == "OLD1"
    assert (report["resolved_from"] != "").sum() == 1


def test_panel_without_some_genes_keeps_them_in_the_report(write_panel, make_section):
    panel = select_panel([make_section(np.ones((2, 3)))], panel=write_panel("G2\nG0\n"))
    left = panel.without({"G2": "no embedding in toy.txt"}, rule="no_embedding")
    assert left.symbols == ("G0",)
    assert left.report[["gene", "kept", "rule", "reason"]].iloc[0].tolist() == [
        "G2",
        False,
        "no_embedding",
        "no embedding in toy.txt",
    ]
    assert panel.report["kept"].all()


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


def test_hvg_of_sections_without_a_count_says_so(make_section):
    with pytest.raises(DataError, match="none of 3 genes has a count in any of 1 training sections"):
        select_panel([make_section(np.zeros((2, 3)))], panel="hvg")


def test_hvg_reports_every_gene_that_a_section_lists_with_the_first_rule_that_drops_it(varying_sections):
    report = select_panel(varying_sections(), panel="hvg", n_top=8, min_sections=1, min_spots=120).report
    assert set(report["gene"]) == {f"G{j}" for j in range(206)}
    assert (report["kept"] == (report["rule"] == "")).all()
    assert report.loc[report["kept"], "reason"].str.contains("seen in (?:1[2-9]|2[0-4])[0-9] spots").all()
    assert report["rule"].value_counts()[["never_seen", "n_top"]].gt(0).all()


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
    with pytest.raises(DataError, match=r"min_sections = 32 keeps 0 of 12,678 genes"):
        select_panel(real_sections, panel="hvg", n_top=1000, min_sections=32, min_spots=0)
    panel = select_panel(real_sections, panel="hvg", n_top=1000, min_sections=1, min_spots=1000)
    assert len(panel.symbols) == 5649
    assert panel.report["rule"].value_counts()["min_spots"] == 12_678 - 5649


@pytest.mark.parametrize("line", ['"TP53"', "TP53,ERBB2", "TP53;ERBB2", "TP53,", '["TP53"]', "TP53\u200b"])
def test_a_line_of_a_panel_that_is_no_symbol_alone_is_refused(tmp_path, line):
    (tmp_path / "panel.txt").write_text(f"MYC\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"panel\.txt: line 2 is .*, wanted one symbol"):
        read_symbols(tmp_path / "panel.txt")


def test_a_panel_loses_no_gene_to_a_byte_order_mark(tmp_path):
    (tmp_path / "panel.txt").write_bytes(b"\xef\xbb\xbfTP53\r\nERBB2\r\n")
    assert read_symbols(tmp_path / "panel.txt") == ["TP53", "ERBB2"]


@pytest.mark.parametrize(("listed", "said"), [(20, False), (19, False), (10, True)])
def test_a_section_that_lists_little_of_the_panel_is_said(write_panel, make_section, caplog, listed, said):
    genes = [f"G{k}" for k in range(20)]
    sections = [make_section(np.ones((3, 20)), name="A1"), make_section(np.ones((3, listed)), name="B1")]
    assert select_panel(sections, panel=write_panel("\n".join(genes))).symbols == tuple(genes)
    assert (f"of 20 panel genes, sections do not list: B1 {20 - listed};" in caplog.text) == said
