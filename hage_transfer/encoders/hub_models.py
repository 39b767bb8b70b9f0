"""Networks that timm or transformers build, with the weights of a hub repository or of a local file.

timm's are built by timm; those of transformers (extra ``transformers``) by its own classes, never by code of the
repository, and their class token is taken. With a local weights file the repository's ``config.json`` lies beside it.
"""

import importlib.util
import json
import math
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from timm.data import resolve_data_config
from timm.layers import SwiGLUPacked
from torch import Tensor, nn

from hage_transfer.encoders.base import Preprocessing
from hage_transfer.encoders.specs import EncoderSpec, Pooling
from hage_transfer.encoders.torch_encoder import TorchEncoder
from hage_transfer.encoders.weights import WeightsFile, hub_file, load_strictly, read_state
from hage_transfer.errors import WeightsError, install_extra, nearest

CONFIG_FILE = "config.json"
_TRANSFORMERS_TYPES = ("dinov2", "dinov2_with_registers", "vit")
_CLASSES = {"SwiGLUPacked": SwiGLUPacked, "SiLU": nn.SiLU}
_HEADS = frozenset({"head", "fc", "classifier", "pooler"})


def check_timm(model: str) -> None:
    """Refuses a name that timm does not have, naming the nearest.

    Raises:
        WeightsError: unknown.
    """
    if not timm.is_model(model):
        (near,) = nearest(model.split(".")[0], timm.list_models())
        raise WeightsError(f"encoder timm:{model}: timm {timm.__version__} has no such model; nearest: timm:{near}")


def load(spec: EncoderSpec, weights: WeightsFile, *, device: str, precision: str) -> TorchEncoder:
    """Builds the network and loads ``weights`` strictly (a classifier in the file is left out).

    Raises:
        WeightsError: no config, one that names no architecture of timm's or of transformers', weights that do not fit,
            or a network that is not as wide as the registry says.
    """
    module, facts = _built(spec, weights)
    wanted = module.state_dict()
    heads = _HEADS | {str(head).partition(".")[0] for head in np.atleast_1d(facts.get("classifier") or "head")}
    state = {
        key: value
        for key, value in _unwrapped(read_state(weights.path), wanted).items()
        if key in wanted or key.partition(".")[0] not in heads
    }
    load_strictly(module, state, name=spec.name, path=weights.path)
    is_timm = hasattr(module, "pretrained_cfg")
    registers = 0 if is_timm else int(getattr(module.config, "num_register_tokens", 0))
    prefix = int(getattr(module, "num_prefix_tokens", 1 + registers))  # the class token, and registers
    pooling: Pooling = "class" if spec.pooling == "model" and not is_timm else spec.pooling

    def features(network: nn.Module, pixels: Tensor) -> Tensor:
        output = network(pixels)
        return pool_tokens(output if is_timm else output.last_hidden_state, pooling, prefix_tokens=prefix)

    encoder = TorchEncoder(
        module,
        name=spec.name,
        width=spec.width,
        licence=spec.licence or str(facts.get("license") or "unknown"),
        sha256=weights.sha256,
        preprocessing=spec.preprocessing or (preprocessing_of(module, facts) if is_timm else Preprocessing()),
        forward=features,
        device=device,
        precision=precision,
    )
    shape = encoder(np.zeros((1, encoder.input_px, encoder.input_px, 3), np.uint8)).shape
    if len(shape) != 2:
        raise WeightsError(
            f"encoder {spec.name}: gives {shape} for one image, not one row: its config leaves the pooling of tokens "
            "open; give it as a Python object that pools them as its authors say"
        )
    if spec.width not in (0, shape[1]):
        raise WeightsError(f"encoder {spec.name}: its network gives {shape[1]} numbers an image, wanted {spec.width}")
    encoder.width = shape[1]
    return encoder


def build(spec: EncoderSpec) -> nn.Module:
    """Timm's network of a spec that names its architecture, without weights; a known one on torch's meta device."""
    arguments: dict[str, Any] = {key: _CLASSES.get(str(value), value) for key, value in spec.arguments.items()}
    with torch.device("meta") if spec.width else nullcontext():
        return timm.create_model(str(spec.architecture), pretrained=False, **{**arguments, "num_classes": 0})


def pool_tokens(output: Tensor, pooling: Pooling, *, prefix_tokens: int) -> Tensor:
    """One row an image of a network's tokens, as ``EncoderSpec.pooling`` says; what is one already stays as it is."""
    if pooling == "model" or output.ndim == 2:
        return output
    if pooling == "class":
        return output[:, 0]
    return torch.cat([output[:, 0], output[:, prefix_tokens:].mean(dim=1)], dim=1)


def preprocessing_of(module: nn.Module, facts: Mapping[str, Any]) -> Preprocessing:
    """Size, crop, normalisation and interpolation of a timm model's own evaluation transform, by its config."""
    config = resolve_data_config(pretrained_cfg=dict(facts), model=module)
    input_px = int(config["input_size"][-1])
    return Preprocessing(
        input_px=input_px,
        resize_px=math.floor(input_px / config["crop_pct"]),
        mean=tuple(map(float, config["mean"])),  # type: ignore[arg-type]
        std=tuple(map(float, config["std"])),  # type: ignore[arg-type]
        interpolation="bilinear" if config["interpolation"] == "bilinear" else "bicubic",
    )


def _built(spec: EncoderSpec, weights: WeightsFile) -> tuple[nn.Module, Mapping[str, Any]]:
    """The network, and what its config says of licence, classifier and preprocessing."""
    if spec.architecture is not None:
        module = build(spec)
        return module, module.pretrained_cfg  # type: ignore[return-value]
    path = _config_file(spec, weights)
    config = _read(path)
    if "architecture" in config:
        return _of_timm(spec, config, path), dict(config.get("pretrained_cfg") or config)
    if config.get("model_type") in _TRANSFORMERS_TYPES:
        return _of_transformers(spec, config, path), {}
    raise WeightsError(
        f"{path}: names neither an architecture of timm nor a model_type of {', '.join(_TRANSFORMERS_TYPES)}: "
        "such a model is loaded by its own code; give it as a Python object (see own-parts)"
    )


def _of_timm(spec: EncoderSpec, config: Mapping[str, Any], path: Path) -> nn.Module:
    """As timm builds it: the architecture with the config's ``model_args``."""
    named = str(config["architecture"])
    if not timm.is_model(named):
        raise WeightsError(f"{path}: timm {timm.__version__} has no architecture {named}; upgrade timm")
    arguments = {**dict(config.get("model_args") or {}), **spec.arguments}
    try:
        return build(EncoderSpec(name=spec.name, hub=spec.hub, architecture=named, arguments=arguments))
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise WeightsError(f"{path}: timm cannot build {named} of its model_args: {error}") from None


def _of_transformers(spec: EncoderSpec, config: Mapping[str, Any], path: Path) -> nn.Module:
    """A vision transformer of transformers' own classes; tokens out."""
    if importlib.util.find_spec("transformers") is None:
        raise WeightsError(f"encoder {spec.name}: transformers is not installed; {install_extra('transformers')}")
    from transformers import AutoConfig, AutoModel  # type: ignore[import-untyped,unused-ignore]

    sizes = {key: value for key, value in config.items() if key not in ("model_type", "auto_map", "architectures")}
    options = {"add_pooling_layer": False} if config["model_type"] == "vit" else {}
    try:
        module: nn.Module = AutoModel.from_config(AutoConfig.for_model(config["model_type"], **sizes), **options)
    except (TypeError, ValueError, KeyError) as error:
        raise WeightsError(f"{path}: transformers cannot build it: {error}") from None
    return module


def _unwrapped(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without the prefix of a model around the encoder, where only so they fit."""
    prefixes = {key.partition(".")[0] for key in state}
    if len(prefixes) == 1 and not set(state) & set(wanted):
        return {key.partition(".")[2]: value for key, value in state.items()}
    return dict(state)


def _config_file(spec: EncoderSpec, weights: WeightsFile) -> Path:
    beside = weights.path.parent / CONFIG_FILE
    found = beside if beside.is_file() else hub_file(spec.hub, CONFIG_FILE)
    if found is None:
        raise WeightsError(
            f"encoder {spec.name}: {CONFIG_FILE} of {spec.hub} is not beside {weights.path}; put it there, it says "
            "how the model is built"
        )
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(tree, dict):
        raise WeightsError(f"{path}: is no config of a model: {type(tree).__name__} in place of keys")
    return tree
