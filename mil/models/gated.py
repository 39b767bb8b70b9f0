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
    """The gated attention of some rows, block by block: activations, scores, then gradients."""

    def __init__(self, rows: Tensor, tanh: Tensor, gate: Tensor, score: Tensor, kept: Tensor | None) -> None:
        self.rows, self.tanh, self.gate, self.score, self.kept = rows, tanh, gate, score, kept

    def forward(self, biases: tuple[Tensor, Tensor]) -> "_Gated":
        """Makes room for what ``scores`` finds."""
        self.biases = biases
        self.left, self.right = layers.empty(self.rows, self.tanh), layers.empty(self.rows, self.gate)
        self.found = layers.empty(self.rows, self.score)
        return self

    def add_scores(self, block: Block) -> None:
        """Of a block."""
        rows, folds = self.rows[block], block[0]
        of_left = _tanh_(layers.product(rows, self.tanh[folds], self.biases[0][folds], self.left[block]))
        of_right = layers.product(rows, self.gate[folds], self.biases[1][folds], self.right[block]).sigmoid_()
        both = layers.kept_(of_left * of_right, self.kept, block)
        torch.bmm(both, self.score[folds].transpose(1, 2), out=self.found[block])

    def backward(self, left: Tensor, right: Tensor) -> "_Gated":
        """Makes room for gradients."""
        self.left, self.right = left, right
        self.of_tanh, self.of_gate = layers.Gradients(self.tanh), layers.Gradients(self.gate)
        self.of_score = torch.zeros_like(self.score)
        return self

    def add_gradients(self, block: Block, slope: Tensor) -> tuple[Tensor, Tensor]:
        """Of a block's slope of the scores; the slopes of what V and U put out."""
        of_left, of_right = self.left[block], self.right[block]
        of_both = layers.kept_(torch.bmm(slope, self.score[block[0]]), self.kept, block)
        by_right, both = of_both * of_right, layers.kept_(of_left * of_right, self.kept, block)
        self.of_score[block[0]].baddbmm_(slope.transpose(1, 2), both)
        left_slope = layers.ATEN.tanh_backward(by_right, of_left)
        right_slope = layers.ATEN.sigmoid_backward(of_both.mul_(of_left), of_right)
        self.of_tanh.add(block, left_slope, self.rows)
        self.of_gate.add(block, right_slope, self.rows)
        return left_slope, right_slope

    @property
    def gradients(self) -> tuple[Tensor, ...]:
        """Of V and its bias, U and its bias, and the scores' weights."""
        return *self.of_tanh.both, *self.of_gate.both, self.of_score


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
        gated = _Gated(rows, tanh, gate, score, kept).forward((tanh_bias, gate_bias))
        for block in layers.blocks(rows):
            gated.add_scores(block)
        ctx.save_for_backward(rows, tanh, gate, score, kept, gated.left, gated.right)
        return gated.found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        rows, tanh, gate, score, kept, left, right = ctx.saved_tensors
        gated = _Gated(rows, tanh, gate, score, kept).backward(left, right)
        of_rows = torch.empty_like(rows) if ctx.needs_input_grad[0] else None
        for block in layers.blocks(rows):
            left_slope, right_slope = gated.add_gradients(block, slopes[0][block])
            if of_rows is not None:
                torch.bmm(left_slope, tanh[block[0]], out=of_rows[block]).baddbmm_(right_slope, gate[block[0]])
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
        found = layers.empty(rows, weight)
        gated = _Gated(found, tanh, gate, score, kept_both).forward((tanh_bias, gate_bias))
        for block in layers.blocks(rows):
            layers.hidden_block(rows, weight, bias, kept, block, out=found)
            gated.add_scores(block)
        ctx.save_for_backward(rows, weight, kept, found, tanh, gate, score, kept_both, gated.left, gated.right)
        return found, gated.found

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, kept, found, tanh, gate, score, kept_both, left, right = ctx.saved_tensors
        gated, layer = _Gated(found, tanh, gate, score, kept_both).backward(left, right), layers.Gradients(weight)
        of_rows = torch.empty_like(rows) if ctx.needs_input_grad[0] else None
        for block in layers.blocks(rows):
            left_slope, right_slope = gated.add_gradients(block, slopes[1][block])
            slope = torch.baddbmm(slopes[0][block], left_slope, tanh[block[0]]).baddbmm_(right_slope, gate[block[0]])
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
