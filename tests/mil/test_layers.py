"""Layers with written-out gradients are the plain layers, whichever rows are multiplied together."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from hage_transfer.mil.models import gated, layers

FOLDS, WIDTH, OUT = 2, 6, 5
FOUND: dict[str, Callable[..., Tensor]] = {
    "linear": layers.linear,
    "hidden": layers.hidden,
    "gated_scores": gated.gated_scores,
    "hidden_and_scores": lambda x, w, b, v, c, u, d, s, kept, both: torch.cat(
        gated.hidden_and_scores((x, w, b), (v, c), (u, d), s, kept, both), dim=2
    ),
}
PLAIN: dict[str, Callable[..., Tensor]] = {
    "linear": lambda x, w, b: product(x, w, b),
    "hidden": lambda x, w, b, kept: functional.relu(product(x, w, b)) * kept,
    "gated_scores": lambda x, v, b, u, c, w, kept: torch.einsum(
        "fto,fbo->ftb", product(x, v, b).tanh() * product(x, u, c).sigmoid() * kept, w
    ),
    "hidden_and_scores": lambda x, w, b, v, c, u, d, s, kept, both: torch.cat(
        [h := PLAIN["hidden"](x, w, b, kept), PLAIN["gated_scores"](h, v, c, u, d, s, both)], dim=2
    ),
}
N_LAYERS = {"linear": 1, "hidden": 1, "gated_scores": 2, "hidden_and_scores": 3}


def product(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.einsum("ftw,fow->fto", rows, weight) + bias.unsqueeze(1)


def inputs_of(name: str, n_rows: int, dtype: torch.dtype) -> list[Tensor]:
    draws = torch.Generator().manual_seed(3)
    rows = torch.randn(FOLDS, n_rows, WIDTH, generator=draws, dtype=torch.float64)
    found = [rows]
    for layer in range(N_LAYERS[name]):
        width = OUT if name == "hidden_and_scores" and layer else WIDTH
        found.append(torch.randn(FOLDS, OUT, width, generator=draws, dtype=torch.float64))
        found.append(torch.randn(FOLDS, OUT, generator=draws, dtype=torch.float64))
    if "scores" in name:
        found.append(torch.randn(FOLDS, 3, OUT, generator=draws, dtype=torch.float64))
    found = [one.to(dtype).requires_grad_() for one in found]
    for _ in range({"linear": 0, "hidden_and_scores": 2}.get(name, 1)):
        kept = (torch.rand(n_rows, OUT, generator=draws) < 0.75).to(dtype) / 0.75
        found.append(kept)
    return found


def gradients(function: Callable[..., Tensor], inputs: list[Tensor]) -> tuple[Tensor, ...]:
    value = function(*inputs)
    slope = torch.randn(value.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64).to(value)
    return value, *torch.autograd.grad(value, [one for one in inputs if one.requires_grad], slope)


@pytest.mark.parametrize("name", PLAIN)
def test_values_and_gradients_are_the_plain_layers_of_float64(name: str) -> None:
    inputs = inputs_of(name, 40, torch.float64)
    for found, plain in zip(gradients(FOUND[name], inputs), gradients(PLAIN[name], inputs), strict=True):
        torch.testing.assert_close(found, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("n_rows", [1, 16, 17, 40])
def test_blocks_of_rows_are_as_one(name: str, n_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, in_blocks = inputs_of(name, n_rows, torch.float32), []
    made = layers.blocks
    monkeypatch.setattr(layers, "_ROWS", 16)
    monkeypatch.setattr(layers, "blocks", lambda rows: in_blocks.extend(made(rows)) or made(rows))
    found = gradients(FOUND[name], inputs)
    assert len(in_blocks) == 2 * FOLDS * -(-n_rows // 16)  # forward and backward
    for one, plain in zip(found, gradients(PLAIN[name], inputs), strict=True):
        torch.testing.assert_close(one, plain, rtol=1e-5, atol=1e-5)


class CountProducts(TorchDispatchMode):
    n = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.n += "bmm" in str(function)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_not_wanted_is_not_computed(name: str) -> None:
    rows, *others = inputs_of(name, 20, torch.float32)
    n_products = []
    for features in (rows.detach(), rows):
        value = FOUND[name](features, *others)
        with CountProducts() as counted:
            value.sum().backward()
        n_products.append(counted.n)
    assert n_products[1] - n_products[0] == FOLDS  # of the first layer
    assert rows.grad is not None
    assert others[0].grad is not None
