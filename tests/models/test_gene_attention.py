import numpy as np
import pytest
import torch

from hage_transfer.models.entmax import entmax15
from hage_transfer.models.gene_attention import GeneAttention


@pytest.fixture
def attention() -> GeneAttention:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GeneAttention(16, gene_dim=6, n_heads=4).double()


@pytest.fixture
def rows() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    patches = torch.randn(5, 16, generator=generator, dtype=torch.float64)
    return patches, torch.randn(7, 6, generator=generator, dtype=torch.float64)


def expanded(attention: GeneAttention, patches: torch.Tensor, genes: torch.Tensor) -> torch.Tensor:
    """The plain form: torch's own attention, patch by patch, over genes copied for every patch."""
    reference = torch.nn.MultiheadAttention(16, 4, batch_first=True).double()
    parts = attention.query, attention.key, attention.value
    reference.in_proj_weight.data = torch.cat([part.weight.data for part in parts])
    reference.in_proj_bias.data = torch.cat([part.bias.data for part in parts])
    reference.out_proj.load_state_dict(attention.output.state_dict())
    copied = attention.project_genes(genes)[None].expand(len(patches), -1, -1)
    return reference(patches[:, None], copied, copied, need_weights=False)[0][:, 0]


def test_gene_attention_equals_multihead_attention_over_expanded_genes(attention, rows):
    torch.testing.assert_close(attention(*rows), expanded(attention, *rows), rtol=1e-10, atol=1e-12)


def test_gene_attention_gradients_equal_those_of_the_expanded_form(attention, rows):
    patches, genes = (part.clone().requires_grad_() for part in rows)
    shared = torch.autograd.grad(attention(patches, genes).square().sum(), (patches, genes))
    plain = torch.autograd.grad(expanded(attention, patches, genes).square().sum(), (patches, genes))
    for one, other in zip(shared, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


def test_gene_attention_ignores_the_order_of_genes(attention, rows):
    patches, genes = rows
    torch.testing.assert_close(attention(patches, genes), attention(patches, genes.flip(0)))


def test_gene_attention_of_equal_genes_does_not_depend_on_the_patch(attention, rows):
    patches, genes = rows
    gathered = attention(patches, genes[:1].expand(7, -1))
    torch.testing.assert_close(gathered, gathered[:1].expand_as(gathered))


def test_weights_sum_to_one_over_genes(attention, rows):
    weights = attention.weights(*rows)
    assert weights.shape == (5, 4, 7)
    np.testing.assert_allclose(weights.detach().sum(-1), 1)


def test_weights_reproduce_the_output(attention, rows):
    patches, genes = rows
    values = attention.value(attention.project_genes(genes)).unflatten(1, (4, 4))
    gathered = torch.einsum("bhg,ghd->bhd", attention.weights(patches, genes), values).flatten(1)
    torch.testing.assert_close(attention.output(gathered), attention(patches, genes))


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="not a multiple"):
        GeneAttention(10, gene_dim=6, n_heads=4)


@pytest.fixture
def cosine():
    """Attention of wide heads over many genes, at the weights that it begins with."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        genes, patches = torch.randn(400, 20, dtype=torch.float64), torch.randn(12, 64, dtype=torch.float64)
        return GeneAttention(64, gene_dim=20, n_heads=2, kind="cosine").double(), patches, genes


def entropy(weights):
    return (torch.special.entr(weights).sum(-1).mean() / np.log(weights.shape[-1])).item()


def test_cosine_attention_is_uneven_from_the_start_where_the_scaled_is_even(cosine):
    attention, patches, genes = cosine
    scaled = GeneAttention(64, gene_dim=20, n_heads=2).double()
    scaled.load_state_dict({name: value for name, value in attention.state_dict().items() if name != "log_scale"})
    assert entropy(attention.weights(patches, genes)) < 0.9
    assert entropy(scaled.weights(patches, genes)) > 0.97


def test_cosine_attention_does_not_depend_on_the_scale_of_queries_and_learns_its_temperature(cosine):
    attention, patches, genes = cosine
    weights = attention.weights(patches, genes)
    with torch.no_grad():
        attention.query.weight.mul_(100)
        attention.query.bias.mul_(100)
    torch.testing.assert_close(attention.weights(patches, genes), weights)
    attention(patches, genes).sum().backward()
    assert attention.log_scale.grad.abs().min() > 0


def test_cosine_weights_reproduce_the_output(cosine):
    attention, patches, genes = cosine
    value = attention.value(attention.project_genes(genes)).unflatten(1, (2, -1))
    gathered = torch.einsum("bhg,ghd->bhd", attention.weights(patches, genes), value).flatten(1)
    torch.testing.assert_close(attention.output(gathered), attention(patches, genes))


def test_sparse_attention_gives_most_genes_nothing_and_its_weights_reproduce_the_output(cosine):
    soft, patches, genes = cosine
    attention = GeneAttention(64, gene_dim=20, n_heads=2, kind="sparse").double()
    attention.load_state_dict({**soft.state_dict(), "is_sparse": torch.ones(1, dtype=torch.bool)})
    with torch.no_grad():
        attention.log_scale.add_(1.5)
    weights = attention.weights(patches, genes)
    assert (weights == 0).double().mean() > 0.5
    np.testing.assert_allclose(weights.detach().sum(-1), 1)
    value = attention.value(attention.project_genes(genes)).unflatten(1, (2, -1))
    gathered = torch.einsum("bhg,ghd->bhd", weights, value).flatten(1)
    torch.testing.assert_close(attention.output(gathered), attention(patches, genes))
    attention(patches, genes).sum().backward()
    assert attention.log_scale.grad.isfinite().all()


def bisected(scores: np.ndarray) -> np.ndarray:
    """1.5-entmax of one row by its definition: the threshold at which the weights sum to 1."""
    low, high = scores.max() / 2 - 1, scores.max() / 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (np.maximum(scores / 2 - middle, 0) ** 2).sum() > 1 else (low, middle)
    return np.maximum(scores / 2 - low, 0) ** 2


@pytest.mark.parametrize("scale", [1e-3, 1.0, 5.0, 100.0])
def test_entmax_is_what_its_definition_says(scale):
    scores = scale * np.random.default_rng(0).normal(size=(6, 31))
    found = entmax15(torch.from_numpy(scores)).numpy()
    np.testing.assert_allclose(found, [bisected(row) for row in scores], atol=1e-9)


@pytest.mark.parametrize("scale", [0.1, 2.0, 8.0])
def test_entmax_s_gradient_is_that_of_small_differences(scale):
    scores = scale * torch.randn(4, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(entmax15, scores.requires_grad_())


def test_entmax_of_equal_scores_is_even_with_a_finite_gradient():
    scores = torch.zeros(2, 5, requires_grad=True)
    even = entmax15(scores)
    torch.testing.assert_close(even, torch.full((2, 5), 0.2))
    even.square().sum().backward()
    assert scores.grad.isfinite().all()
