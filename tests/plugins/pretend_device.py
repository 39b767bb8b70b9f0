"""A device that is not there: it computes on the CPU, and is as strict as an accelerator.

PyTorch's ``meta`` device has no values, needs no context, and its backward passes run in the caller's thread. Inside
``PretendDevice`` a tensor on ``meta`` holds its values: what is moved or made there is wrapped, an operator is
done on the CPU's values and its result wrapped again, a CPU tensor beside a wrapped one is an error where CUDA makes it
one, and values that pass to the host are counted. So stages run whole, control flow and backward included, and what
they compute can be compared with the CPU's numbers.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Self

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_map_only

DEVICE = "meta"
_aten = torch.ops.aten
_INDEXED_BY_THE_HOST = {
    _aten.index.Tensor,
    _aten.index_put_.default,
    _aten.index_put.default,
    _aten._index_put_impl_.default,
}
_SET_DATA = torch.Tensor.data.__set__  # type: ignore[attr-defined]
_TO_THE_HOST = {
    _aten._local_scalar_dense.default,
    _aten._unique2.default,
    _aten.equal.default,
    _aten.is_nonzero.default,
    _aten.masked_select.default,
    _aten.nonzero.default,
    _aten.repeat_interleave.Tensor,
    _aten.unique_consecutive.default,
    _aten.unique_dim.default,
}
"""Their result is a number of the host, or has a size that the host must know."""


class MixedDevicesError(RuntimeError):
    """An operator met tensors of the host and of the device."""


class OnDevice(torch.Tensor):
    """Values that lie on the device."""

    values: torch.Tensor

    @staticmethod
    def __new__(cls, values: torch.Tensor) -> "OnDevice":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=DEVICE,
            requires_grad=False,
        )
        made.values = values
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {}, told=_ignore)

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnDevice({self.values!r})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec)


class PretendDevice:
    """The device, while the context lasts.

    Attributes:
        waits: the operators that brought values to the host, in order.
        arrivals: tensors of the host that were copied there, each with whether the host goes on meanwhile.
    """

    def __init__(self) -> None:
        self.waits: list[str] = []
        self.arrivals: list[tuple[torch.Tensor, bool]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(_Dispatch(self.waits.append, lambda *one: self.arrivals.append(one)))
        self._stack.enter_context(_Functions())
        return self

    def __exit__(self, *fault: object) -> None:
        self._stack.close()


class _Dispatch(TorchDispatchMode):
    def __init__(self, told: Callable[[str], None], arrives: Callable[[torch.Tensor, bool], None]) -> None:
        super().__init__()
        self._told, self._arrives = told, arrives

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.is_inference_mode_enabled() or func.overloadpacket is _aten.to:  # made of others, and come whole
            with self:
                made = func.decompose(*args, **(kwargs or {}))
            if made is not NotImplemented:
                return made
        goes_there = torch.device((kwargs or {}).get("device") or "cpu").type == DEVICE
        if func is _aten._to_copy.default and goes_there and not isinstance(args[0], OnDevice):
            self._arrives(args[0], bool((kwargs or {}).get("non_blocking")))
        return _run(func, args, kwargs or {}, told=self._told)


class _Functions(TorchFunctionMode):
    """What never asks the dispatcher for its values: lists made into tensors there."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and str(given.get("device", "")).startswith(DEVICE):
            del given["device"]
            made = func(*args, **given)
            return made if isinstance(made, OnDevice) else made.to(DEVICE)
        if func is torch.Tensor.tolist and isinstance(args[0], OnDevice):
            return args[0].cpu().tolist()
        if func == _SET_DATA and isinstance(args[0], OnDevice):
            args[0].values = args[1].values
            return None
        return func(*args, **given)


def _run(func: Any, args: Any, kwargs: dict[str, Any], *, told: Callable[[str], None]) -> Any:
    device = kwargs.get("device")
    leaves = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, torch.Tensor)]
    there = any(isinstance(leaf, OnDevice) for leaf in leaves)
    goes_there = device is not None and torch.device(device).type == DEVICE
    if not there and not goes_there:
        return func(*args, **kwargs)
    comes_back = func is _aten._to_copy.default and device is not None and not goes_there
    if func is not _aten._to_copy.default and func is not _aten.copy_.default:
        _refuse_mixed(func, args, leaves)
    if (
        comes_back
        or func in _TO_THE_HOST
        or (func is _aten.copy_.default and not isinstance(args[0], OnDevice))
        or (func in _INDEXED_BY_THE_HOST and any(_is_mask(index) for index in args[1]))
    ):
        told(str(func))
    if goes_there:
        kwargs = {**kwargs, "device": "cpu"}
        if "pin_memory" in kwargs:
            kwargs["pin_memory"] = False
    plain_args, plain = tree_map_only(OnDevice, lambda leaf: leaf.values, (args, kwargs))
    result = func(*plain_args, **plain)
    if comes_back:
        return result
    if func is _aten.copy_.default and not isinstance(args[0], OnDevice):
        return args[0]
    return _wrapped(func, args, result)


def _wrapped(func: Any, args: Any, result: Any) -> Any:
    """The result on the device; where an operator works in place, the tensor it was given."""
    given = {id(leaf.values): leaf for leaf in tree_flatten(args)[0] if isinstance(leaf, OnDevice)}

    def wrap(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor) or isinstance(leaf, OnDevice):
            return leaf
        return given[id(leaf)] if id(leaf) in given else OnDevice(leaf)

    return tree_map(wrap, result)


def _refuse_mixed(func: Any, args: Any, leaves: list[torch.Tensor]) -> None:
    if func in _INDEXED_BY_THE_HOST and isinstance(args[0], OnDevice):  # CUDA takes indices of the host
        leaves = [args[0], *([args[2]] if len(args) > 2 else [])]
    host = [leaf for leaf in leaves if not isinstance(leaf, OnDevice) and leaf.dim() > 0]
    if host and any(isinstance(leaf, OnDevice) for leaf in leaves):
        raise MixedDevicesError(f"{func}: a tensor of the host, {tuple(host[0].shape)}, beside tensors of the device")


def _is_mask(index: torch.Tensor | None) -> bool:
    """Whether it is one of the device, which is made a list of places of a size that the host must know."""
    return isinstance(index, OnDevice) and index.dtype in (torch.bool, torch.uint8)


def _ignore(_: str) -> None:
    return None
