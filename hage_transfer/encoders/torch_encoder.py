"""A frozen encoder on a torch module: preprocessing, precision, batches that fit the device."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from hage_transfer.encoders.base import Preprocessing
from hage_transfer.encoders.preprocess import preprocess

CPU_PIECE = 4
"""Most images per forward pass on a CPU. Measured on two cores with the embedded encoder: 127 images a second in pieces
of 4, 113 of 2, 97 of 8, 85 of 16, since larger activations go back to the system and are faulted in at each layer."""

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class TorchEncoder:
    """A ``FrozenEncoder`` (see there for the attributes) made of a module and a pooling of its output."""

    def __init__(
        self,
        module: nn.Module,
        *,
        name: str,
        width: int,
        licence: str,
        sha256: str,
        preprocessing: Preprocessing,
        forward: Callable[[nn.Module, Tensor], Tensor],
        device: str,
        precision: str,
        channels_last: bool = False,
    ) -> None:
        self.name, self.width, self.licence, self.sha256 = name, width, licence, sha256
        self.input_px = preprocessing.input_px
        self.precision = precision
        self._preprocessing = preprocessing
        self._forward = forward
        self._device = torch.device(device)
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self._module = module.eval().requires_grad_(False).to(self._device).to(memory_format=self._layout)

    def __call__(
        self, images: UInt8[np.ndarray, "batch height width 3"] | UInt8[Tensor, "batch height width 3"]
    ) -> Float32[np.ndarray, "batch feature"]:
        """Features of RGB images, float32 whatever the precision of the arithmetic."""
        batch = torch.as_tensor(images)
        if self._device.type != "cpu":
            return self._encode(batch).numpy()
        workers = torch.get_num_threads()
        pieces = batch.split(min(CPU_PIECE, math.ceil(len(batch) / workers)))
        if workers == 1 or len(pieces) == 1:
            return torch.cat([self._encode(piece) for piece in pieces]).numpy()
        with _single_threads(workers) as pool:
            return torch.cat(list(pool.map(self._encode, pieces))).numpy()

    def _encode(self, images: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "batch feature"]:
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            if self._device.type == "cuda":
                # float32 means float32: cuDNN would otherwise round a convolution's input to 10 bits
                stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
            pixels = preprocess(images.to(self._device, non_blocking=True), self._preprocessing)
            if self.precision != "float32":
                stack.enter_context(torch.autocast(self._device.type, dtype=_DTYPES[self.precision]))
            output = self._forward(self._module, pixels.contiguous(memory_format=self._layout))
            return output.float().cpu()


@contextmanager
def _single_threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that each run a whole forward pass on one core.

    Threads inside each layer wait for one another at its end, and on a machine with other work they wait for most of
    the time: 1 image a second was measured there, against 10 on one thread.
    """
    with ThreadPoolExecutor(
        workers, thread_name_prefix="encode", initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        try:
            yield pool
        finally:
            torch.set_num_threads(workers)  # torch keeps the number for threads yet to come
