"""Linear layers of several folds on the tiles of one bag."""

import pytest
import torch
from torch.nn import functional

from hage_transfer.mil.models.gated import gated_scores
from hage_transfer.mil.models.layers import hidden, linear
from hage_transfer.mil.models.tiles import SharedTiles


@pytest.mark.parametrize("n_tiles", [1, 3, 7, 20])
def test_shared_tiles_give_each_fold_its_layer_on_its_scaled_tiles(n_tiles):
    torch.manual_seed(0)
    rows, mean = torch.randn(n_tiles, 4), torch.randn(3, 4)
    std = torch.rand(3, 4) + 0.5
    std[1, 2] = torch.inf  # a constant feature
    weight, bias = torch.randn(3, 7, 4, requires_grad=True), torch.randn(3, 7, requires_grad=True)
    scaled = (rows - mean[:, None]) / std[:, None]
    wanted = torch.einsum("fti,foi->fto", scaled, weight) + bias[:, None]
    found = SharedTiles(rows, mean, std).linear(weight, bias)
    torch.testing.assert_close(found, wanted)
    slopes = torch.randn_like(wanted)
    gradients = torch.autograd.grad((wanted * slopes).sum(), (weight, bias))
    torch.testing.assert_close(torch.autograd.grad((found * slopes).sum(), (weight, bias)), gradients)


def test_tiles_without_scaling_are_those_of_mean_0_and_std_1():
    torch.manual_seed(0)
    rows, mean, std = torch.randn(9, 4), torch.zeros(3, 4), torch.ones(3, 4)
    still, scaled = SharedTiles(rows, mean, std, is_scaled=False), SharedTiles(rows, mean, std)
    weight, bias, attention = torch.randn(3, 7, 4), torch.randn(3, 7), torch.rand(3, 2, 9)
    places = torch.tensor([[0, 8], [3, 3], [5, 1]])
    for found, wanted in (
        (still.linear(weight, bias), scaled.linear(weight, bias)),
        (still.pool(attention), scaled.pool(attention)),
        (still.at(places), scaled.at(places)),
        (still.each(), scaled.each()),
    ):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("is_kept", [True, False])
@pytest.mark.parametrize("layer", [linear, hidden, gated_scores])
def test_a_layer_of_each_fold_has_the_right_values_and_gradients_in_the_order_of_its_weights(layer, is_kept):
    torch.manual_seed(0)
    rows, left, right = (torch.randn(2, *shape, 4, dtype=torch.double) for shape in ([5], [3], [3]))
    biases = torch.randn(2, 2, 3, dtype=torch.double)
    kept = torch.tensor([0.0, 2.0]).double().repeat(8)[:15].view(5, 3) if is_kept else None
    score = torch.randn(2, 2, 3, dtype=torch.double)
    inputs = [value.requires_grad_() for value in (rows, left, biases[0], right, biases[1], score)]
    inputs = inputs if layer is gated_scores else inputs[:3]
    of = (lambda *given: layer(*given)) if layer is linear else lambda *given: layer(*given, kept)
    first = functional.linear(rows[1], left[1], biases[0, 1])
    gate = functional.linear(rows[1], right[1], biases[1, 1]).sigmoid()
    wanted = {linear: first, hidden: first.relu(), gated_scores: first.tanh() * gate}[layer]
    wanted = wanted if kept is None or layer is linear else wanted * kept
    wanted = functional.linear(wanted, score[1]) if layer is gated_scores else wanted
    torch.testing.assert_close(of(*inputs)[1], wanted)
    assert torch.autograd.gradcheck(of, inputs)
    found = torch.autograd.grad(of(*inputs).sum(), inputs[1:])
    assert all(of_fold.is_contiguous() for one in found for of_fold in one)
