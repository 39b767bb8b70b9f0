"""The embedded encoder by ONNX Runtime: the same weights and outputs, fewer passes over memory. Extra ``onnx``, CPU."""

import importlib.util
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import nn

from hage_transfer.encoders import embedded
from hage_transfer.encoders.base import Pending
from hage_transfer.encoders.preprocess import preprocess
from hage_transfer.encoders.weights import WeightsFile
from hage_transfer.errors import ConfigError, install_extra

PIECE = 4
"""Images a call, one core each; measured: 7.8 ms an image of a core's time, where torch takes 12.5."""

_OPSET, _IR_VERSION = 17, 9
_STAGES = (1, 2, 4)
"""Blocks whose outputs are timm's stage outputs 1, 2 and 3."""


class OnnxEmbedded:
    """A ``FrozenEncoder`` (see there) whose network is run by ONNX Runtime, one thread a call."""

    name, width, licence, precision = embedded.NAME, embedded.WIDTH, embedded.LICENCE, "float32"
    input_px = embedded.PREPROCESSING.input_px
    images_per_call: int | None = PIECE

    def __init__(self, module: nn.Module, *, sha256: str) -> None:
        """Takes the network of ``embedded.network``; the extra is installed."""
        self.sha256 = sha256
        self._session = _session(_graph(module))

    def __call__(self, images: UInt8[np.ndarray, "batch height width 3"]) -> Float32[np.ndarray, "batch feature"]:
        """Features of RGB images."""
        with self.lanes() as lanes:
            pieces = [images[k : k + PIECE] for k in range(0, len(images), PIECE)]
            return np.concatenate([pending() for pending in lanes.map(self.begin, pieces)])

    def lanes(self) -> AbstractContextManager[Executor]:
        """See ``FrozenEncoder.lanes``: a thread for every core that torch may use."""
        return _lanes(torch.get_num_threads())

    def begin(self, images: UInt8[np.ndarray, "batch height width 3"]) -> Pending:
        """See ``FrozenEncoder.begin``."""
        with torch.inference_mode():
            pixels = preprocess(torch.as_tensor(images), embedded.PREPROCESSING).contiguous()
        rows: np.ndarray = self._session.run(None, {"pixels": pixels.numpy()})[0]
        return lambda: rows


def is_installed() -> bool:
    """Whether the extra is there."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def load(weights: WeightsFile, *, device: str, precision: str) -> OnnxEmbedded:
    """The embedded encoder by ONNX Runtime.

    Raises:
        ConfigError: another device or precision, or the extra is not installed.
    """
    if device != "cpu" or precision != "float32":
        raise ConfigError(
            f"encoder.runtime onnx: on the CPU in float32 alone, and this is {device}, {precision}; set it to torch"
        )
    if not is_installed():
        raise ConfigError(
            f"encoder.runtime onnx: ONNX Runtime is not installed; {install_extra('onnx')}, or set it to torch"
        )
    return OnnxEmbedded(embedded.network(weights), sha256=weights.sha256)


@contextmanager
def _lanes(workers: int) -> Iterator[Executor]:
    with ThreadPoolExecutor(workers, thread_name_prefix="encode") as pool:
        yield pool


def _session(graph: bytes) -> Any:
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _graph(module: nn.Module) -> bytes:
    """The network up to stage output 3, with the statistics of ``embedded.stage_statistics``, as an ONNX model."""
    onnx = importlib.import_module("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    build = _Builder()
    value = build.conv("pixels", module.conv_stem, clip=True)
    outputs = []
    for number, stage in enumerate(list(module.blocks)[: _STAGES[-1] + 1]):  # type: ignore[arg-type]
        for block in stage:
            value = build.block(value, block)
        if number in _STAGES:
            outputs += build.statistics(value)
    build.add("Concat", outputs, "features", axis=1)
    side = embedded.PREPROCESSING.input_px
    graph = helper.make_graph(
        build.nodes,
        "embedded",
        [helper.make_tensor_value_info("pixels", kind, ["batch", 3, side, side])],
        [helper.make_tensor_value_info("features", kind, ["batch", embedded.WIDTH])],
        build.tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    onnx.checker.check_model(model)
    serialised: bytes = model.SerializeToString()
    return serialised


class _Builder:
    """Nodes and tensors of a graph, as they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self._zero, self._six = self.tensor(np.float32(0)), self.tensor(np.float32(6))

    def add(self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        """Adds a node and returns the name of its output."""
        name = output or f"value{len(self.nodes)}"
        self.nodes.append(importlib.import_module("onnx.helper").make_node(kind, inputs, [name], **attributes))
        return name

    def tensor(self, values: np.ndarray | np.float32) -> str:
        """Adds a constant."""
        name = f"tensor{len(self.tensors)}"
        self.tensors.append(importlib.import_module("onnx.numpy_helper").from_array(np.asarray(values), name))
        return name

    def conv(self, value: str, conv: Any, *, clip: bool) -> str:
        """A convolution with a bias, padded as TensorFlow does where it has a stride, and ReLU6 behind it."""
        weights = [self.tensor(part.detach().cpu().numpy()) for part in (conv.weight, conv.bias)]
        value = self.add(
            "Conv",
            [value, *weights],
            auto_pad="SAME_UPPER",
            strides=list(conv.stride),
            group=conv.groups,
            kernel_shape=list(conv.kernel_size),
        )
        return self.add("Clip", [value, self._zero, self._six]) if clip else value

    def block(self, value: str, block: Any) -> str:
        """A block of EfficientNet-Lite, its batch normalisations folded."""
        if hasattr(block, "conv_pwl"):
            inner = self.conv(value, block.conv_pw, clip=True)
            inner = self.conv(self.conv(inner, block.conv_dw, clip=True), block.conv_pwl, clip=False)
        else:
            inner = self.conv(self.conv(value, block.conv_dw, clip=True), block.conv_pw, clip=False)
        return self.add("Add", [inner, value]) if block.has_skip else inner

    def statistics(self, value: str) -> list[str]:
        """Mean and standard deviation (ddof 1) over space."""
        mean = self.add("ReduceMean", [value], axes=[2, 3], keepdims=1)
        apart = self.add("Sub", [value, mean])
        squares = self.add("ReduceSumSquare", [apart], axes=[2, 3], keepdims=0)
        shape = self.add("Shape", [value], start=2, end=4)
        size = self.add("Cast", [self.add("ReduceProd", [shape], keepdims=0)], to=1)
        less = self.add("Sub", [size, self.tensor(np.float32(1))])
        std = self.add("Sqrt", [self.add("Div", [squares, less])])
        return [self.add("Flatten", [mean], axis=1), std]
