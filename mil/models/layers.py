"""Layers of several folds on tiles, with their gradients written out.

autograd's own gradients of the weights lie transposed, which took a fifth of a step on 170 tiles to put in order; and
it keeps, writes and reads an array for each of product, activation and dropout, which took a quarter of one on 3,000.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

_ATEN = torch.ops.aten


def linear(
    rows: Float[Tensor, "fold tile width"], weight: Float[Tensor, "fold out width"], bias: Float[Tensor, "fold out"]
) -> Float[Tensor, "fold tile out"]:
    """W x + b."""
    found: Tensor = _Linear.apply(rows, weight, bias)
    return found


def hidden(
    rows: Float[Tensor, "fold tile width"],
    weight: Float[Tensor, "fold out width"],
    bias: Float[Tensor, "fold out"],
    kept: Float[Tensor, "tile out"] | None,
) -> Float[Tensor, "fold tile out"]:
    """ReLU(W x + b), times what dropout keeps."""
    found: Tensor = _Hidden.apply(rows, weight, bias, kept)
    return found


def gated(
    rows: Float[Tensor, "fold tile width"],
    tanh: Float[Tensor, "fold out width"],
    tanh_bias: Float[Tensor, "fold out"],
    gate: Float[Tensor, "fold out width"],
    gate_bias: Float[Tensor, "fold out"],
    kept: Float[Tensor, "tile out"] | None,
) -> Float[Tensor, "fold tile out"]:
    """tanh(V x + b) * sigmoid(U x + c), times what dropout keeps."""
    found: Tensor = _Gated.apply(rows, tanh, tanh_bias, gate, gate_bias, kept)
    return found


def _product(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    found = torch.bmm(rows, weight.transpose(1, 2))
    return found.add_(bias.unsqueeze(1))  # baddbmm would copy the bias to every row first


def _gradients(slope: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Of weights, in the order of these, and of biases."""
    return torch.bmm(slope.transpose(1, 2), rows), slope.sum(dim=1)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return _product(rows, weight, bias)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        (slope,), (rows, weight) = slopes, ctx.saved_tensors
        return torch.bmm(slope, weight) if ctx.needs_input_grad[0] else None, *_gradients(slope, rows)


class _Hidden(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, kept: Tensor | None) -> Tensor:
        found = _product(rows, weight, bias).relu_()
        found = found if kept is None else found.mul_(kept)
        ctx.save_for_backward(rows, weight, found, kept)
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, found, kept = ctx.saved_tensors
        slope = _ATEN.threshold_backward(slopes[0], found, 0)  # 0 too where nothing is kept
        slope = slope if kept is None else slope.mul_(kept)
        return torch.bmm(slope, weight) if ctx.needs_input_grad[0] else None, *_gradients(slope, rows), None


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, tanh: Tensor, tanh_bias: Tensor, gate: Tensor, gate_bias: Tensor, kept: Tensor | None
    ) -> Tensor:
        left, right = _product(rows, tanh, tanh_bias).tanh_(), _product(rows, gate, gate_bias).sigmoid_()
        ctx.save_for_backward(rows, tanh, gate, left, right, kept)
        return left * right if kept is None else (left * right).mul_(kept)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        rows, tanh, gate, left, right, kept = ctx.saved_tensors
        slope = slopes[0] if kept is None else slopes[0] * kept
        of_left, of_right = _ATEN.tanh_backward(slope * right, left), _ATEN.sigmoid_backward(slope * left, right)
        of_rows = None
        if ctx.needs_input_grad[0]:
            of_rows = torch.bmm(of_left, tanh)
            of_rows.baddbmm_(of_right.to(of_rows.dtype), gate.to(of_rows.dtype))
        return of_rows, *_gradients(of_left, rows), *_gradients(of_right, rows), None
