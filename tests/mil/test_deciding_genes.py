"""Effect sizes of deciding tiles: against formulas written out, and where they must be large, nothing or undefined."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hage_transfer.errors import DataError
from hage_transfer.mil import deciding_genes
from hage_transfer.mil.deciding_genes import deciding_tiles, directions, gene_effects, order_by_effect


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def attention_of(scores):
    return np.exp(scores) / np.exp(scores).sum()


def test_effects_are_those_of_their_formulas(rng):
    values = np.round(rng.normal(size=(5, 60)), 1)  # rounded, so that tiles tie
    attention = attention_of(rng.normal(size=60))
    deciding = deciding_tiles(attention, share=0.2)
    effects = gene_effects(values, attention, deciding)
    inside, outside = values[:, deciding], values[:, ~deciding]
    assert deciding.sum() == 12
    for gene in range(5):
        auc = roc_auc_score(deciding, values[gene])
        pooled = np.sqrt((11 * inside[gene].var(ddof=1) + 47 * outside[gene].var(ddof=1)) / 58)
        d = (inside[gene].mean() - outside[gene].mean()) / pooled
        assert effects.rank_biserial[gene] == pytest.approx(2 * auc - 1)
        assert effects.hedges_g[gene] == pytest.approx(d * (1 - 3 / (4 * 58 - 1)))
        assert effects.weighted_shift[gene] == pytest.approx((attention * values[gene]).sum() - values[gene].mean())
    np.testing.assert_allclose(effects.difference, inside.mean(1) - outside.mean(1))


def test_effects_do_not_depend_on_how_many_genes_are_read_at_a_time(rng, monkeypatch):
    values, attention = rng.normal(size=(9, 40)), attention_of(rng.normal(size=40))
    deciding = deciding_tiles(attention, share=0.1)
    whole = gene_effects(values, attention, deciding)
    monkeypatch.setattr(deciding_genes, "_VALUES_AT_A_TIME", 80)
    np.testing.assert_allclose(gene_effects(values, attention, deciding).hedges_g, whole.hedges_g)


def test_a_planted_gene_ranks_first_and_the_others_have_no_effect(rng):
    n_tiles = 4000
    attention = attention_of(2 * rng.normal(size=n_tiles))
    deciding = deciding_tiles(attention, share=0.1)
    values = rng.normal(size=(50, n_tiles)).astype(np.float32)
    values[17] += 1.5 * deciding
    effects = gene_effects(values, attention, deciding)
    assert order_by_effect(effects)[0] == 17
    assert effects.rank_biserial[17] > 0.6
    assert effects.hedges_g[17] == pytest.approx(1.5, abs=0.15)
    others = np.delete(np.arange(50), 17)
    assert np.abs(effects.rank_biserial[others]).max() < 0.13  # 4 standard errors of 400 against 3,600 tiles
    assert np.abs(effects.hedges_g[others]).max() < 0.22


def test_order_takes_the_larger_g_where_ranks_cannot_tell_genes_apart():
    attention = np.array([0.5, 0.3, 0.1, 0.05, 0.05])
    values = np.array([[9.0, 8, 1, 2, 3], [90, 89, 1, 2, 3], [3, 1, 2, 5, 4]])
    effects = gene_effects(values, attention, deciding_tiles(attention, share=0.4))
    assert effects.rank_biserial[:2].tolist() == [1.0, 1.0]
    assert order_by_effect(effects).tolist() == [1, 0, 2]


def test_a_gene_that_varies_by_rounding_alone_has_no_effect(rng):
    values = np.full((1, 100), 0.3) * (1 + 1e-8 * rng.normal(size=100))
    attention = attention_of((values[0] - 0.3) * 1e8)  # attention follows the rounding noise
    effects = gene_effects(values, attention, deciding_tiles(attention, share=0.1))
    assert effects.rank_biserial[0] == 0
    assert np.isnan(effects.hedges_g[0])


def test_no_tile_decides_where_attention_is_even():
    assert not deciding_tiles(np.full(50, 1 / 50), share=0.1).any()


def test_one_tile_decides_where_attention_is_on_one():
    assert deciding_tiles(np.eye(50)[7], share=0.1).nonzero()[0].tolist() == [7]


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 10])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(DataError, match="between 0 and 1"):
        deciding_tiles(np.array([0.4, 0.6]), share=share)


def test_effects_need_tiles_on_both_sides():
    with pytest.raises(DataError, match="0 of 3 tiles decided"):
        gene_effects(np.ones((1, 3)), np.full(3, 1 / 3), np.zeros(3, dtype=bool))


def test_directions_count_what_varies_and_not_the_genes(rng):
    programs = rng.normal(size=(3, 3000))
    genes = np.repeat(programs, 20, axis=0)
    assert directions(genes) == pytest.approx(3, rel=0.02)
    assert directions(np.concatenate([genes, np.ones((5, 3000))])) == pytest.approx(3, rel=0.02)  # constant: no count
    assert directions(rng.normal(size=(20, 3000))) == pytest.approx(20, rel=0.05)
    assert np.isnan(directions(np.ones((5, 100))))
