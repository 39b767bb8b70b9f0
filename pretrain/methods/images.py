"""What stands between a spot's image and a system's own layers: frozen features, or a network that trains on pixels."""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from hage_transfer.encoders.weights import load_strictly, read_state
from hage_transfer.errors import ConfigError, WeightsError, nearest
from hage_transfer.models.blocks import Standardise
from hage_transfer.pretrain.config import PIXELS_SUFFIX, PixelSettings
from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.methods.base import Method, Task, Trained

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_AT_A_TIME = 128
TURNS = 8
"""Quarter turns, with and without a flip."""


def image_side(task: Task, *, flat: bool = False) -> tuple[nn.Module, int]:
    """A module from what the task gives of a spot's image to numbers, and how many.

    Args:
        task: the trial.
        flat: on pixels, the pixels themselves (HisToGene), not a network's features.
    """
    rows = task.data.train.features
    if not task.pixels:
        return Standardise(torch.from_numpy(rows[task.rows])), rows.shape[1]
    pixels = Pixels(turned=task.config.pixels.turns)
    if flat:
        return nn.Sequential(pixels, nn.Flatten()), int(rows[0].size)
    network = image_network(task.config.pixels)
    return InParts(nn.Sequential(pixels, network)), network.num_features


class Pixels(nn.Module):
    """RGB patches to ImageNet's scale, channels first; while training, each turned and flipped at random.

    Args:
        turned: whether they are.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *, turned: bool) -> None:
        super().__init__()
        self.turned = turned
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(3, 1, 1), persistent=False)

    def forward(self, patches: UInt8[Tensor, "batch side side 3"]) -> Float[Tensor, "batch 3 side side"]:
        """Scaled patches."""
        if self.turned and self.training:
            patches = randomly_turned(patches)
        return (patches.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std


def randomly_turned(patches: UInt8[Tensor, "batch side side 3"]) -> UInt8[Tensor, "batch side side 3"]:
    """Each patch after a turn that torch's generator draws."""
    drawn, patches = torch.randint(TURNS, (len(patches),)), patches.clone()
    for turn in range(1, TURNS):
        rows = (drawn == turn).nonzero()[:, 0].to(patches.device)
        patches[rows] = turned(patches[rows], turn)
    return patches


def turned(patches: UInt8[Tensor, "batch side side 3"], turn: int) -> UInt8[Tensor, "batch side side 3"]:
    """Patches after ``turn % 4`` quarter turns; from 4 on flipped as well."""
    found = torch.rot90(patches, turn % 4, dims=(1, 2))
    return found.flip(2) if turn >= 4 else found


class InParts(nn.Module):
    """A network that takes few images at a time where no gradient is wanted, so that memory is bounded."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Float[Tensor, "batch feature"]:
        """The network's output."""
        if self.training or len(images) <= _AT_A_TIME:
            return self.network(images)
        return torch.cat([self.network(part) for part in images.split(_AT_A_TIME)])


def image_network(settings: PixelSettings) -> Any:
    """A network of timm without its classifier, of random weights or of a local file; never of the net.

    Raises:
        ConfigError: no network of this name.
        WeightsError: no such file, or weights of another network.
    """
    import timm  # seconds, and what reads features does not need it

    if not timm.is_model(settings.network):
        near = nearest(settings.network, timm.list_models())
        raise ConfigError(f"pixels.network = {settings.network}: no network of timm; nearest: {', '.join(near)}")
    network: Any = timm.create_model(settings.network, pretrained=False, num_classes=0)
    if settings.weights is not None:
        path = settings.weights
        if not path.is_file():
            raise WeightsError(f"pixels.weights = {path}: no such file")
        head = network.pretrained_cfg.get("classifier") or ()
        heads = tuple(f"{one}." for one in ((head,) if isinstance(head, str) else head))
        state = {key: value for key, value in read_state(path).items() if not key.startswith(heads or ("\0",))}
        load_strictly(network, state, name=settings.network, path=path)
    return network


def on_pixels(method: Method, *, learning_rate: float, reference: str) -> Method:
    """The system with its image network trained on cached patches; ``learning_rate`` where the config gives none."""
    name = f"{method.name}{PIXELS_SUFFIX}"
    title = f"{method.title.partition(' (')[0]} (pixel-level, {reference})"
    fit = partial(_fit_on_pixels, method=method, learning_rate=learning_rate)
    return replace(method, name=name, title=title, fit=fit, embedding="")


def _fit_on_pixels(task: Task, *, method: Method, learning_rate: float, **given: Any) -> Trained:
    data = task.data
    shown = replace(data, train=shown_as_patches(data.train), test=shown_as_patches(data.test))
    rate = task.config.pixels.learning_rate or learning_rate
    return method.fit(replace(task, data=shown, pixels=True), **{"learning_rate": rate, **given})


def shown_as_patches(spots: Spots) -> Spots:
    """Spots whose features are their patches."""
    if spots.patches is None:
        raise ValueError("the spots have no patches")
    return replace(spots, features=spots.patches)
