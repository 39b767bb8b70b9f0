"""Everything random in training, named by seed, epoch and slide: equal for all folds, the same wherever it is drawn.

A fold's draws thus depend neither on which other folds train beside it, nor on which other slides the label table has,
nor on what was drawn before; and a run that is resumed needs no state of a generator.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hage_transfer.running.devices import to_device

_LEVELS = 1 << 16


def seed_of(*parts: int | str) -> int:
    """A seed, from 0 to 2^63 - 1, that follows from some numbers and names alone."""
    return int.from_bytes(_digest(*parts)) >> 1


def generator_of(*parts: int | str) -> torch.Generator:
    """A generator that follows from some numbers and names alone."""
    return torch.Generator().manual_seed(seed_of(*parts))


def epoch_order(slides: Sequence[str], *, seed: int, epoch: int) -> list[int]:
    """The places of all slides in an epoch's order, in which any two stand alike whatever others there are.

    A fold passes over those that it does not train on.
    """
    return sorted(range(len(slides)), key=lambda place: _digest(seed, epoch, slides[place]))


def _digest(*parts: int | str) -> bytes:
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()


def n_kept_tiles(n_tiles: int, *, share_dropped: float, most: int | None) -> int:
    """How many tiles every visit of a bag sees: at least one."""
    n_kept = max(round(n_tiles * (1 - share_dropped)), 1)
    return n_kept if most is None else min(n_kept, most)


def kept_tiles(n_tiles: int, n_kept: int, *, generator: torch.Generator) -> Int[np.ndarray, " kept"] | None:
    """Which tiles a visit sees, ascending; None: all of them."""
    if n_kept == n_tiles:
        return None
    return torch.randperm(n_tiles, generator=generator)[:n_kept].sort().values.numpy()


@dataclass(frozen=True)
class Dropout:
    """Which units of which layers a visit keeps, for every tile of a bag.

    Attributes:
        masks: by layer.
        share_kept: by which what is kept is divided.
    """

    masks: Mapping[str, Bool[Tensor, "tile width"]]
    share_kept: float

    @classmethod
    def draw(cls, widths: Mapping[str, int], n_tiles: int, *, p: float, seed: int) -> "Dropout":
        """Draws masks. 16 random bits a unit: its chance is ``p`` to the nearest of 65,536 levels.

        Bits are NumPy's (SFC64), and it compares them: torch's take four times as long on a CPU.
        """
        level, bits = round(p * _LEVELS), np.random.SFC64(seed)
        masks = {}
        for name, width in widths.items():
            words = bits.random_raw(-(-n_tiles * width // 4)).view(np.uint16)[: n_tiles * width]
            masks[name] = torch.from_numpy((words >= level).reshape(n_tiles, width))
        return cls(masks, 1 - level / _LEVELS)

    @classmethod
    def joined(cls, parts: "Sequence[Dropout]") -> "Dropout":
        """Of several bags, one after the other."""
        first = parts[0]
        return cls({name: torch.cat([one.masks[name] for one in parts]) for name in first.masks}, first.share_kept)

    def kept(
        self, places: slice | Int[Tensor, " chosen"], device: torch.device
    ) -> dict[str, Float[Tensor, "chosen width"]]:
        """Factors of some tiles' units: 0, or 1 / (share kept). Places of the device are looked up there."""
        is_there = isinstance(places, Tensor) and places.device == device
        masks = {
            name: to_device(mask, device)[places] if is_there else mask[places] for name, mask in self.masks.items()
        }
        bytes_of = {name: to_device(mask, device).view(torch.int8) for name, mask in masks.items()}
        return {name: one.float().div_(self.share_kept) for name, one in bytes_of.items()}  # a fifth of bool's time


@contextmanager
def fixed_draws(seed: int, device: torch.device) -> Iterator[None]:
    """Draws of the global generators (torch's, NumPy's) inside follow from ``seed``; afterwards they are as before.

    For code of others that draws from them.
    """
    before = np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(before)
