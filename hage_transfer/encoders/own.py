"""A frozen encoder of the user's own, as a Python object: what it must have, what may be left out, what is checked."""

import hashlib
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import Image
from torch import nn

from hage_transfer.encoders.base import FrozenEncoder, Pending, one_lane
from hage_transfer.encoders.preprocess import resized
from hage_transfer.encoders.torch_encoder import TorchEncoder
from hage_transfer.errors import WeightsError
from hage_transfer.running.devices import to_device

_WANTED = (
    "an encoder has a name and a call: uint8 images (batch, height, width, 3), or what its `transform` makes of them, "
    "to features (batch, width)"
)
_PROBE_PX, _SHA256_LENGTH = 224, 64


class OwnEncoder:
    """A ``FrozenEncoder`` around an object of the user's own.

    What the object has:

    * ``name``: stamped into every feature file. Needed.
    * a call: images to features, NumPy or torch. Needed.
    * ``transform``: one PIL image to one tensor; the call is then given a stack of these. Without it the call is given
      the images, uint8 (batch, height, width, 3).
    * ``width``: numbers per image. Without it, those of one grey image.
    * ``input_px``: side that images are resized to before the call (the centre square, where they are none). Without
      it, and where there is a ``transform``, they are given as they are.
    * ``licence``: "unknown" without it.
    * ``sha256``: of its weights, so that features of other weights are told apart. Without it, the hash of a module's
      state; of anything else, that of its features of two fixed images.
    * ``images_per_call``: most images for one call. Without it, as many as ``encoder.batch_size``.

    A ``torch.nn.Module`` is put on the device, in eval mode, and called without gradients, on tensors there where it
    has a ``transform``; any other object sees to its device itself, and is given tensors on the CPU.

    Args:
        encoder: the object.

    Raises:
        WeightsError: an object that is no encoder, an attribute that is not what it should be, or what it puts out of
            a grey image is not what it says.
    """

    precision = "float32"

    def __init__(self, encoder: Any) -> None:
        name = getattr(encoder, "name", None)
        if not callable(encoder) or isinstance(encoder, type):
            raise WeightsError(f"encoder = {encoder!r:.80}: is no encoder; {_WANTED}")
        if not isinstance(name, str) or not name.strip():
            raise WeightsError(f"encoder {type(encoder).__name__}: its name is {name!r}, wanted a text; {_WANTED}")
        self._encoder, self._device, self.name = encoder, torch.device("cpu"), name
        self._transform: Callable[[Image.Image], Any] | None = getattr(encoder, "transform", None)
        self.licence = str(getattr(encoder, "licence", None) or "unknown")
        self.images_per_call: int | None = self._number("images_per_call")
        self._own_px = self._number("input_px")
        self.input_px = self._own_px or _PROBE_PX
        if isinstance(encoder, nn.Module):
            encoder.eval()
            self._device = next((one.device for one in encoder.parameters()), self._device)
        self.width = 0  # any, for once
        found = self._features(np.full((1, self.input_px, self.input_px, 3), 127, dtype=np.uint8)).shape[1]
        self.width = self._number("width") or found
        if found != self.width:
            raise WeightsError(f"encoder {name}: its width is {self.width}, and it puts out {found} numbers an image")
        self.sha256 = self._sha256()

    def on(self, device: str) -> "OwnEncoder":
        """Itself, a module put on a device."""
        if isinstance(self._encoder, nn.Module):
            self._device = torch.device(device)
            self._encoder.to(self._device)
        return self

    def _sha256(self) -> str:
        given = getattr(self._encoder, "sha256", None)
        if given is not None:
            if len(str(given)) != _SHA256_LENGTH or set(str(given)) - set("0123456789abcdef"):
                raise WeightsError(f"encoder {self.name}: sha256 = {given!r:.80}, wanted 64 digits of 0-9 and a-f")
            return str(given)
        digest = hashlib.sha256(self.name.encode())
        if isinstance(self._encoder, nn.Module) and self._encoder.state_dict():
            for key, value in sorted(self._encoder.state_dict().items()):
                digest.update(key.encode() + value.detach().cpu().contiguous().numpy().tobytes())
        else:
            draws = np.random.default_rng(0).integers(0, 256, (2, self.input_px, self.input_px, 3), dtype=np.uint8)
            digest.update(self._features(draws).astype(np.float16).tobytes())
        return digest.hexdigest()

    def __call__(self, images: UInt8[np.ndarray, "batch height width 3"]) -> Float32[np.ndarray, "batch feature"]:
        """Features of RGB images; errors as ``begin``."""
        size = self.images_per_call or max(len(images), 1)
        return np.concatenate([self._features(images[k : k + size]) for k in range(0, len(images), size)])

    def begin(self, images: UInt8[np.ndarray, "batch height width 3"]) -> Pending:
        """See ``FrozenEncoder.begin``.

        Raises:
            WeightsError: the object fails, or puts out something else than finite (batch, width) numbers.
        """
        rows = self._features(images)
        return lambda: rows

    def lanes(self) -> AbstractContextManager[Executor]:
        """See ``FrozenEncoder.lanes``: one, as nothing is known of what the object shares between calls."""
        return one_lane()

    def _features(self, images: UInt8[np.ndarray, "batch height width 3"]) -> Float32[np.ndarray, "batch feature"]:
        is_module = isinstance(self._encoder, nn.Module)
        try:
            given = self._given(images)
            with torch.inference_mode() if is_module else nullcontext():
                output = self._encoder(to_device(given, self._device) if is_module and self._transform else given)
        except Exception as error:
            raise WeightsError(
                f"encoder {self.name}: fails on {len(images)} images of {images.shape[1]} x {images.shape[2]} px "
                f"({type(error).__name__}: {error})"
            ) from error
        rows = output.detach().float().cpu().numpy() if isinstance(output, torch.Tensor) else np.asarray(output)
        wanted = f"({len(images)}, {self.width or 'width'})"
        if rows.ndim != 2 or len(rows) != len(images) or rows.shape[1] != (self.width or rows.shape[1]):
            raise WeightsError(f"encoder {self.name}: puts out shape {rows.shape}, wanted {wanted}")
        if rows.dtype.kind not in "fiu" or not rows.shape[1]:
            raise WeightsError(f"encoder {self.name}: puts out {rows.dtype}, wanted numbers {wanted}")
        rows = rows.astype(np.float32)
        if not np.isfinite(rows).all():
            raise WeightsError(f"encoder {self.name}: puts out NaN or infinity")
        return rows

    def _given(self, images: UInt8[np.ndarray, "batch height width 3"]) -> Any:
        if self._own_px is not None and self._transform is None and images.shape[1:3] != (self._own_px, self._own_px):
            images = resized(torch.from_numpy(images), self._own_px).numpy()
        if self._transform is None:
            return images
        return torch.stack([torch.as_tensor(self._transform(Image.fromarray(image))) for image in images])

    def _number(self, attribute: str) -> int | None:
        value = getattr(self._encoder, attribute, None)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise WeightsError(f"encoder {self.name}: {attribute} = {value!r}, wanted a whole number above 0, or none")
        return value


def as_frozen(encoder: Any) -> FrozenEncoder:
    """A user's object as the encoder that work is given; errors as ``OwnEncoder``."""
    frozen: FrozenEncoder = encoder if isinstance(encoder, OwnEncoder | TorchEncoder) else OwnEncoder(encoder)
    return frozen
