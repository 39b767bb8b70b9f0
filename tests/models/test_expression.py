import pytest
import torch

from hage_transfer.models.expression import GeneConditionedPredictor, build_predictor

EMBED, GENES, WIDTH = 16, 7, 5


@pytest.fixture
def vectors() -> torch.Tensor:
    return torch.randn(GENES, WIDTH, generator=torch.Generator().manual_seed(1)) * 3 + 2


@pytest.fixture
def predictor(vectors) -> GeneConditionedPredictor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GeneConditionedPredictor(vectors, embed_dim=EMBED)


@pytest.fixture
def embeddings() -> torch.Tensor:
    return torch.randn(4, EMBED, generator=torch.Generator().manual_seed(2))


def test_gene_conditioned_equals_its_formula_gene_by_gene(predictor, vectors, embeddings):
    centred = vectors - vectors.mean(0)
    g = centred / centred.square().mean().sqrt()
    h = predictor.hidden(embeddings)
    W, c = predictor.project_genes, predictor.gene_bias
    expected = torch.stack(
        [
            torch.stack(
                [h[i] @ (W.weight @ g[j] + W.bias) / EMBED**0.5 + c.weight[0] @ g[j] + c.bias[0] for j in range(7)]
            )
            for i in range(4)
        ]
    )
    torch.testing.assert_close(predictor(embeddings), expected)


def test_for_genes_on_the_panel_is_forward(predictor, vectors, embeddings):
    torch.testing.assert_close(predictor.for_genes(embeddings, vectors), predictor(embeddings), rtol=0, atol=0)


def test_other_genes_do_not_depend_on_one_another(predictor, embeddings):
    other = torch.randn(3, WIDTH)
    together = predictor.for_genes(embeddings, other)
    assert together.shape == (4, 3)
    torch.testing.assert_close(predictor.for_genes(embeddings, other[1:2]), together[:, 1:2])


def test_permuting_genes_permutes_predictions(predictor, vectors, embeddings):
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    before = predictor(embeddings)
    predictor.gene_vectors = vectors[order]
    torch.testing.assert_close(predictor(embeddings), before[:, order])
    assert not torch.allclose(predictor(embeddings), before, atol=1e-3)


def test_shift_and_scale_of_the_embedding_table_change_nothing(predictor, vectors, embeddings):
    moved = GeneConditionedPredictor(vectors * 40 - 3, embed_dim=EMBED)
    own = {"gene_vectors", "gene_mean", "gene_scale"}
    moved.load_state_dict({k: v for k, v in predictor.state_dict().items() if k not in own}, strict=False)
    torch.testing.assert_close(moved(embeddings), predictor(embeddings), rtol=1e-4, atol=1e-5)


def test_one_mean_embedding_gives_every_gene_the_same_finite_prediction(vectors, embeddings):
    predicted = GeneConditionedPredictor(vectors.mean(0).repeat(GENES, 1), embed_dim=EMBED)(embeddings)
    assert torch.isfinite(predicted).all()
    torch.testing.assert_close(predicted, predicted[:, :1].expand(-1, GENES))


def test_state_dict_carries_the_panel_and_its_scale(predictor, embeddings):
    other = GeneConditionedPredictor(torch.randn(GENES, WIDTH), embed_dim=EMBED)
    other.load_state_dict(predictor.state_dict())
    torch.testing.assert_close(other(embeddings), predictor(embeddings))


def test_every_part_is_trained(predictor, embeddings):
    predictor(embeddings).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in predictor.parameters())


def test_the_builder_gives_both_kinds_of_the_panels_width(vectors, embeddings):
    mlp = build_predictor("mlp", embed_dim=EMBED, n_genes=GENES)
    conditioned = build_predictor("gene_conditioned", embed_dim=EMBED, n_genes=GENES, gene_vectors=vectors)
    assert mlp(embeddings).shape == conditioned(embeddings).shape == (4, GENES)
    assert isinstance(conditioned, GeneConditionedPredictor)
    assert not isinstance(mlp, GeneConditionedPredictor)


@pytest.mark.parametrize("n_genes", [6, 8])
def test_the_builder_refuses_a_table_of_other_genes(vectors, n_genes):
    with pytest.raises(ValueError, match=f"{n_genes} genes, met 7"):
        build_predictor("gene_conditioned", embed_dim=EMBED, n_genes=n_genes, gene_vectors=vectors)


def test_the_builder_refuses_a_missing_table_and_an_unknown_kind():
    with pytest.raises(ValueError, match="met none"):
        build_predictor("gene_conditioned", embed_dim=EMBED, n_genes=3)
    with pytest.raises(ValueError, match="unknown predictor 'tree'"):
        build_predictor("tree", embed_dim=EMBED, n_genes=3)  # type: ignore[arg-type]
