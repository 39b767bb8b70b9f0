"""AB-MIL against the paper's formulas, and its invariances."""

import numpy as np
import pytest
import torch

from hage_transfer.errors import DataError
from hage_transfer.mil.models import ABMIL


def model(seed=0, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ABMIL(6, hidden_dim=options.pop("hidden_dim", 5), attention_dim=4, **options).eval()


def bag(n_bags=2, n_tiles=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_bags, n_tiles, 6, generator=generator), torch.ones(n_bags, n_tiles, dtype=torch.bool)


@pytest.mark.parametrize("gated", [True, False])
def test_abmil_equals_the_papers_formula(gated):
    network = model(gated=gated)
    tiles, mask = bag(n_bags=1)
    output = network(tiles, mask)
    state = {name: tensor.numpy().astype(np.float64) for name, tensor in network.state_dict().items()}
    x = tiles[0].numpy().astype(np.float64)
    h = np.maximum(x @ state["embed.weight"].T + state["embed.bias"], 0)
    inner = np.tanh(h @ state["tanh.weight"].T + state["tanh.bias"])
    if gated:
        inner *= 1 / (1 + np.exp(-(h @ state["gate.weight"].T + state["gate.bias"])))
    score = inner @ state["score.weight"][0]
    attention = np.exp(score) / np.exp(score).sum()
    logits = attention @ h @ state["classifier.weight"].T + state["classifier.bias"]
    np.testing.assert_allclose(output.attention[0].detach().numpy(), attention, rtol=1e-5)
    np.testing.assert_allclose(output.logits[0].detach().numpy(), logits, rtol=1e-4, atol=1e-6)


def test_abmil_without_a_hidden_layer_pools_the_features_themselves():
    tiles, mask = bag()
    network = model(hidden_dim=0)
    output = network(tiles, mask)
    pooled = torch.einsum("bt,btf->bf", output.attention, tiles)
    torch.testing.assert_close(output.logits, network.classifier(pooled))


@pytest.mark.parametrize("gated", [True, False])
def test_abmil_ignores_the_order_of_tiles(gated):
    tiles, mask = bag()
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    network = model(gated=gated)
    plain, permuted = network(tiles, mask), network(tiles[:, order], mask)
    torch.testing.assert_close(plain.logits, permuted.logits)
    torch.testing.assert_close(plain.attention[:, order], permuted.attention)


def test_abmil_ignores_padding_whatever_it_holds():
    tiles, mask = bag()
    network = model()
    plain = network(tiles, mask)
    padded = network(torch.cat([tiles, torch.full((2, 3, 6), 1e3)], 1), torch.cat([mask, torch.zeros(2, 3).bool()], 1))
    torch.testing.assert_close(plain.logits, padded.logits)
    assert (padded.attention[:, 7:] == 0).all()


def test_abmil_attention_sums_to_one_over_kept_tiles():
    tiles, mask = bag()
    mask[0, 2:] = False
    attention = model()(tiles, mask).attention
    torch.testing.assert_close(attention.sum(dim=1), torch.ones(2))
    assert (attention[~mask] == 0).all()


def test_abmil_refuses_a_bag_without_a_tile():
    tiles, mask = bag()
    mask[1] = False
    with pytest.raises(DataError, match="bag 1 of the batch has no tile"):
        model()(tiles, mask)


def test_abmil_has_gradients_that_are_finite_beside_padding():
    tiles, mask = bag()
    mask[0, 1:] = False
    network = model()
    network(tiles, mask).logits.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())
