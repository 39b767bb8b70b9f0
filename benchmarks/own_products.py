"""The matrix products of a training step, recorded while it runs and made again with nothing around them.

What no implementation of the same mathematics can go below: pretrain_step.py and mil_step.py hold their steps to it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

ATEN = torch.ops.aten
Product = Callable[[], Tensor]


class RecordProducts(TorchDispatchMode):
    """Notes every matrix product that is made inside, as a call on fresh memory of the same shapes and strides."""

    def __init__(self) -> None:
        super().__init__()
        self.products: list[Product] = []
        self.multiplications = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operation as it is, after noting it."""
        if function is ATEN.mm.default:
            self._note(torch.mm, args)
        elif function is ATEN.addmm.default:
            self._note(torch.mm, args[1:3])
        elif function in (ATEN.bmm.default, ATEN.bmm.out, ATEN.baddbmm.default, ATEN.baddbmm_.default):
            self._note(torch.bmm, args[-2:])
        elif function is ATEN._scaled_dot_product_flash_attention_for_cpu.default:
            self._attention(*args[:3])
        elif function is ATEN._scaled_dot_product_flash_attention_for_cpu_backward.default:
            self._attention_backward(*args[1:4])
        return function(*args, **(kwargs or {}))

    def _note(self, product: Callable[[Tensor, Tensor], Tensor], factors: tuple[Tensor, Tensor]) -> None:
        left, right = (_alike(part) for part in factors)
        self.multiplications += left.numel() * right.shape[-1]
        self.products.append(lambda: product(left, right))

    def _attention(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        query, key, value = (part.flatten(0, 1).contiguous() for part in (query, key, value))
        weights = query.new_empty(*query.shape[:2], key.shape[1])
        self._note(torch.bmm, (query, key.transpose(1, 2)))
        self._note(torch.bmm, (weights, value))

    def _attention_backward(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        """Of the four factors' gradients; what the fused kernel computes twice to save memory is not counted."""
        query, key, value = (part.flatten(0, 1).contiguous() for part in (query, key, value))
        weights = query.new_empty(*query.shape[:2], key.shape[1])
        self._note(torch.bmm, (weights.transpose(1, 2), query))  # of the values
        self._note(torch.bmm, (query, value.transpose(1, 2)))  # of the weights
        self._note(torch.bmm, (weights, key))  # of the queries
        self._note(torch.bmm, (weights.transpose(1, 2), query))  # of the keys


def _alike(part: Tensor) -> Tensor:
    """Fresh memory, laid out as that of a tensor or of a part of one."""
    reach = 1 + sum((size - 1) * stride for size, stride in zip(part.shape, part.stride(), strict=True))
    return torch.randn(reach).as_strided(part.shape, part.stride())
