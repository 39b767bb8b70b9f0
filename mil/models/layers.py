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

ATEN = torch.ops.aten
Block = tuple[slice, slice]
"""Which folds, and which of their rows."""
_ROWS = 1024
"""Of a block: as few as products are still as fast as of more, and the sum of their gradients costs little."""


def linear(
    rows: Float[Tensor, "fold tile width"], weight: Float[Tensor, "fold out width"], bias: Float[Tensor, "fold out"]
) -> Float[Tensor, "fold tile out"]:
    """W x + b."""
    found: Tensor = _Linear.apply(*in_precision(rows, weight, bias))
    return found


def for_unscaled(
    weight: Float[Tensor, "fold out width"],
    bias: Float[Tensor, "fold out"],
    mean: Float[Tensor, "fold width"],
    std: Float[Tensor, "fold width"],
) -> tuple[Float[Tensor, "fold out width"], Float[Tensor, "fold out"]]:
    """Weight and bias that make of x what the given ones make of (x - mean) / std."""
    found: tuple[Tensor, Tensor] = _ForUnscaled.apply(weight, bias, mean, std)
    return found


def hidden(
    rows: Float[Tensor, "fold tile width"],
    weight: Float[Tensor, "fold out width"],
    bias: Float[Tensor, "fold out"],
    kept: Float[Tensor, "tile out"] | None,
) -> Float[Tensor, "fold tile out"]:
    """ReLU(W x + b), times what dropout keeps."""
    found: Tensor = _Hidden.apply(*in_precision(rows, weight, bias), kept)
    return found


def in_precision(*parts: Tensor) -> tuple[Tensor, ...]:
    """As autocast would have them multiplied."""
    device = parts[0].device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return parts
    return tuple(part.to(torch.get_autocast_dtype(device)) for part in parts)


def blocks(rows: Tensor) -> Iterator[Block]:
    """Which folds and which of their rows are multiplied together; of each fold the first rows come first."""
    if rows.device.type != "cpu" or rows.dtype != torch.float32:
        yield slice(None), slice(0, None)
        return
    for start in range(0, rows.shape[1], _ROWS):
        for fold in range(len(rows)):
            yield slice(fold, fold + 1), slice(start, start + _ROWS)


def empty(rows: Tensor, weight: Tensor) -> Tensor:
    """Room for what a layer makes of rows."""
    return rows.new_empty(len(rows), rows.shape[1], weight.shape[1])


def product(rows: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> Tensor:
    """W x + b, into ``out``."""
    return torch.bmm(rows, weight.transpose(1, 2), out=out).add_(bias.unsqueeze(1))  # baddbmm would copy the bias first


def kept_(values: Tensor, kept: Tensor | None, block: Block) -> Tensor:
    """A block's values times what dropout keeps, in place."""
    return values if kept is None else values.mul_(kept[block[1]])


class Gradients:
    """The gradients of a layer's weights, which blocks add to."""

    def __init__(self, weight: Tensor) -> None:
        self.of_weight, self.of_bias = torch.empty_like(weight), weight.new_empty(weight.shape[:2])

    @property
    def both(self) -> tuple[Tensor, Tensor]:
        """Of the weight and of the bias."""
        return self.of_weight, self.of_bias

    def add(self, block: Block, slope: Tensor, rows: Tensor) -> None:
        """Of a block's slope of what the layer puts out."""
        folds, part = block
        if part.start:
            self.of_bias[folds].add_(slope.sum(dim=1))
            self.of_weight[folds].baddbmm_(slope.transpose(1, 2), rows[block])
        else:
            torch.sum(slope, dim=1, out=self.of_bias[folds])
            torch.bmm(slope.transpose(1, 2), rows[block], out=self.of_weight[folds])


class _ForUnscaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(mean, std)
        weight = weight / std.unsqueeze(1)
        return weight, bias - torch.bmm(weight, mean.unsqueeze(2)).squeeze(2)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        mean, std = ctx.saved_tensors
        of_weight = slopes[0] / std.unsqueeze(1)
        return of_weight.baddbmm_(slopes[1].unsqueeze(2), (mean / std).unsqueeze(1), alpha=-1), slopes[1], None, None


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight)
        found = empty(rows, weight)
        for block in blocks(rows):
            product(rows[block], weight[block[0]], bias[block[0]], found[block])
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        layer, of_rows = Gradients(weight), torch.empty_like(rows) if ctx.needs_input_grad[0] else None
        for block in blocks(rows):
            layer.add(block, slopes[0][block], rows)
            if of_rows is not None:
                torch.bmm(slopes[0][block], weight[block[0]], out=of_rows[block])
        return of_rows, layer.of_weight, layer.of_bias


class _Hidden(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, kept: Tensor | None) -> Tensor:
        found = empty(rows, weight)
        for block in blocks(rows):
            hidden_block(rows, weight, bias, kept, block, out=found)
        ctx.save_for_backward(rows, weight, found, kept)
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, found, kept = ctx.saved_tensors
        layer, of_rows = Gradients(weight), torch.empty_like(rows) if ctx.needs_input_grad[0] else None
        for block in blocks(rows):
            slope = hidden_slope(slopes[0][block], found, kept, block)
            layer.add(block, slope, rows)
            if of_rows is not None:
                torch.bmm(slope, weight[block[0]], out=of_rows[block])
        return of_rows, layer.of_weight, layer.of_bias, None


def hidden_block(rows: Tensor, weight: Tensor, bias: Tensor, kept: Tensor | None, block: Block, *, out: Tensor) -> None:
    """``hidden`` of a block, into its place in ``out``."""
    kept_(product(rows[block], weight[block[0]], bias[block[0]], out[block]).relu_(), kept, block)


def hidden_slope(slope: Tensor, found: Tensor, kept: Tensor | None, block: Block) -> Tensor:
    """From a block's slope of what ``hidden`` found to that of its product."""
    return kept_(ATEN.threshold_backward(slope, found[block], 0), kept, block)  # 0 too where nothing is kept
