import numpy as np
import torch

from hage_transfer.pretrain.methods.retrieval import match, mean_expression

LIBRARY = torch.tensor([[1.0, 0.0], [2.0, 1.0], [0.0, 3.0], [-1.0, 0.0]])
QUERY = torch.tensor([[1.0, 1.0]])


def test_weighted_matches_reproduce_a_hand_computation():
    """Cosines 0.71, 0.95, 0.71, -0.71; L1 distances of the first three 1, 1, 3: weights 1, 1, 1/9 over 19/9."""
    matches = match(QUERY, LIBRARY, k=3, weighted=True)
    weights = dict(zip(matches.rows[0].tolist(), matches.weights[0].tolist(), strict=True))
    np.testing.assert_allclose([weights[0], weights[1], weights[2]], [9 / 19, 9 / 19, 1 / 19])
    expression = np.array([[19.0], [38.0], [57.0], [1e6]], dtype=np.float32)
    np.testing.assert_allclose(mean_expression(matches, expression), [[30.0]])


def test_equal_matches_are_the_mean_of_the_nearest_by_cosine():
    matches = match(5 * QUERY, LIBRARY, k=1, weighted=False)
    assert matches.rows.tolist() == [[1]]
    assert matches.weights.tolist() == [[1.0]]


def test_weights_sum_to_one_across_chunks_and_where_a_query_is_in_the_library():
    generator = torch.Generator().manual_seed(0)
    library = torch.randn(300, 8, generator=generator)
    queries = torch.cat([library[:7], torch.randn(200, 8, generator=generator)])
    for weighted in (True, False):
        matches = match(queries, library, k=20, weighted=weighted)
        np.testing.assert_allclose(matches.weights.sum(1), 1)
        assert matches.rows[:7, 0].tolist() == list(range(7))


def test_a_training_spot_does_not_answer_itself():
    own = torch.tensor([0, -1, 2, 3])
    matches = match(LIBRARY, LIBRARY, k=4, weighted=True, own=own)
    assert matches.rows.shape == (4, 3)
    assert all(row not in matches.rows[row] for row in (0, 2, 3))


def test_k_is_at_most_the_library():
    assert match(QUERY, LIBRARY, k=50, weighted=False).rows.shape == (1, 4)


def test_mean_expression_equals_the_dense_sum():
    rng = np.random.default_rng(0)
    expression = rng.normal(size=(40, 6)).astype(np.float32)
    matches = match(torch.randn(9, 5), torch.randn(40, 5), k=11, weighted=True)
    dense = np.einsum("qk,qkg->qg", matches.weights, expression[matches.rows])
    np.testing.assert_allclose(mean_expression(matches, expression), dense, rtol=1e-5, atol=1e-6)
