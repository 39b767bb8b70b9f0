"""Low-rank adapters of an image encoder (LoRA): a directory of their own, added to the frozen weights as they load.

An adapted encoder is the frozen one with ``W + alpha / rank * B @ A`` in some layers; features that it makes carry a
name and a hash of their own, so they are never mixed with the frozen encoder's.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hage_transfer.bounded import BoundsError, read_json
from hage_transfer.config import file_sha256
from hage_transfer.encoders.base import FrozenEncoder
from hage_transfer.encoders.torch_encoder import TorchEncoder
from hage_transfer.errors import ConfigError, DataError, some
from hage_transfer.running.atomic import atomic_folder, write_json, write_text
from hage_transfer.tensor_files import read_tensors, refuse_not_finite, save_tensors

FORM, SCHEMA_VERSION = "lora", 1
WEIGHTS_FILE, CONFIG_FILE, CARD_FILE = "adapter.safetensors", "config.json", "README.md"
DOWN, UP = ".lora_A.weight", ".lora_B.weight"
"""PEFT's own names behind a layer's: (rank, in) and (out, rank)."""
_REMEDY = "copy it again, or train it again (`pretrain` with image_encoder.adapt=lora)"


@dataclass(frozen=True)
class Adapter:
    """An adapter directory: what its card says, and the hash of its tensors."""

    folder: Path
    card: Mapping[str, Any]
    sha256: str

    def adapted_sha256(self, base: str) -> str:
        """Hash of the encoder that it makes of the one of hash ``base``.

        Raises:
            DataError: it was trained on other weights.
        """
        if base != self.card["frozen_encoder_sha256"]:
            raise DataError(
                f"{self.folder}: adapts {self.card['frozen_encoder']} with weights "
                f"{self.card['frozen_encoder_sha256'][:12]}, and the encoder here has {base[:12]}; name the one "
                "that it adapts (encoder.name, encoder.weights)"
            )
        return hashlib.sha256(f"{base}+{self.sha256}".encode()).hexdigest()


def save_adapter(folder: Path, tensors: Mapping[str, Tensor], *, card: Mapping[str, Any]) -> None:
    """Writes an adapter directory, whole or not at all.

    Args:
        folder: the directory; an earlier one is replaced.
        tensors: of every adapted layer, its name with ``DOWN`` and with ``UP``.
        card: frozen_encoder, frozen_encoder_sha256, frozen_encoder_licence, rank, alpha, and what else is known.
    """
    with atomic_folder(folder) as temporary:
        save_tensors(temporary / WEIGHTS_FILE, tensors)
        write_json(temporary / CONFIG_FILE, {"schema_version": SCHEMA_VERSION, "form": FORM, **card})
        write_text(temporary / CARD_FILE, _readme(card, tensors))


def find_adapter(folder: Path) -> Adapter:
    """An adapter directory.

    Raises:
        DataError: none, or one that is damaged.
    """
    path = folder / CONFIG_FILE
    try:
        card, sha256 = read_json(path), file_sha256(folder / WEIGHTS_FILE)
    except OSError:
        raise DataError(f"encoder.adapter = {folder}: no adapter directory ({CONFIG_FILE}, {WEIGHTS_FILE})") from None
    except BoundsError as error:
        raise DataError(f"{path}: not valid JSON: {error}; {_REMEDY}") from None
    wanted: dict[str, Any] = {"frozen_encoder": str, "frozen_encoder_sha256": str, "rank": int, "alpha": (int, float)}
    wrong = [key for key, kind in wanted.items() if not isinstance(card, dict) or not isinstance(card.get(key), kind)]
    if wrong or card["rank"] < 1 or card.get("schema_version") != SCHEMA_VERSION:
        raise DataError(f"{path}: is no card of an adapter of this version ({some(wrong) or 'rank'}); {_REMEDY}")
    return Adapter(folder, card, sha256)


def adapted(encoder: FrozenEncoder, adapter: Adapter) -> TorchEncoder:
    """The frozen encoder with an adapter's layers added to its own, under a name and a hash of its own.

    Raises:
        ConfigError: an encoder that is no network of torch.
        DataError: an adapter of another encoder, or a damaged one.
    """
    network = torch_network(encoder)
    sha256 = adapter.adapted_sha256(network.sha256)
    path = adapter.folder / WEIGHTS_FILE
    _, tensors = read_tensors(path, remedy=_REMEDY)
    refuse_not_finite(tensors, where=str(path))
    add_layers(network.module, tensors, scale=adapter.card["alpha"] / adapter.card["rank"], where=str(path))
    network.name, network.sha256 = f"{network.name}+{FORM}", sha256
    return network


def torch_network(encoder: FrozenEncoder) -> TorchEncoder:
    """The encoder, if adapters can be put into it.

    Raises:
        ConfigError: an ONNX file or a Python object of the user's.
    """
    if isinstance(encoder, TorchEncoder):
        return encoder
    raise ConfigError(
        f"encoder {encoder.name}: adapters are for networks of timm or transformers and for `embedded`; "
        "an ONNX file or a Python object has no layers to adapt"
    )


@torch.no_grad()
def add_layers(module: nn.Module, tensors: Mapping[str, Tensor], *, scale: float, where: str) -> None:
    """Adds ``scale * B @ A`` to the weight of every layer that ``tensors`` name.

    Raises:
        DataError: a layer that is not there, or of another shape.
    """
    layers = {name.removesuffix(DOWN) for name in tensors if name.endswith(DOWN)}
    known = dict(module.named_modules())
    if not layers or {f"{name}{end}" for name in layers for end in (DOWN, UP)} != set(tensors):
        raise DataError(f"{where}: its tensors are no pairs of {DOWN[1:]} and {UP[1:]}; {_REMEDY}")
    for name in sorted(layers):
        down, up = tensors[f"{name}{DOWN}"].flatten(1), tensors[f"{name}{UP}"].flatten(1)
        weight = getattr(known.get(name), "weight", None)
        fits = down.ndim == up.ndim == 2 and up.shape[1] == down.shape[0]
        if weight is None or not fits or weight.shape.numel() != up.shape[0] * down.shape[1]:
            raise DataError(f"{where}: {name} is no layer of this network, or of another shape; {_REMEDY}")
        weight += scale * (up @ down).view_as(weight).to(weight)


def _readme(card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    layers = sorted(name.removesuffix(DOWN) for name in tensors if name.endswith(DOWN))
    sections = ", ".join(card.get("train_sections", ())) or "unknown"
    name, licence = card["frozen_encoder"], card.get("frozen_encoder_licence") or "unknown"
    return f"""# Adapter (LoRA) of {name}, taught by gene expression

Low-rank additions (rank {card["rank"]}, alpha {card["alpha"]}) to {len(layers)} layers of the frozen encoder **{name}**
(weights sha256 `{card["frozen_encoder_sha256"]}`, licence **{licence}**, whose terms it inherits), trained on sections
{sections} by hage-transfer. The frozen weights are not in here.

`hage encode patches RECIPE --set encoder.name={name} --set encoder.adapter=THIS_FOLDER`

Layers: {", ".join(layers)}.

For research, not for diagnosis. Compare with the frozen encoder's own features before you believe in it.
"""
