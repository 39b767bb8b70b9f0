"""The frozen encoder with low-rank adapters (LoRA) in its last layers, which HAGE's losses train on cached patches."""

import importlib.util
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from hage_transfer.data.feature_file import FeatureMeta
from hage_transfer.encoders.adapter import FORM, find_adapter, save_adapter, torch_network
from hage_transfer.encoders.registry import find_weights, load_encoder
from hage_transfer.encoders.torch_encoder import TorchEncoder
from hage_transfer.errors import ConfigError, install_extra
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.dataset import FoldData, Spots
from hage_transfer.pretrain.encoder_directory import encoder_card
from hage_transfer.pretrain.image_settings import ImageEncoderSettings
from hage_transfer.pretrain.methods.images import randomly_turned

log = logging.getLogger(__name__)
FOLDER_SUFFIX = "adapter"
_BLOCK = re.compile(r"^(.*?\.\d+)(?=\.)")
_AT_A_TIME = 128


class AdaptedImages(nn.Module):
    """Patches in, the frozen encoder's features out, by layers of which the last have adapters that train.

    Adapters begin at zero, so that the first features are the frozen ones. Everything else of the network stays as it
    is: no gradient, no statistics, no dropout of its own.

    Args:
        encoder: the frozen encoder; its network is changed in place.
        settings: rank, scale, blocks, turns.

    Raises:
        ConfigError: none of the encoder's layers can be adapted.
    """

    def __init__(self, encoder: TorchEncoder, settings: ImageEncoderSettings) -> None:
        super().__init__()
        from peft import LoraConfig, inject_adapter_in_model

        self.turned, self.encoder = settings.turns, encoder
        layers = last_layers(encoder, blocks=settings.stages)
        scale: Any = settings.alpha  # peft says int, and divides it by the rank
        how = LoraConfig(r=settings.rank, lora_alpha=scale, target_modules=layers)
        self.network: nn.Module = inject_adapter_in_model(how, encoder.module)
        n_trained = sum(one.numel() for one in self.parameters() if one.requires_grad)
        log.info("%s: %d numbers of adapters in %d layers", encoder.name, n_trained, len(layers))

    def train(self, mode: bool = True) -> "AdaptedImages":
        """Training turns patches; the network itself stays in eval mode."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, patches: UInt8[Tensor, "batch side side 3"]) -> Float[Tensor, "batch feature"]:
        """Features, as many images at a time as the encoder takes best."""
        if self.turned and self.training:
            patches = randomly_turned(patches)
        size = self.encoder.images_per_call or len(patches)
        return torch.cat([self.encoder.features(part) for part in patches.split(size)])

    def tensors(self) -> dict[str, Tensor]:
        """The adapters, by PEFT's names."""
        from peft import get_peft_model_state_dict

        return dict(get_peft_model_state_dict(self.network))


def last_layers(encoder: TorchEncoder, *, blocks: int) -> list[str]:
    """Linear layers and 1 x 1 convolutions of the last blocks that the features are made of.

    A block is what a network numbers first (``blocks.11``, ``stages.3``, ``layer4.1``). What a run through the network
    does not reach (the embedded encoder's last stages) is no block of it.

    Raises:
        ConfigError: there is none.
    """
    ran: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, module in encoder.module.named_modules()
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and _is_pointwise(module))
    ]
    with torch.inference_mode():
        encoder.features(torch.zeros(1, encoder.input_px, encoder.input_px, 3, dtype=torch.uint8))
    for handle in handles:
        handle.remove()
    of = {name: found[1] for name in ran if (found := _BLOCK.match(name))}
    chosen = list(dict.fromkeys(of.values()))[-blocks:]
    layers = [name for name, block in of.items() if block in chosen]
    if not layers:
        raise ConfigError(f"encoder {encoder.name}: has no numbered blocks with linear layers, so nothing to adapt")
    return layers


def _is_pointwise(layer: nn.Conv2d) -> bool:
    return tuple(layer.kernel_size) == (1, 1) and layer.groups == 1


def check_adaptable(config: PretrainConfig, meta: FeatureMeta) -> None:
    """Refuses what could not be trained, before patches are cut.

    Raises:
        ConfigError: PEFT is not installed; an encoder without layers, or other than the one that made the features.
        WeightsError: the encoder cannot be had.
    """
    if importlib.util.find_spec("peft") is None:
        raise ConfigError(f"image_encoder.adapt lora needs PEFT: {install_extra('lora')}")
    found = find_weights(config.encoder).sha256
    if found != meta.encoder_sha256:
        raise ConfigError(
            f"image_encoder.adapt adapts {config.encoder.name} with weights {found[:12]}, and features were made by "
            f"{meta.encoder} with {meta.encoder_sha256[:12]}; set encoder to that one, or encode the sections again"
        )
    last_layers(_frozen(config, device="cpu"), blocks=1)


def adapted_images(config: PretrainConfig, *, device: str) -> AdaptedImages | None:
    """The encoder of a config with adapters that begin at zero; None where it asks for none."""
    if config.image_encoder.adapt == "none":
        return None
    return AdaptedImages(_frozen(config, device=device), config.image_encoder)


def _frozen(config: PretrainConfig, *, device: str) -> TorchEncoder:
    return torch_network(load_encoder(config.encoder.model_copy(update={"runtime": "torch"}), device=device))


def encoded_anew(
    images: AdaptedImages, data: FoldData, encoder: Path, config: PretrainConfig, *, trial: int
) -> FoldData:
    """Writes the adapter directory of a trial, and gives the fold with the features of the adapted encoder.

    Args:
        images: trained, on the encoder's device.
        data: the fold.
        encoder: directory of the trial's gene-informed encoder, beside which ``encoders_adapter/...`` goes.
        config: of the run.
        trial: its number.
    """
    kind, settings = encoder.parents[1], config.image_encoder
    folder = kind.with_name(f"{kind.name}_{FOLDER_SUFFIX}") / encoder.parent.name / encoder.name
    sizes = {"rank": settings.rank, "alpha": settings.alpha, "stages": settings.stages}
    save_adapter(folder, images.tensors(), card={**encoder_card(data, config, trial=trial), **sizes})
    frozen = data.feature_meta
    sha256 = find_adapter(folder).adapted_sha256(frozen.encoder_sha256)
    meta = replace(frozen, encoder=f"{frozen.encoder}+{FORM}", encoder_sha256=sha256)
    train, test = (replace(spots, features=encode_spots(images, spots)) for spots in (data.train, data.test))
    return replace(data, train=train, test=test, feature_meta=meta)


@torch.inference_mode()
def encode_spots(images: AdaptedImages, spots: Spots) -> Float32[np.ndarray, "spot feature"]:
    """Features of every spot's patch as it lies."""
    images.eval()
    if spots.patches is None:
        raise ValueError("the spots have no patches")
    starts = range(0, len(spots), _AT_A_TIME)
    rows = [images(torch.from_numpy(np.array(spots.patches[k : k + _AT_A_TIME]))).cpu() for k in starts]
    return torch.cat(rows).numpy()
