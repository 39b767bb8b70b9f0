from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp

from hage_transfer.config import SectionsSettings
from hage_transfer.data import co_expression
from hage_transfer.data.co_expression import coexpressed_pairs
from hage_transfer.data.expression import normalise
from hage_transfer.data.gene_embeddings import train_coexpression
from hage_transfer.data.genes import panel_counts, read_symbols
from hage_transfer.data.sections import read_sections
from hage_transfer.errors import DataError

SYMBOLS = [f"G{j}" for j in range(20)]


@pytest.fixture
def programs(make_section):
    """Two sections; G0 to G9 follow one program over the spots, G10 to G19 another."""
    rng = np.random.default_rng(0)
    sections = []
    for name in ("A2", "B1"):
        activity = rng.uniform(0.2, 1, size=(100, 2))
        counts = rng.poisson(40 * np.repeat(activity, 10, axis=1))
        sections.append(make_section(counts, name=name))
    return sections


def test_co_expression_puts_genes_of_one_program_together(programs):
    vectors = train_coexpression(programs, SYMBOLS, dim=16, seed=0, n_partners=5, epochs=200).vectors
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    same = np.kron(np.eye(2), np.ones((10, 10))).astype(bool)
    off_diagonal = ~np.eye(20, dtype=bool)
    assert cosine[same & off_diagonal].mean() > cosine[~same].mean() + 0.2


def test_co_expression_is_bitwise_the_same_for_the_same_seed(programs):
    first, second = (train_coexpression(programs, SYMBOLS, dim=8, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.vectors, second.vectors)


def test_co_expression_differs_between_seeds(programs):
    first, second = (train_coexpression(programs, SYMBOLS, dim=8, seed=seed) for seed in (0, 1))
    assert not np.array_equal(first.vectors, second.vectors)


def test_co_expression_has_the_panels_order_and_width(programs):
    shuffled = SYMBOLS[::-1]
    trained = train_coexpression(programs, shuffled, dim=8, seed=0)
    assert trained.symbols == tuple(shuffled)
    assert trained.vectors.shape == (20, 8)
    assert trained.vectors.dtype == np.float32


def test_co_expression_leaves_out_and_names_genes_that_never_vary(programs, caplog):
    for section in programs:
        counts = section.X.toarray()
        counts[:, 4] = 0
        section.X = sp.csr_matrix(counts)
    trained = train_coexpression(programs, SYMBOLS, dim=8, seed=0)
    assert trained.symbols == tuple(symbol for symbol in SYMBOLS if symbol != "G4")
    assert "constant in every training section, so without an embedding: G4" in caplog.text
    assert trained.left_out == {"G4": "constant in every training section"}


def test_co_expression_tells_a_gene_without_partner_from_one_that_never_varies(make_section):
    rising = np.arange(1, 9)
    counts = np.stack([rising, 2 * rising, 90 - 10 * rising, np.zeros(8)], axis=1)
    left_out = coexpressed_pairs([make_section(counts)], ["G0", "G1", "G2", "G3"]).left_out
    assert left_out == {"G2": "correlates with no other panel gene", "G3": "constant in every training section"}


@pytest.mark.parametrize("n_partners", [1, 3, 19, 50])
def test_co_expression_pairs_are_the_first_of_a_stable_sort(programs, monkeypatch, n_partners):
    monkeypatch.setattr(co_expression, "ROWS_AT_A_TIME", 7)
    counts = programs[0].X.toarray()
    counts[:, 12] = counts[:, 11] = counts[:, 3]  # ties
    section = programs[0].copy()
    section.X = sp.csr_matrix(counts)
    expression = normalise(panel_counts(section, SYMBOLS), "spot_log10").astype(np.float64)
    correlation = np.round(np.corrcoef(expression.T), 12)  # genes alike correlate alike
    np.fill_diagonal(correlation, -np.inf)
    wanted = [
        (gene, partner)
        for gene in range(20)
        for partner in np.argsort(-correlation[gene], kind="stable")[: min(n_partners, 19)]
        if correlation[gene, partner] > 0
    ]
    pairs = coexpressed_pairs([section], SYMBOLS, n_partners=n_partners).pairs
    assert len(pairs) == len(wanted)
    strength = [round(float(correlation[gene, partner]), 9) for gene, partner in pairs]
    assert strength == [round(float(correlation[gene, partner]), 9) for gene, partner in wanted]
    assert [gene for gene, _ in pairs] == [gene for gene, _ in wanted]


@pytest.mark.parametrize("form", ["pearson", "depth", "pmi"])
def test_co_expression_of_a_section_in_parts_is_that_of_the_whole(programs, monkeypatch, form):
    for section in programs:
        section.X = sp.csr_matrix(np.maximum(section.X.toarray() - 20, 0))  # some are zeros
    whole = coexpressed_pairs(programs, SYMBOLS, n_partners=4, form=form)
    monkeypatch.setattr(co_expression, "_ENTRIES", 7 * len(SYMBOLS))
    in_parts = coexpressed_pairs(programs, SYMBOLS, n_partners=4, form=form)
    same = sum((Counter(map(tuple, in_parts.pairs.tolist())) & Counter(map(tuple, whole.pairs.tolist()))).values())
    assert len(in_parts.pairs) == len(whole.pairs)
    assert same >= len(whole.pairs) - (4 if form == "pmi" else 0)  # of shares some tie, which rounding breaks


def test_co_expression_source_names_the_training_sections(programs):
    assert "sections A2, B1 " in train_coexpression(programs, SYMBOLS, dim=8, seed=0).source


def test_co_expression_refuses_sections_where_nothing_varies(make_section):
    with pytest.raises(DataError, match="no two of the panel's 20 genes vary together"):
        train_coexpression([make_section(np.ones((5, 20)))], SYMBOLS, seed=0)


def test_co_expression_refuses_no_section():
    with pytest.raises(DataError, match="at least one training section"):
        train_coexpression([], SYMBOLS, seed=0)


def test_co_expression_covers_every_gene_of_the_real_panel(real_data):
    sections = read_sections(SectionsSettings(root=real_data / "her2st" / "data", sections=("C2", "C3", "C5")))
    symbols = read_symbols(real_data / "genes" / "her_hvg_cut_1000.txt")
    assert train_coexpression(sections, symbols, dim=50, seed=0).symbols == tuple(symbols)
