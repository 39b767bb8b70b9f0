"""Layers of several folds on tiles, with their gradients written out.

autograd's own gradients of the weights lie transposed, which took a fifth of a step on 170 tiles to put in order; it
keeps, writes and reads an array for each of product, activation and dropout, which took a quarter of one on 3,000; and
what it does to a product's result it does after the whole product. Here a CPU makes float32 products of one fold and
some rows at a time, and all that follows finds its result in the cache.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

_ATEN = torch.ops.aten
_ROWS = 1024
"""Of a block: as few as products are still as fast as of more, and the sum of their gradients costs little."""


def linear(
    rows: Float[Tensor, "fold tile width"], weight: Float[Tensor, "fold out width"], bias: Float[Tensor, "fold out"]
) -> Float[Tensor, "fold tile out"]:
    """W x + b."""
    found: Tensor = _Linear.apply(*_in_precision(rows, weight, bias))
    return found


def hidden(
    rows: Float[Tensor, "fold tile width"],
    weight: Float[Tensor, "fold out width"],
    bias: Float[Tensor, "fold out"],
    kept: Float[Tensor, "tile out"] | None,
) -> Float[Tensor, "fold tile out"]:
    """ReLU(W x + b), times what dropout keeps."""
    found: Tensor = _Hidden.apply(*_in_precision(rows, weight, bias), kept)
    return found


def gated_scores(
    rows: Float[Tensor, "fold tile width"],
    tanh: Float[Tensor, "fold out width"],
    tanh_bias: Float[Tensor, "fold out"],
    gate: Float[Tensor, "fold out width"],
    gate_bias: Float[Tensor, "fold out"],
    score: Float[Tensor, "fold branch out"],
    kept: Float[Tensor, "tile out"] | None,
) -> Float[Tensor, "fold tile branch"]:
    """W (tanh(V x + b) * sigmoid(U x + c)), the factors in brackets times what dropout keeps."""
    found: Tensor = _GatedScores.apply(*_in_precision(rows, tanh, tanh_bias, gate, gate_bias, score), kept)
    return found


def _in_precision(*parts: Tensor) -> tuple[Tensor, ...]:
    """As autocast would have them multiplied."""
    device = parts[0].device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return parts
    return tuple(part.to(torch.get_autocast_dtype(device)) for part in parts)


def _blocks(rows: Tensor) -> Iterator[tuple[slice, slice]]:
    """Which folds and which of their rows are multiplied together; of each fold the first rows come first."""
    if rows.device.type != "cpu" or rows.dtype != torch.float32:
        yield slice(None), slice(0, None)
        return
    for start in range(0, rows.shape[1], _ROWS):
        for fold in range(len(rows)):
            yield slice(fold, fold + 1), slice(start, start + _ROWS)


def _empty(rows: Tensor, weight: Tensor) -> Tensor:
    return rows.new_empty(len(rows), rows.shape[1], weight.shape[1])


def _product(rows: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> Tensor:
    return torch.bmm(rows, weight.transpose(1, 2), out=out).add_(bias.unsqueeze(1))  # baddbmm would copy the bias first


def _kept_(values: Tensor, kept: Tensor | None, block: tuple[slice, slice]) -> Tensor:
    return values if kept is None else values.mul_(kept[block[1]])


class _Gradients:
    """The gradients of a layer's weights, which blocks add to."""

    def __init__(self, weight: Tensor) -> None:
        self.of_weight, self.of_bias = torch.empty_like(weight), weight.new_empty(weight.shape[:2])

    def add(self, block: tuple[slice, slice], slope: Tensor, rows: Tensor) -> None:
        """Of a block's slope of what the layer puts out."""
        folds, part = block
        if part.start:
            self.of_bias[folds].add_(slope.sum(dim=1))
            self.of_weight[folds].baddbmm_(slope.transpose(1, 2), rows[block])
        else:
            torch.sum(slope, dim=1, out=self.of_bias[folds])
            torch.bmm(slope.transpose(1, 2), rows[block], out=self.of_weight[folds])


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight)
        found = _empty(rows, weight)
        for block in _blocks(rows):
            _product(rows[block], weight[block[0]], bias[block[0]], found[block])
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        layer, of_rows = _Gradients(weight), torch.empty_like(rows) if ctx.needs_input_grad[0] else None
        for block in _blocks(rows):
            layer.add(block, slopes[0][block], rows)
            if of_rows is not None:
                torch.bmm(slopes[0][block], weight[block[0]], out=of_rows[block])
        return of_rows, layer.of_weight, layer.of_bias


class _Hidden(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, kept: Tensor | None) -> Tensor:
        found = _empty(rows, weight)
        for block in _blocks(rows):
            _kept_(_product(rows[block], weight[block[0]], bias[block[0]], found[block]).relu_(), kept, block)
        ctx.save_for_backward(rows, weight, found, kept)
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, found, kept = ctx.saved_tensors
        layer, of_rows = _Gradients(weight), torch.empty_like(rows) if ctx.needs_input_grad[0] else None
        for block in _blocks(rows):
            slope = _ATEN.threshold_backward(slopes[0][block], found[block], 0)  # 0 too where nothing is kept
            slope = _kept_(slope, kept, block)
            layer.add(block, slope, rows)
            if of_rows is not None:
                torch.bmm(slope, weight[block[0]], out=of_rows[block])
        return of_rows, layer.of_weight, layer.of_bias, None


class _GatedScores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        tanh: Tensor,
        tanh_bias: Tensor,
        gate: Tensor,
        gate_bias: Tensor,
        score: Tensor,
        kept: Tensor | None,
    ) -> Tensor:
        left, right, found = _empty(rows, tanh), _empty(rows, tanh), _empty(rows, score)
        for block in _blocks(rows):
            of_left = _tanh_(_product(rows[block], tanh[block[0]], tanh_bias[block[0]], left[block]))
            of_right = _product(rows[block], gate[block[0]], gate_bias[block[0]], right[block]).sigmoid_()
            both = _kept_(of_left * of_right, kept, block)
            torch.bmm(both, score[block[0]].transpose(1, 2), out=found[block])
        ctx.save_for_backward(rows, tanh, gate, score, left, right, kept)
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        rows, tanh, gate, score, left, right, kept = ctx.saved_tensors
        of_tanh, of_gate, of_score = _Gradients(tanh), _Gradients(gate), torch.zeros_like(score)
        of_rows = torch.empty_like(rows) if ctx.needs_input_grad[0] else None
        for block in _blocks(rows):
            of_left, of_right = left[block], right[block]
            slope = _kept_(torch.bmm(slopes[0][block], score[block[0]]), kept, block)
            by_right, both = slope * of_right, _kept_(of_left * of_right, kept, block)
            of_score[block[0]].baddbmm_(slopes[0][block].transpose(1, 2), both)
            left_slope = _ATEN.tanh_backward(by_right, of_left)
            right_slope = _ATEN.sigmoid_backward(slope.mul_(of_left), of_right)
            of_tanh.add(block, left_slope, rows)
            of_gate.add(block, right_slope, rows)
            if of_rows is not None:
                torch.bmm(left_slope, tanh[block[0]], out=of_rows[block]).baddbmm_(right_slope, gate[block[0]])
        return of_rows, of_tanh.of_weight, of_tanh.of_bias, of_gate.of_weight, of_gate.of_bias, of_score, None


def _tanh_(values: Tensor) -> Tensor:
    """In place; by 2 sigmoid(2 x) - 1 where that is exact enough: torch's own takes three times as long on a CPU."""
    if values.dtype != torch.float32 or values.device.type != "cpu":
        return values.tanh_()
    return values.mul_(2).sigmoid_().mul_(2).sub_(1)
