"""An ONNX file as a frozen encoder: images in, rows out; how images are prepared is said beside it."""

import importlib
import importlib.util
import json
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from pydantic import ValidationError

from hage_transfer.bounded import MAX_YAML_BYTES, BoundsError, read_text
from hage_transfer.config import EncoderSettings, TransformSettings, describe_faults
from hage_transfer.encoders.base import Preprocessing
from hage_transfer.encoders.own import OwnEncoder
from hage_transfer.encoders.preprocess import preprocess
from hage_transfer.encoders.weights import WeightsFile, local_weights
from hage_transfer.errors import WeightsError, install_extra

_KINDS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_WANTED = "wanted one input of float32 or float16, (batch, 3, height, width) or (batch, height, width, 3)"
_TOLERANCE = 1e-2
"""Of a row alone and in a batch, in parts of the largest number: float16 and other orders of summing stay below it."""


def find_weights(settings: EncoderSettings) -> WeightsFile:
    """The file and its hash; what else may be wrong is found without building the network.

    Raises:
        WeightsError: no such file, no transform, ONNX Runtime is not installed, or settings that such a file has not.
    """
    if settings.weights is not None:
        raise WeightsError(f"encoder {settings.name}: the file has its weights; leave encoder.weights out")
    if settings.precision != "float32":
        raise WeightsError(f"encoder {settings.name}: the file has its arithmetic; leave encoder.precision out")
    if not Path(settings.name).is_file():
        raise WeightsError(f"encoder {settings.name}: no such file")
    if importlib.util.find_spec("onnxruntime") is None:
        raise WeightsError(f"encoder {settings.name}: ONNX Runtime is not installed; {install_extra('onnx')}")
    transform_of(settings)
    return local_weights(Path(settings.name))


def transform_of(settings: EncoderSettings) -> TransformSettings:
    """What the file's network wants of images: as the config says, else as the json of its name beside it says.

    Raises:
        WeightsError: neither says so, or the json is wrong.
    """
    if settings.transform is not None:
        return settings.transform
    path = Path(settings.name).with_suffix(".json")
    if not path.is_file():
        raise WeightsError(
            f"encoder {settings.name}: the side of its images in px, mean and std are not known and are not guessed; "
            f'write {path} with {{"input_px": 224, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}, the '
            "numbers it was trained with, or set encoder.transform={...} of these keys"
        )
    try:
        return TransformSettings.model_validate(json.loads(read_text(path, limit_bytes=MAX_YAML_BYTES)))
    except (BoundsError, ValueError) as error:
        fault = describe_faults(TransformSettings, error) if isinstance(error, ValidationError) else str(error)
        raise WeightsError(f"{path}: no transform of {settings.name}: {fault}") from None


def load(settings: EncoderSettings, weights: WeightsFile, *, device: str) -> OwnEncoder:
    """The network, tried on grey and on coloured images.

    Raises:
        WeightsError: no ONNX model, one that this ONNX Runtime does not run, whose weights are in other files, that
            takes or gives something else, or whose rows depend on the images beside them.
    """
    network = _Network(weights, transform_of(settings), device=device)
    encoder = OwnEncoder(network)
    encoder.input_px = network.side_px
    return encoder


class _Network:
    """What ``OwnEncoder`` wants of an object; it resizes images itself."""

    def __init__(self, weights: WeightsFile, how: TransformSettings, *, device: str) -> None:
        self.name, self.sha256, self.licence = weights.path.name, weights.sha256, how.licence
        self.side_px = how.input_px
        self._path, self._session = weights.path, _session(weights.path, device)
        self._how = Preprocessing(
            input_px=how.input_px,
            resize_px=how.resize_px or how.input_px,
            mean=how.mean,
            std=how.std,
            interpolation=how.interpolation,
        )
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape) if len(inputs) == 1 else []
        if len(shape) != 4 or inputs[0].type not in _KINDS or 3 not in (shape[1], shape[3]):
            found = "; ".join(f"{one.name} {one.type} {one.shape}" for one in inputs) or "none"
            raise WeightsError(f"{self._path}: takes {found}; {_WANTED}; export the network so")
        self._input, self._kind, self._channels_last = inputs[0].name, _KINDS[inputs[0].type], shape[1] != 3
        batch, sides = shape[0], shape[1:3] if self._channels_last else shape[2:]
        if isinstance(batch, int) and batch != 1:
            raise WeightsError(f"{self._path}: takes {batch} images at a time; export it with a batch axis of any size")
        self.images_per_call = 1 if batch == 1 else None
        if any(isinstance(side, int) and side != how.input_px for side in sides):
            raise WeightsError(
                f"{self._path}: takes images of {sides} px, and the transform's input_px is {how.input_px}"
            )
        self._output = self._named_output(how.output)
        self._refuse_mixed_rows()

    def _named_output(self, wanted: str | None) -> str:
        names: list[str] = [one.name for one in self._session.get_outputs()]
        if wanted in names or (wanted is None and len(names) == 1):
            return wanted or names[0]
        raise WeightsError(f"{self._path}: puts out {', '.join(names)}; set `output` of its transform to one of these")

    def _refuse_mixed_rows(self) -> None:
        if self.images_per_call == 1:
            return
        side = self.side_px
        images = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
        try:
            alone, both = self(images[:1]), self(images)
        except _faults() as error:
            raise WeightsError(f"{self._path}: fails on two images of {side} px ({error})") from None
        if len(both) != 2 or both.shape[1:] != alone.shape[1:]:
            raise WeightsError(f"{self._path}: puts out {both.shape} for two images and {alone.shape} for one")
        if np.abs(both[0] - alone[0]).max(initial=0) > _TOLERANCE * np.abs(alone).max(initial=0):
            raise WeightsError(
                f"{self._path}: an image's row depends on the images beside it; export the network in eval mode"
            )

    def __call__(self, images: UInt8[np.ndarray, "batch height width 3"]) -> Float[np.ndarray, "..."]:
        pixels = preprocess(torch.from_numpy(images), self._how)
        given = (pixels.permute(0, 2, 3, 1) if self._channels_last else pixels).contiguous().numpy()
        rows: np.ndarray = self._session.run([self._output], {self._input: given.astype(self._kind, copy=False)})[0]
        return rows.astype(np.float32)


def _session(path: Path, device: str) -> Any:
    """Of the bytes that were hashed: other files that they name are looked for where there are none."""
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails is told by the error
    options.intra_op_num_threads = torch.get_num_threads()
    gpu = "CUDAExecutionProvider"
    is_there = device.startswith("cuda") and gpu in onnxruntime.get_available_providers()
    providers = [*([gpu] if is_there else []), "CPUExecutionProvider"]
    with TemporaryDirectory() as empty:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", empty)
        try:
            return onnxruntime.InferenceSession(path.read_bytes(), options, providers=providers)
        except _faults() as error:
            what = " ".join(str(error).split()).replace(empty, "")
            if "xternal" in what:
                raise WeightsError(
                    f"{path}: its weights are in another file, which its hash does not speak of; save them inside it "
                    "(onnx.save_model(..., save_as_external_data=False))"
                ) from None
            raise WeightsError(
                f"{path}: is no ONNX model that ONNX Runtime {onnxruntime.__version__} runs ({what[:300]}); export it "
                "anew, at a lower opset where that is what is said"
            ) from None


@lru_cache
def _faults() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises; its errors have no base of their own."""
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    return tuple(one for one in vars(state).values() if isinstance(one, type) and issubclass(one, Exception))
