"""Models of hub repositories as their own ``config.json`` says: any ``hf-hub:<owner>/<name>``, and pathology models.

timm's repositories are built by timm; those of transformers (extra ``transformers``) by its own classes, never by code
of the repository, and their class token is taken. With a local weights file the repository's ``config.json`` lies
beside it.
"""

import importlib.util
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import timm
import torch
from timm.data import resolve_data_config
from timm.layers import SwiGLUPacked
from torch import Tensor, nn

from hage_transfer.encoders.base import Interpolation, Pooling, Preprocessing
from hage_transfer.encoders.timm_models import pool_tokens
from hage_transfer.encoders.torch_encoder import TorchEncoder
from hage_transfer.encoders.weights import WeightsFile, hub_file, hub_weights, load_strictly, local_weights, read_state
from hage_transfer.errors import WeightsError

PREFIXES = ("hf-hub:", "hf_hub:")
CONFIG_FILE = "config.json"
_TRANSFORMERS_TYPES = ("dinov2", "dinov2_with_registers", "vit")
_SWIGLU = {"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU}
_NON_COMMERCIAL = "CC-BY-NC-ND-4.0"


@dataclass(frozen=True)
class HubModel:
    """A named model of a hub repository.

    Attributes:
        name: registry name.
        hub: repository.
        licence: of the weights.
        width: numbers per image, after pooling.
        is_gated: whether access must be asked for.
        arguments: classes that the repository's config cannot name, from its model card.
        pooling: as ``EncoderSpec``.
        preprocessing: where the repository's config has none.
    """

    name: str
    hub: str
    licence: str
    width: int
    is_gated: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)
    pooling: Pooling = "model"
    preprocessing: Preprocessing | None = None


def _kaiko(size: str, architecture: str, width: int) -> HubModel:
    hub = f"1aurent/{architecture}.kaiko_ai_towards_large_pathology_fms"
    return HubModel(f"kaiko-{size}", hub, "MIT", width)


MODELS: Mapping[str, HubModel] = MappingProxyType(
    {
        one.name: one
        for one in (
            HubModel("virchow", "paige-ai/Virchow", "Apache-2.0", 2560, True, _SWIGLU, pooling="class_and_patch_mean"),
            HubModel("h-optimus-1", "bioptimus/H-optimus-1", _NON_COMMERCIAL, 1536, True),
            HubModel("h0-mini", "bioptimus/H0-mini", _NON_COMMERCIAL, 768, True, _SWIGLU, pooling="class"),
            _kaiko("vits8", "vit_small_patch8_224", 384),
            _kaiko("vits16", "vit_small_patch16_224", 384),
            _kaiko("vitb8", "vit_base_patch8_224", 768),
            _kaiko("vitb16", "vit_base_patch16_224", 768),
            _kaiko("vitl14", "vit_large_patch14_reg4_224", 1024),
            HubModel("lunit-vits8", "1aurent/vit_small_patch8_224.lunit_dino", "see model card: non-commercial", 384),
            HubModel("lunit-vits16", "1aurent/vit_small_patch16_224.lunit_dino", "see model card: non-commercial", 384),
            HubModel("phikon", "owkin/phikon", "see model card: Owkin, non-commercial", 768, pooling="class"),
            HubModel("phikon-v2", "owkin/phikon-v2", "see model card: Owkin, non-commercial", 1024, pooling="class"),
            HubModel(
                "midnight-12k",
                "kaiko-ai/midnight",
                "MIT",
                3072,
                pooling="class_and_patch_mean",
                preprocessing=Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
            ),
        )
    }
)

CANNOT: Mapping[str, str] = MappingProxyType(
    {
        "conch": "MahmoodLab/CONCH is loaded by its own package (conch)",
        "conch-v1.5": "MahmoodLab/TITAN is loaded by code of its repository",
        "hibou-b": "histai/hibou-b is loaded by code of its repository",
        "hibou-l": "histai/hibou-L is loaded by code of its repository",
    }
)
"""Named models that neither timm nor transformers loads without code of others: their own loader makes an object."""


def model_of(name: str) -> HubModel | None:
    """The named model, or that of an ``hf-hub:`` name; None where it is neither."""
    for prefix in PREFIXES:
        if name.startswith(prefix):
            return HubModel(name, name.removeprefix(prefix), "", 0)
    return MODELS.get(name)


def find_weights(model: HubModel, weights: Path | None) -> WeightsFile:
    """The local file where one is named, else the hub's; errors as ``hub_weights`` and ``local_weights``."""
    return hub_weights(model.name, model.hub) if weights is None else local_weights(weights)


def load(model: HubModel, weights: WeightsFile, *, device: str, precision: str) -> TorchEncoder:
    """Builds the model as its repository's config says and loads ``weights`` strictly (a classifier is left out).

    Raises:
        WeightsError: no config, one that names no architecture of timm's or of transformers', weights that do not fit,
            or a network that is not as wide as the registry says.
    """
    path = _config_file(model, weights)
    config = _read(path)
    if "architecture" in config:
        module, forward, preprocessing, licence = _of_timm(model, config, path)
    elif config.get("model_type") in _TRANSFORMERS_TYPES:
        module, forward, preprocessing, licence = _of_transformers(model, config, path)
    else:
        raise WeightsError(
            f"{path}: names neither an architecture of timm nor a model_type of {', '.join(_TRANSFORMERS_TYPES)}: "
            "such a model is loaded by its own code; give it as a Python object (see own-parts)"
        )
    wanted = module.state_dict()
    state = {key: value for key, value in _unwrapped(read_state(weights.path), wanted).items() if _is_body(key, wanted)}
    load_strictly(module, state, name=model.name, path=weights.path)
    registers = int(getattr(module.config, "num_register_tokens", 0)) if hasattr(module, "config") else 0
    prefix = int(getattr(module, "num_prefix_tokens", 1 + registers))  # the class token, and registers

    pooling: Pooling = "class" if model.pooling == "model" and "architecture" not in config else model.pooling

    def features(network: nn.Module, pixels: Tensor) -> Tensor:
        return pool_tokens(forward(network, pixels), pooling, prefix_tokens=prefix)

    side = preprocessing.input_px
    with torch.inference_mode():
        shape = tuple(features(module.eval(), torch.zeros(1, 3, side, side)).shape)
    if len(shape) != 2:
        raise WeightsError(
            f"encoder {model.name}: gives {shape} for one image, not one row: its config leaves the pooling of tokens "
            "open; give it as a Python object that pools them as its authors say"
        )
    width = shape[1]
    if model.width not in (0, width):
        raise WeightsError(f"encoder {model.name}: its network gives {width} numbers an image, wanted {model.width}")
    return TorchEncoder(
        module,
        name=model.name,
        width=width,
        licence=model.licence or licence,
        sha256=weights.sha256,
        preprocessing=preprocessing,
        forward=features,
        device=device,
        precision=precision,
    )


Built = tuple[nn.Module, Callable[[nn.Module, Tensor], Tensor], Preprocessing, str]


def _of_timm(model: HubModel, config: Mapping[str, Any], path: Path) -> Built:
    """As timm builds it: the architecture with the config's ``model_args``."""
    named = str(config["architecture"])
    if not timm.is_model(named):
        raise WeightsError(f"{path}: timm {timm.__version__} has no architecture {named}; upgrade timm")
    arguments = {**dict(config.get("model_args") or {}), **model.arguments, "num_classes": 0}
    try:
        module = timm.create_model(named, pretrained=False, **arguments)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise WeightsError(f"{path}: timm cannot build {named} of its model_args: {error}") from None
    facts = dict(config.get("pretrained_cfg") or config)
    settings = resolve_data_config(pretrained_cfg=facts, model=module)
    input_px = int(settings["input_size"][-1])
    how = Preprocessing(
        input_px=input_px,
        resize_px=math.floor(input_px / settings["crop_pct"]),
        mean=_three(settings["mean"]),
        std=_three(settings["std"]),
        interpolation=_interpolation(settings["interpolation"]),
    )
    return module, lambda network, pixels: network(pixels), how, str(facts.get("license") or "unknown")


def _of_transformers(model: HubModel, config: Mapping[str, Any], path: Path) -> Built:
    """A vision transformer of transformers' own classes; tokens out."""
    if importlib.util.find_spec("transformers") is None:
        raise WeightsError(
            f"encoder {model.name}: transformers is not installed; pip install 'hage-transfer[transformers]'"
        )
    from transformers import AutoConfig, AutoModel  # type: ignore[import-untyped,unused-ignore]

    sizes = {key: value for key, value in config.items() if key not in ("model_type", "auto_map", "architectures")}
    options = {"add_pooling_layer": False} if config["model_type"] == "vit" else {}
    try:
        module = AutoModel.from_config(AutoConfig.for_model(config["model_type"], **sizes), **options)
    except (TypeError, ValueError, KeyError) as error:
        raise WeightsError(f"{path}: transformers cannot build it: {error}") from None
    how = model.preprocessing or Preprocessing()
    return module, lambda network, pixels: network(pixels).last_hidden_state, how, "unknown"


def _unwrapped(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without the prefix of a model around the encoder, where only so they fit."""
    prefixes = {key.partition(".")[0] for key in state}
    if len(prefixes) == 1 and not set(state) & set(wanted):
        return {key.partition(".")[2]: value for key, value in state.items()}
    return dict(state)


def _is_body(key: str, wanted: Mapping[str, Tensor]) -> bool:
    return key in wanted or key.partition(".")[0] not in ("head", "fc", "classifier", "pooler")


def _config_file(model: HubModel, weights: WeightsFile) -> Path:
    beside = weights.path.parent / CONFIG_FILE
    if beside.is_file():
        return beside
    found = hub_file(model.hub, CONFIG_FILE)
    if found is None:
        raise WeightsError(
            f"encoder {model.name}: {CONFIG_FILE} of {model.hub} is not beside {weights.path}; put it there, it says "
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


def _three(values: Any) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third


def _interpolation(name: str) -> Interpolation:
    return "bilinear" if name == "bilinear" else "bicubic"
