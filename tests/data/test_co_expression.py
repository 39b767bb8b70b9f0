import numpy as np
import pytest
import scipy.sparse as sp

from hage_transfer.config import SectionsSettings
from hage_transfer.data.gene_embeddings import train_coexpression
from hage_transfer.data.genes import read_symbols
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
    assert "without an embedding: G4" in caplog.text


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
