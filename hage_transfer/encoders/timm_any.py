"""``timm:<model>``: any model of timm, used as its own ``pretrained_cfg`` says."""

import math
from pathlib import Path
from typing import Any

import timm
from timm.data import resolve_data_config
from timm.models import get_pretrained_cfg

from hage_transfer.encoders.base import Preprocessing
from hage_transfer.encoders.torch_encoder import TorchEncoder
from hage_transfer.encoders.weights import WeightsFile, hub_weights, load_strictly, local_weights, read_state
from hage_transfer.errors import WeightsError, nearest


def check_model(model: str) -> None:
    """Refuses a name that timm does not have, naming the nearest.

    Raises:
        WeightsError: unknown.
    """
    if not timm.is_model(model):
        (near,) = nearest(model.split(".")[0], timm.list_models())
        raise WeightsError(f"encoder timm:{model}: timm {timm.__version__} has no such model; nearest: timm:{near}")


def find_weights(model: str, weights: Path | None) -> WeightsFile:
    """The local file where one is named, else the file of the model's hub repository.

    Raises:
        WeightsError: unknown model, no such file, no hub repository, no access.
    """
    check_model(model)
    if weights is not None:
        return local_weights(weights)
    repository = hub_of(model)
    if repository is None:
        raise WeightsError(
            f"encoder timm:{model}: timm names no hub repository of its weights; set encoder.weights=/path/to/file"
        )
    return hub_weights(f"timm:{model}", repository)


def hub_of(model: str) -> str | None:
    """The hub repository of the model's default weights, or None."""
    cfg = get_pretrained_cfg(model)
    return cfg.hf_hub_id if cfg is not None and cfg.hf_hub_id else None


def load(model: str, weights: WeightsFile, *, device: str, precision: str) -> TorchEncoder:
    """Builds the model without its classifier and loads ``weights`` strictly (a classifier in the file is left out).

    Raises:
        WeightsError: the file does not fit.
    """
    check_model(model)
    name = f"timm:{model}"
    module: Any = timm.create_model(model, pretrained=False, num_classes=0)
    head = module.pretrained_cfg.get("classifier") or ()
    heads = (head,) if isinstance(head, str) else tuple(head)
    wanted = module.state_dict()
    state = {
        key: value
        for key, value in read_state(weights.path).items()
        if key in wanted or not any(key.startswith(f"{prefix}.") for prefix in heads)
    }
    load_strictly(module, state, name=name, path=weights.path)
    return TorchEncoder(
        module,
        name=name,
        width=module.num_features if not hasattr(module, "head_hidden_size") else module.head_hidden_size,
        licence=str(module.pretrained_cfg.get("license") or "unknown"),
        sha256=weights.sha256,
        preprocessing=preprocessing_of(module),
        forward=lambda network, pixels: network(pixels),
        device=device,
        precision=precision,
    )


def preprocessing_of(module: object) -> Preprocessing:
    """Size, crop, normalisation and interpolation of a timm model's own evaluation transform."""
    config = resolve_data_config(model=module)
    input_px = config["input_size"][-1]
    return Preprocessing(
        input_px=input_px,
        resize_px=math.floor(input_px / config["crop_pct"]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation="bilinear" if config["interpolation"] == "bilinear" else "bicubic",
    )
