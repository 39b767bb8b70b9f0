"""The judges of gene vectors tell vectors that know something from those that do not."""

import numpy as np
import pytest

from hage_transfer.compare.gene_vectors import neighbours, pair_test, predict_held_out


@pytest.fixture(scope="module")
def programmes():
    """60 genes of six programmes, vectors near their programme's, and 300 pairs with 1 where both are of one."""
    rng = np.random.default_rng(0)
    of = np.arange(60) % 6
    vectors = np.eye(6)[of] + 0.3 * rng.standard_normal((60, 6))
    pairs = np.array([rng.choice(60, 2, replace=False) for _ in range(300)])
    return of, vectors, pairs, (of[pairs[:, 0]] == of[pairs[:, 1]]).astype(int)


def test_pair_test_is_high_for_vectors_that_know_and_at_chance_for_others(programmes):
    _, vectors, pairs, shares = programmes
    known = pair_test(vectors, pairs, shares)
    assert known.low > 0.8
    assert known.low < known.auc < known.high
    assert known.auc > known.permuted_high
    assert (known.n_pairs, known.n_genes) == (300, 60)
    chance = pair_test(np.random.default_rng(1).standard_normal(vectors.shape), pairs, shares)
    assert chance.low < 0.5 < chance.high


def test_pair_test_is_that_of_the_rank_statistic(programmes):
    _, vectors, pairs, shares = programmes
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    score = (unit[pairs[:, 0]] * unit[pairs[:, 1]]).sum(1)
    above = score[shares == 1][:, None] > score[shares == 0][None]
    assert pair_test(vectors, pairs, shares).auc == pytest.approx(above.mean())


def test_neighbours_are_of_the_genes_programme(programmes):
    of, vectors, *_ = programmes
    found = neighbours([str(gene) for gene in range(60)], vectors, "7", n=5)
    assert sum(of[int(gene)] == of[7] for gene, _ in found) >= 4
    assert "7" not in dict(found)
    assert [cosine for _, cosine in found] == sorted((cosine for _, cosine in found), reverse=True)


def test_held_out_genes_are_predicted_by_their_own_vectors_alone(programmes):
    of, vectors, *_ = programmes
    rng = np.random.default_rng(2)
    expression = {
        name: rng.standard_normal((80, 6))[:, of] + rng.standard_normal((80, 60)) + rng.standard_normal((80, 1))
        for name in ("A1", "B1")
    }
    scores = predict_held_out(expression, vectors)
    assert scores["own"] > scores["panel_mean"] + 0.1
    assert abs(scores["permuted"] - scores["panel_mean"]) < 0.05
    assert abs(scores["random"] - scores["panel_mean"]) < 0.05
