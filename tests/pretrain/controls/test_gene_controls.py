import numpy as np
import pytest
import torch

from hage_transfer.models.expression import GeneConditionedPredictor
from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.pretrain.controls.gene_controls import controlled, derangement


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(1, 2, size=(30, 8)).astype(np.float32)


@pytest.fixture
def encoder(vectors) -> GeneInformedEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GeneInformedEncoder(torch.from_numpy(vectors), feature_dim=5, embed_dim=16, n_heads=4).eval()


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(9, 5, generator=torch.Generator().manual_seed(1))


def outputs_under(encoder: GeneInformedEncoder, table: np.ndarray, features: torch.Tensor) -> torch.Tensor:
    encoder.gene_embeddings = torch.from_numpy(table)
    with torch.no_grad():
        return encoder(features)


def test_random_keeps_the_norm_of_every_row_and_no_direction(vectors):
    drawn = controlled(vectors, "random", seed=3)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), np.linalg.norm(vectors, axis=1), rtol=1e-5)
    norms = np.linalg.norm(drawn, axis=1) * np.linalg.norm(vectors, axis=1)
    assert abs(((drawn * vectors).sum(1) / norms).mean()) < 0.2


def test_mean_gives_every_gene_the_one_mean(vectors):
    mean = controlled(vectors, "mean", seed=3)
    assert (mean == mean[0]).all()
    np.testing.assert_allclose(mean[0], vectors.mean(0), rtol=1e-6)


def test_permuted_holds_the_same_rows_with_none_in_its_place(vectors):
    permuted = controlled(vectors, "permuted", seed=3)
    assert sorted(map(tuple, permuted.tolist())) == sorted(map(tuple, vectors.tolist()))
    assert not (permuted == vectors).all(axis=1).any()


@pytest.mark.parametrize("n", range(2, 12))
def test_a_derangement_leaves_no_row_in_its_place(n):
    for seed in range(20):
        order = derangement(n, np.random.default_rng(seed))
        assert sorted(order) == list(range(n))
        assert (order != np.arange(n)).all()


def test_none_changes_nothing_and_an_unknown_control_is_refused(vectors):
    assert controlled(vectors, "none", seed=3) is vectors
    with pytest.raises(ValueError, match="unknown control"):
        controlled(vectors, "shuffled", seed=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["random", "permuted"])
def test_a_seed_decides_the_draw(vectors, kind):
    np.testing.assert_array_equal(controlled(vectors, kind, seed=3), controlled(vectors, kind, seed=3))
    assert (controlled(vectors, kind, seed=3) != controlled(vectors, kind, seed=4)).any()


def test_the_gene_informed_encoder_does_not_see_permuted_genes(encoder, vectors, features):
    """By construction: attention sums over a set, so this control cannot speak."""
    before = outputs_under(encoder, vectors, features)
    after = outputs_under(encoder, controlled(vectors, "permuted", seed=3), features)
    assert (after - before).abs().max() < 1e-6


@pytest.mark.parametrize("kind", ["random", "mean"])
def test_the_gene_informed_encoder_sees_random_and_mean_genes(encoder, vectors, features, kind):
    before = outputs_under(encoder, vectors, features)
    after = outputs_under(encoder, controlled(vectors, kind, seed=3), features)
    assert (after - before).abs().max() > 1e-3


def test_a_gene_conditioned_predictor_sees_permuted_genes(vectors):
    predictor = GeneConditionedPredictor(torch.from_numpy(vectors), embed_dim=16)
    embeddings = torch.randn(9, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = predictor(embeddings)
        predictor.gene_vectors = torch.from_numpy(controlled(vectors, "permuted", seed=3))
        assert (predictor(embeddings) - before).abs().amax(0).min() > 1e-3
