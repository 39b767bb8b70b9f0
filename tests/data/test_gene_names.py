import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hage_transfer.data.gene_names import GeneNames, carried_names, rename_to_current, resolve

PAIRS = [("FAM46A", "TENT5A"), ("C6orf37", "TENT5A"), ("ENSG00000112773", "TENT5A"), ("MARCH1", "MARCHF1")]
TABLE = GeneNames.of_pairs(
    [*PAIRS, ("MARCH1", "MTARC1"), ("TP53", "OTHER")], ["TENT5A", "MARCHF1", "MTARC1", "TP53", "OTHER"], source="toy"
)


@pytest.mark.parametrize("name", ["FAM46A", "C6orf37", "ENSG00000112773", "ENSG00000112773.14"])
def test_resolve_finds_a_symbol_by_its_aliases_and_ids(name):
    assert resolve([name], ["TENT5A", "TP53"], TABLE).found == {name: "TENT5A"}


@pytest.mark.parametrize("listed", ["FAM46A", "ENSG00000112773.2"])
def test_resolve_finds_a_list_that_has_another_name_of_the_gene(listed):
    assert resolve(["TENT5A", "C6orf37"], [listed], TABLE).found == {"TENT5A": listed, "C6orf37": listed}


def test_resolve_never_renames_a_name_that_the_list_has():
    resolution = resolve(["FAM46A"], ["FAM46A", "TENT5A"], TABLE)
    assert resolution.found == {"FAM46A": "FAM46A"}
    assert not resolution.renamed


def test_resolve_never_renames_a_current_symbol():
    assert resolve(["TP53"], ["OTHER"], TABLE).unresolved == {"TP53": "not listed"}


def test_resolve_leaves_an_alias_of_two_symbols_and_names_both():
    resolution = resolve(["MARCH1"], ["MARCHF1"], TABLE)
    assert not resolution.found
    assert resolution.unresolved == {"MARCH1": "ambiguous: may be MARCHF1 or MTARC1"}


def test_resolve_leaves_a_gene_that_the_list_has_under_two_old_names():
    unresolved = resolve(["TENT5A"], ["FAM46A", "C6orf37"], TABLE).unresolved
    assert unresolved == {"TENT5A": "ambiguous: listed as C6orf37 and as FAM46A"}


def test_resolve_says_what_a_missing_alias_stands_for():
    assert resolve(["FAM46A"], ["TP53"], TABLE).unresolved == {"FAM46A": "stands for TENT5A, not listed"}


def test_resolve_without_a_table_matches_versions_of_one_id_alone():
    resolution = resolve(["ENSG00000141510.18", "LINC1.1"], ["ENSG00000141510.5", "LINC1"], None)
    assert resolution.found == {"ENSG00000141510.18": "ENSG00000141510.5"}
    assert set(resolution.unresolved) == {"LINC1.1"}


@given(st.lists(st.sampled_from([*TABLE.symbols, *TABLE.aliases, "UNHEARD"]), unique=True), st.data())
def test_resolve_accounts_for_every_name_and_invents_none(names, data):
    listed = data.draw(st.lists(st.sampled_from([*TABLE.symbols, *TABLE.aliases, "ELSE"]), unique=True))
    resolution = resolve(names, listed, TABLE)
    assert set(resolution.found) | set(resolution.unresolved) == set(names)
    assert not set(resolution.found) & set(resolution.unresolved)
    assert set(resolution.found.values()) <= set(listed)
    for name, other in resolution.renamed.items():
        assert TABLE.current(name) == TABLE.current(other)


def with_ids(section, ids):
    section.var["gene_id"] = ids
    return section


def test_carried_names_resolve_the_ids_of_the_sections(make_section):
    section = with_ids(make_section(np.ones((2, 3))), ["ENSG01|ENSG02", "ENSG03", ""])
    carried = carried_names([section, make_section(np.ones((2, 1)), genes=["G9"])])
    wanted = ["ENSG02.7", "ENSG03", "G2", "G9", ""]
    assert resolve(wanted, carried.symbols, carried).found == {"ENSG02.7": "G0", "ENSG03": "G1", "G2": "G2", "G9": "G9"}


def test_carried_names_that_disagree_are_told_and_resolve_to_none(make_section, caplog):
    sections = [
        with_ids(make_section(np.ones((2, 1)), genes=[name]), ["ENSG00000112773"]) for name in ("FAM46A", "TENT5A")
    ]
    carried = carried_names(sections)
    assert "1 gene ids go by several symbols (ENSG00000112773 is FAM46A and TENT5A)" in caplog.text
    assert not resolve(["ENSG00000112773"], carried.symbols, carried).found


def test_a_table_tells_carried_names_in_its_current_symbols(make_section):
    section = with_ids(make_section(np.ones((2, 2)), genes=["FAM46A", "NEW"]), ["ENSG00000112773", "ENSG00000000999"])
    joined = TABLE.joined(carried_names([section]))
    found = resolve(["ENSG00000112773", "TENT5A", "ENSG00000000999"], section.var_names, joined).found
    assert found == {"ENSG00000112773": "FAM46A", "TENT5A": "FAM46A", "ENSG00000000999": "NEW"}


def test_rename_to_current_lets_all_sections_call_a_gene_alike(make_section):
    sections = [
        make_section([[1, 2]], genes=["FAM46A", "TP53"]),
        make_section([[3, 4]], genes=["ENSG00000112773.3", "MARCH1"]),
    ]
    rename_to_current(sections, TABLE)
    assert [list(section.var_names) for section in sections] == [["TENT5A", "TP53"], ["TENT5A", "MARCH1"]]
    assert sections[0].var["listed_as"].tolist() == ["FAM46A", ""]
    assert sections[1].X.toarray().tolist() == [[3, 4]]


def test_rename_to_current_never_makes_two_columns_one_name(make_section, caplog):
    sections = [
        make_section([[1, 2]], genes=["FAM46A", "TENT5A"]),
        make_section([[1, 2]], genes=["FAM46A", "C6orf37"]),
    ]
    rename_to_current(sections, TABLE)
    assert [list(section.var_names) for section in sections] == [["FAM46A", "TENT5A"], ["FAM46A", "C6orf37"]]
    assert "2 gene names of the sections stay" in caplog.text
