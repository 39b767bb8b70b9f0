"""Plain tensors (`.pt`): read without running anything, written from blocks."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import numpy as np

from hage_transfer.damage import DAMAGE
from hage_transfer.errors import DataError
from hage_transfer.running.atomic import atomic_path, refused, temporary_path

if TYPE_CHECKING:
    from torch import Tensor


TORCH_FAULTS: tuple[type[Exception], ...] = (*DAMAGE, ImportError)
"""Of files that are damaged, the parts of torch's unpickler among them."""


def load_tensor(path: Path) -> "Tensor":
    """The (N, D) tensor of a file; its values stay on disk until they are used.

    Raises:
        DataError: not a file of torch, a pickled object other than a tensor, or a tensor of another shape.
    """
    import torch

    tensor = _load(path)
    if not isinstance(tensor, torch.Tensor):
        raise DataError(f"{path}: holds a {type(tensor).__name__}, wanted one tensor (N, D): save the tensor itself")
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    if plain and tensor.ndim == 3 and tensor.shape[0] == 1:
        tensor = tensor[0]
    if not plain or tensor.ndim != 2 or not tensor.is_floating_point():
        raise DataError(f"{path}: holds a tensor of shape {tuple(tensor.shape)} {tensor.dtype}, wanted (N, D) floats")
    declared, stored = tensor.numel() * tensor.element_size(), path.stat().st_size
    if declared > stored:
        raise DataError(
            f"{path}: its tensor of shape {tuple(tensor.shape)} takes {declared:,} bytes, the file holds {stored:,}: a "
            "view that repeats its rows; save a copy, torch.save(tensor.clone(), path)"
        )
    tensor = tensor.detach()
    return tensor if tensor.dtype in (torch.float16, torch.float32, torch.float64) else tensor.float()


def _load(path: Path) -> object:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=_is_zip(path))
    except UnpicklingError as error:
        if "Unsupported global" not in str(error) and "Unsupported class" not in str(error):
            raise DataError(f"{path}: is no file of torch, or damaged; make it again") from None
        raise DataError(
            f"{path}: holds a pickled object, which could run code when read, so it is not; only tensors are read. "
            "Convert the h5 of the same slide (TRIDENT writes numpy arrays into its .pt), or save a tensor where you "
            "trust the file: torch.save(torch.as_tensor(features), path)"
        ) from None
    except TORCH_FAULTS as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: cannot be read by torch ({why}); make it again") from None


def _is_zip(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(4) == b"PK\x03\x04"


def write_tensor(path: Path, blocks: Iterator[np.ndarray], *, n_rows: int, width: int, dtype: np.dtype) -> None:
    """Writes rows as one tensor, atomically; they pass through a file, so that memory holds one block."""
    import torch

    with atomic_path(path) as temporary, _rows_file(path) as rows:
        with rows.open("wb") as handle:
            for block in blocks:
                handle.write(np.ascontiguousarray(block, dtype=dtype).tobytes())
        kind = {"float16": torch.float16, "float32": torch.float32}[dtype.name]
        mapped = torch.from_file(str(rows), shared=False, size=n_rows * width, dtype=kind)
        with temporary.open("wb") as handle:  # given a path, torch writes its name into the file
            try:
                torch.save(mapped.reshape(n_rows, width), handle)
            except RuntimeError:  # torch says where in its own code, not that the disk is full
                raise refused(temporary) or OSError(errno.EIO, os.strerror(errno.EIO)) from None


@contextmanager
def _rows_file(path: Path) -> Iterator[Path]:
    rows = temporary_path(path.with_name(f"{path.name}.rows"))
    try:
        yield rows
    finally:
        rows.unlink(missing_ok=True)
