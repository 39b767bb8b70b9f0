"""Pathology foundation models and any timm model, with the arguments their authors publish.

Hub and local file go the same way: the file is hashed and loaded strictly into the architecture below, which is the one
that the repository's ``config.json`` and its model card's arguments give together.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import timm
import torch
from timm.layers import SwiGLUPacked
from torch import Tensor, nn

from hage_transfer.encoders.base import EncoderSpec, Pooling, Preprocessing
from hage_transfer.encoders.torch_encoder import TorchEncoder
from hage_transfer.encoders.weights import (
    WeightsFile,
    hub_weights,
    load_strictly,
    local_weights,
    read_state,
)
from hage_transfer.errors import WeightsError

_CLASSES = MappingProxyType({"SwiGLUPacked": SwiGLUPacked, "SiLU": nn.SiLU})
_BASE_224 = {"img_size": 224, "num_classes": 0, "init_values": 1e-5}
_SWIGLU = {"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU"}
_UNI2 = {
    **_BASE_224, **_SWIGLU, "patch_size": 14, "depth": 24, "num_heads": 24, "embed_dim": 1536,
    "mlp_ratio": 2.66667 * 2, "no_embed_class": True, "reg_tokens": 8, "dynamic_img_size": True,
}  # fmt: skip

SPECS: Mapping[str, EncoderSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            EncoderSpec(
                name="uni",
                licence="CC-BY-NC-ND-4.0",
                width=1024,
                hub="MahmoodLab/UNI",
                architecture="vit_large_patch16_224",
                arguments={**_BASE_224, "dynamic_img_size": True},
                preprocessing=Preprocessing(interpolation="bilinear"),
            ),
            EncoderSpec(
                name="uni2-h",
                licence="CC-BY-NC-ND-4.0",
                width=1536,
                hub="MahmoodLab/UNI2-h",
                architecture="vit_giant_patch14_224",
                arguments=_UNI2,
                preprocessing=Preprocessing(interpolation="bilinear"),
            ),
            EncoderSpec(
                name="virchow2",
                licence="CC-BY-NC-ND-4.0",
                width=2560,
                hub="paige-ai/Virchow2",
                architecture="vit_huge_patch14_224",
                arguments={
                    **_BASE_224, **_SWIGLU, "reg_tokens": 4, "mlp_ratio": 5.3375, "global_pool": "",
                    "dynamic_img_size": True,
                },
                pooling="class_and_patch_mean",
                prefix_tokens=5,
            ),
            EncoderSpec(
                name="gigapath",
                licence="Apache-2.0; hub access for non-commercial research, see model card",
                width=1536,
                hub="prov-gigapath/prov-gigapath",
                architecture="vit_giant_patch14_dinov2",
                arguments={
                    **_BASE_224, "patch_size": 16, "embed_dim": 1536, "depth": 40, "num_heads": 24,
                    "mlp_ratio": 5.33334,
                },
                preprocessing=Preprocessing(resize_px=256),
            ),
            EncoderSpec(
                name="h-optimus-0",
                licence="Apache-2.0",
                width=1536,
                hub="bioptimus/H-optimus-0",
                architecture="vit_giant_patch14_reg4_dinov2",
                arguments={**_BASE_224, "dynamic_img_size": False},
                preprocessing=Preprocessing(mean=(0.707223, 0.578729, 0.703617), std=(0.211883, 0.230117, 0.177517)),
            ),
        )
    }
)  # fmt: skip


def find_weights(spec: EncoderSpec, weights: Path | None) -> WeightsFile:
    """The local file where one is named, else the hub's; errors as ``hub_weights`` and ``local_weights``."""
    return hub_weights(spec.name, spec.hub) if weights is None else local_weights(weights)


def build(spec: EncoderSpec) -> nn.Module:
    """The architecture without weights, on torch's meta device."""
    arguments: dict[str, Any] = {key: _CLASSES.get(str(value), value) for key, value in spec.arguments.items()}
    with torch.device("meta"):
        return timm.create_model(spec.architecture, pretrained=False, **arguments)


def load(spec: EncoderSpec, weights: WeightsFile, *, device: str, precision: str) -> TorchEncoder:
    """Builds ``spec`` and loads ``weights`` strictly.

    Raises:
        WeightsError: the file does not fit the architecture, or the network is not as wide as the entry says.
    """
    module = build(spec)
    load_strictly(module, read_state(weights.path), name=spec.name, path=weights.path)
    return TorchEncoder(
        module,
        name=spec.name,
        width=spec.width,
        licence=spec.licence,
        sha256=weights.sha256,
        preprocessing=spec.preprocessing,
        forward=lambda model, pixels: pool(model(pixels), spec),
        device=device,
        precision=precision,
    )


def pool(output: Tensor, spec: EncoderSpec) -> Tensor:
    """The feature of each image from what the network returns.

    Raises:
        WeightsError: the result is not ``spec.width`` wide.
    """
    output = pool_tokens(output, spec.pooling, prefix_tokens=spec.prefix_tokens)
    if output.ndim != 2 or output.shape[1] != spec.width:
        raise WeightsError(
            f"encoder {spec.name}: the network gave shape {tuple(output.shape)}, wanted (batch, {spec.width})"
        )
    return output


def pool_tokens(output: Tensor, pooling: Pooling, *, prefix_tokens: int) -> Tensor:
    """One row an image of a network's tokens, as ``EncoderSpec.pooling`` says; what is one already stays as it is."""
    if pooling == "model" or output.ndim == 2:
        return output
    if pooling == "class":
        return output[:, 0]
    return torch.cat([output[:, 0], output[:, prefix_tokens:].mean(dim=1)], dim=1)
