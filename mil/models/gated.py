"""The gated attention of several folds' tiles, with its gradients written out; see layers.py."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hage_transfer.mil.models import layers
from hage_transfer.mil.models.layers import Block


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
    found: Tensor = _GatedScores.apply(*layers.in_precision(rows, tanh, tanh_bias, gate, gate_bias, score), kept)
    return found


def hidden_and_scores(
    layer: tuple[Float[Tensor, "fold tile width"], Float[Tensor, "fold hidden width"], Float[Tensor, "fold hidden"]],
    tanh: tuple[Float[Tensor, "fold out hidden"], Float[Tensor, "fold out"]],
    gate: tuple[Float[Tensor, "fold out hidden"], Float[Tensor, "fold out"]],
    score: Float[Tensor, "fold branch out"],
    kept: Float[Tensor, "tile hidden"] | None,
    kept_both: Float[Tensor, "tile out"] | None,
) -> tuple[Float[Tensor, "fold tile hidden"], Float[Tensor, "fold tile branch"]]:
    """``hidden``, and ``gated_scores`` of it."""
    found: tuple[Tensor, Tensor] = _HiddenAndScores.apply(
        *layers.in_precision(*layer, *tanh, *gate, score), kept, kept_both
    )
    return found


class _Gated:
    """The gated attention of some rows, block by block: activations, scores, then gradients.

    V and U are multiplied as one: half as many products, of twice the width.
    """

    def __init__(self, rows: Tensor, weight: Tensor, score: Tensor, kept: Tensor | None) -> None:
        self.rows, self.weight, self.score, self.kept = rows, weight, score, kept

    def forward(self, bias: Tensor) -> "_Gated":
        """Makes room for what ``scores`` finds."""
        self.bias, self.both = bias, layers.empty(self.rows, self.weight)
        self.found = layers.empty(self.rows, self.score)
        return self

    def add_scores(self, block: Block) -> None:
        """Of a block."""
        folds = block[0]
        left, right = layers.product(self.rows[block], self.weight[folds], self.bias[folds], self.both[block]).chunk(
            2, 2
        )
        both = layers.kept_(_tanh_(left) * right.sigmoid_(), self.kept, block)
        torch.bmm(both, self.score[folds].transpose(1, 2), out=self.found[block])

    def backward(self, both: Tensor) -> "_Gated":
        """Makes room for gradients."""
        self.both, self.of_both, self.of_score = both, layers.Gradients(self.weight), torch.zeros_like(self.score)
        return self

    def add_gradients(self, block: Block, slope: Tensor) -> Tensor:
        """Of a block's slope of the scores; the slope of what V and U put out."""
        left, right = self.both[block].chunk(2, 2)
        found = torch.empty_like(self.both[block])
        of_left, of_right = found.chunk(2, 2)
        of_product = layers.kept_(torch.bmm(slope, self.score[block[0]]), self.kept, block)
        product = layers.kept_(left * right, self.kept, block)
        self.of_score[block[0]].baddbmm_(slope.transpose(1, 2), product)
        layers.ATEN.tanh_backward.grad_input(of_product * right, left, grad_input=of_left)
        layers.ATEN.sigmoid_backward.grad_input(of_product.mul_(left), right, grad_input=of_right)
        self.of_both.add(block, found, self.rows)
        return found

    @property
    def gradients(self) -> tuple[Tensor, ...]:
        """Of V and its bias, U and its bias, and the scores' weights."""
        (tanh, gate), (tanh_bias, gate_bias) = (part.chunk(2, 1) for part in self.of_both.both)
        return tanh, tanh_bias, gate, gate_bias, self.of_score


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
        weight = torch.cat((tanh, gate), dim=1)
        gated = _Gated(rows, weight, score, kept).forward(torch.cat((tanh_bias, gate_bias), dim=1))
        for block in layers.blocks(rows):
            gated.add_scores(block)
        ctx.save_for_backward(rows, weight, score, kept, gated.both)
        return gated.found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, score, kept, both = ctx.saved_tensors
        gated = _Gated(rows, weight, score, kept).backward(both)
        of_rows = torch.empty_like(rows) if ctx.needs_input_grad[0] else None
        for block in layers.blocks(rows):
            slope = gated.add_gradients(block, slopes[0][block])
            if of_rows is not None:
                torch.bmm(slope, weight[block[0]], out=of_rows[block])
        return of_rows, *gated.gradients, None


class _HiddenAndScores(torch.autograd.Function):
    """Both layers a block at a time: the slopes of what lies between them are never all there."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor,
        bias: Tensor,
        tanh: Tensor,
        tanh_bias: Tensor,
        gate: Tensor,
        gate_bias: Tensor,
        score: Tensor,
        kept: Tensor | None,
        kept_both: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        found, attention = layers.empty(rows, weight), torch.cat((tanh, gate), dim=1)
        gated = _Gated(found, attention, score, kept_both).forward(torch.cat((tanh_bias, gate_bias), dim=1))
        for block in layers.blocks(rows):
            layers.hidden_block(rows, weight, bias, kept, block, out=found)
            gated.add_scores(block)
        ctx.save_for_backward(rows, weight, kept, found, attention, score, kept_both, gated.both)
        return found, gated.found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, kept, found, attention, score, kept_both, both = ctx.saved_tensors
        gated, layer = _Gated(found, attention, score, kept_both).backward(both), layers.Gradients(weight)
        of_rows = torch.empty_like(rows) if ctx.needs_input_grad[0] else None
        for block in layers.blocks(rows):
            slope = gated.add_gradients(block, slopes[1][block])
            slope = torch.baddbmm(slopes[0][block], slope, attention[block[0]])
            slope = layers.hidden_slope(slope, found, kept, block)
            layer.add(block, slope, rows)
            if of_rows is not None:
                torch.bmm(slope, weight[block[0]], out=of_rows[block])
        return of_rows, *layer.both, *gated.gradients, None, None


def _tanh_(values: Tensor) -> Tensor:
    """In place; by 2 sigmoid(2 x) - 1 where that is exact enough: torch's own takes three times as long on a CPU."""
    if values.dtype != torch.float32 or values.device.type != "cpu":
        return values.tanh_()
    return values.mul_(2).sigmoid_().mul_(2).sub_(1)
