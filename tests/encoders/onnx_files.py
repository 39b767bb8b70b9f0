"""ONNX files, written byte by byte: the tests need no package `onnx`."""

from pathlib import Path

import numpy as np

FLOAT, UINT8, FLOAT16 = 1, 2, 10
_NUMPY = {FLOAT: np.float32, FLOAT16: np.float16}


def write_linear(
    path: Path,
    weights: np.ndarray,
    *,
    batch: str | int = "batch",
    side: int | None = None,
    kind: int = FLOAT,
    opset: int = 17,
    channels_last: bool = False,
    mixes_batch: bool = False,
    two_outputs: bool = False,
    external: str | None = None,
) -> Path:
    """A network: the mean colour of an image times ``weights`` (3, width)."""
    space, shape = ([1, 2], [batch, side, side, 3]) if channels_last else ([2, 3], [batch, 3, side, side])
    nodes = [
        _node("ReduceMean", ["pixels"], "colour", axes=space, keepdims=[0]),
        _node("MatMul", ["colour", "w"], "row"),
    ]
    if mixes_batch:
        nodes += [
            _node("ReduceMean", ["row"], "mean", axes=[0], keepdims=[1]),
            _node("Sub", ["row", "mean"], "features"),
        ]
    else:
        nodes += [_node("Identity", ["row"], "features")]
    outputs = [("features", [batch, weights.shape[1]])] + [("colour", [batch, 3])] * two_outputs
    graph = b"".join(
        [
            *(_field(1, node) for node in nodes),
            _field(2, b"graph"),
            _field(5, _tensor("w", weights.astype(_NUMPY.get(kind, np.float32)), kind, external)),
            _field(11, _value("pixels", kind, shape)),
            *(_field(12, _value(name, kind, sizes)) for name, sizes in outputs),
        ]
    )
    path.write_bytes(_number(1, 8) + _field(8, _number(2, opset)) + _field(7, graph))
    return path


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _node(kind: str, inputs: list[str], output: str, **attributes: list[int]) -> bytes:
    named = b""
    for name, values in attributes.items():
        is_list = name == "axes"
        numbers = b"".join(_number(8 if is_list else 3, value) for value in values)
        named += _field(5, _field(1, name.encode()) + numbers + _number(20, 7 if is_list else 2))
    return (
        b"".join(_field(1, one.encode()) for one in inputs)
        + _field(2, output.encode())
        + _field(4, kind.encode())
        + named
    )


def _value(name: str, kind: int, shape: list[str | int | None]) -> bytes:
    sizes = b"".join(_field(1, _size(size)) for size in shape)
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, kind) + _field(2, sizes)))


def _size(size: str | int | None) -> bytes:
    return _number(1, size) if isinstance(size, int) else _field(2, (size or "side").encode())


def _tensor(name: str, values: np.ndarray, kind: int, external: str | None) -> bytes:
    head = b"".join(_number(1, size) for size in values.shape) + _number(2, kind) + _field(8, name.encode())
    if external is None:
        return head + _field(9, values.tobytes())
    return head + _field(13, _field(1, b"location") + _field(2, external.encode())) + _number(14, 1)
