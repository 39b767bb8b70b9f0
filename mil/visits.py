"""What an epoch of training consists of: visits of bags, and which visits each fold takes together."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from hage_transfer.mil.criterion import BagLoss
from hage_transfer.mil.draws import Dropout

TILES_TOGETHER = 2048
"""So many rows that products are as fast as of more."""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A bag as an epoch sees it, the same for all folds.

    Attributes:
        tiles: those that it trains on.
        coords: where they lie, for classifiers that want to know.
        target: class of the bag.
        dropout: of its tiles, for classifiers that look at tiles one by one.
        seed: of the dropout of other classifiers.
        loss: of the bag; None: the classifier's own, of its class.
    """

    tiles: Float[Tensor, "tile feature"]
    coords: Int[Tensor, "tile 2"] | None
    target: int
    dropout: Dropout
    seed: int
    loss: BagLoss | None


@dataclass(frozen=True)
class Part:
    """Bags that some folds take together.

    Attributes:
        folds: whose next bags are the same.
        bags: in the epoch's order.
        step_size: bags of the step of Adam that they belong to.
        is_last: whether that step is made with them.
    """

    folds: list[int]
    bags: tuple[int, ...]
    step_size: int
    is_last: bool


def parts_of_epoch(
    order: Sequence[int], wanted: Mapping[int, Sequence[int]], n_tiles: Mapping[int, int], *, bags_per_step: int
) -> list[list[Part]]:
    """After each bag of an epoch, what is taken then.

    A step of a fold is made of its next ``bags_per_step`` bags, the epoch's last step of those that are left. Bags wait
    for their step, until ``TILES_TOGETHER`` tiles wait: small ones then share their products.

    Args:
        order: of the bags.
        wanted: the folds that train on each.
        n_tiles: of each.
        bags_per_step: at most.
    """
    left = Counter(fold for bag in order for fold in wanted[bag])
    waiting: defaultdict[int, list[int]] = defaultdict(list)
    sizes: dict[int, int] = {}
    missing: Counter[int] = Counter()
    parts = []
    for bag in order:
        now: dict[tuple[tuple[int, ...], int, bool], list[int]] = {}
        for fold in wanted[bag]:
            if not missing[fold]:
                sizes[fold] = missing[fold] = min(bags_per_step, left[fold])
            left[fold] -= 1
            missing[fold] -= 1
            waiting[fold].append(bag)
            if not missing[fold] or sum(n_tiles[one] for one in waiting[fold]) >= TILES_TOGETHER:
                taken = tuple(waiting.pop(fold)), sizes[fold], not missing[fold]
                now.setdefault(taken, []).append(fold)
        parts.append([Part(folds, *taken) for taken, folds in now.items()])
    return parts
