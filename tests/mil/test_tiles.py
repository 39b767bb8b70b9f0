"""Linear layers of several folds on the tiles of one bag."""

import pytest
import torch

from hage_transfer.mil.models.tiles import OwnTiles, SharedTiles


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


def test_the_layer_of_each_fold_has_the_right_gradients_in_the_order_of_its_weights():
    torch.manual_seed(0)
    rows, weight = torch.randn(2, 5, 4, dtype=torch.double), torch.randn(2, 3, 4, dtype=torch.double)
    inputs = [value.requires_grad_() for value in (rows, weight, torch.randn(2, 3, dtype=torch.double))]
    assert torch.autograd.gradcheck(lambda rows, weight, bias: OwnTiles(rows).linear(weight, bias), inputs)
    (gradient,) = torch.autograd.grad(OwnTiles(rows).linear(*inputs[1:]).sum(), [weight])
    assert gradient.is_contiguous()
