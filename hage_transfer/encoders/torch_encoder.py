"""A frozen encoder on a torch module: preprocessing, precision, batches that fit the device."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from hage_transfer.encoders.base import Pending, Preprocessing, one_lane
from hage_transfer.encoders.preprocess import preprocess
from hage_transfer.running.devices import to_device
from hage_transfer.running.memory import keep_freed_memory

CPU_PIECE, CPU_PIECE_CHANNELS_LAST = 4, 2
"""Images per forward pass on a CPU, one core each; of a network whose convolutions read channels last, fewer. Measured
with memory kept (see ``memory``): the embedded encoder takes 10.5 ms an image of a core's time in pieces of 2, 11.1 of
4, and more of 8 or 16, since activations leave the cache; two threads hold 60 MB less. ViT-B takes 254 ms in pieces of
2, 239 of 4. Always the same number, so that features do not depend on how many cores there are."""

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
        piece = CPU_PIECE_CHANNELS_LAST if channels_last else CPU_PIECE
        self.images_per_call = piece if self._device.type == "cpu" else None
        # on cuda convolutions of any network are fastest so, and a transformer's only one does not mind
        channels_last = channels_last or self._device.type == "cuda"
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        if self._device.type == "cpu":
            keep_freed_memory()
        self._module = module.eval().requires_grad_(False).to(self._device).to(memory_format=self._layout)

    def __call__(
        self, images: UInt8[np.ndarray, "batch height width 3"] | UInt8[Tensor, "batch height width 3"]
    ) -> Float32[np.ndarray, "batch feature"]:
        """Features of RGB images, float32 whatever the precision of the arithmetic."""
        batch = torch.as_tensor(images)
        pieces = batch.split(self.images_per_call or max(len(batch), 1))
        if len(pieces) == 1:
            return self.begin(batch)()
        with self.lanes() as pool:
            return np.concatenate([pending() for pending in pool.map(self.begin, pieces)])

    def lanes(self) -> AbstractContextManager[Executor]:
        """See ``FrozenEncoder.lanes``: on a CPU a thread for every core that torch may use, each its own pass."""
        return one_lane() if self._device.type != "cpu" else single_threads(torch.get_num_threads())

    def begin(
        self, images: UInt8[np.ndarray, "batch height width 3"] | UInt8[Tensor, "batch height width 3"]
    ) -> Pending:
        """See ``FrozenEncoder.begin``."""
        batch = torch.as_tensor(images)
        output = self._encode(batch)
        if self._device.type != "cuda":
            return lambda: output.cpu().numpy()  # mps: waits here
        host = torch.empty(output.shape, dtype=output.dtype, pin_memory=True)
        with torch.cuda.device(self._device):
            host.copy_(output, non_blocking=True)
            copied = torch.cuda.Event()
            copied.record()

        def wait() -> Float32[np.ndarray, "batch feature"]:
            copied.synchronize()
            return host.numpy()

        return wait

    @property
    def module(self) -> nn.Module:
        """The network; it is not trained here."""
        return self._module

    def features(self, images: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "batch feature"]:
        """Features on the device, float32; with gradients where they are on and the network's layers want them."""
        with ExitStack() as stack:
            if self._device.type == "cuda":
                # float32 means float32: cuDNN would otherwise round a convolution's input to 10 bits
                stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=False))
            pixels = preprocess(to_device(images, self._device), self._preprocessing)
            if self.precision != "float32":
                stack.enter_context(torch.autocast(self._device.type, dtype=_DTYPES[self.precision]))
            return self._forward(self._module, pixels.contiguous(memory_format=self._layout)).float()

    @torch.inference_mode()
    def _encode(self, images: UInt8[Tensor, "batch height width 3"]) -> Float[Tensor, "batch feature"]:
        return self.features(images)


@contextmanager
def single_threads(workers: int) -> Iterator[Executor]:
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
