"""What is odd about a set of patches: several sizes, other shapes than a square, several resolutions."""

import logging
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger(__name__)

_SAME_SCALE = _SAME_SIZE = 1.05


def tell_sizes(where: Path, keys: Sequence[str], sizes: Sequence[tuple[int, int]]) -> None:
    """Warns of whole images of several sizes, which become one size and so several magnifications, or of no square.

    Args:
        where: of the set.
        keys: names of the images.
        sizes: width and height of each.
    """
    sides = [min(size) for size in sizes]
    small, large = sides.index(min(sides)), sides.index(max(sides))
    if sides[large] > _SAME_SIZE * sides[small]:
        log.warning(
            "%s: images of several sizes, from %s (%d x %d px) to %s (%d x %d px); each is scaled to what the encoder "
            "takes, so that tissue is seen at several magnifications; cut tiles of one size (data.tile_px)",
            where, keys[small], *sizes[small], keys[large], *sizes[large],
        )  # fmt: skip
    oblong = [place for place, size in enumerate(sizes) if max(size) > _SAME_SIZE * min(size)]
    if oblong:
        log.warning(
            "%s: %d of %d images are no squares (first: %s, %d x %d px); an encoder sees the middle of them; cut tiles "
            "(data.tile_px) to see all",
            where, len(oblong), len(sizes), keys[oblong[0]], *sizes[oblong[0]],
        )  # fmt: skip


def tell_resolutions(where: Path, recorded: Sequence[tuple[str, float]]) -> None:
    """Warns of images of several resolutions, which are all read pixel by pixel.

    Args:
        where: of the set.
        recorded: name and um per px of each image that records it.
    """
    if not recorded:
        return
    fine, coarse = (choose(recorded, key=lambda one: one[1]) for choose in (min, max))
    if coarse[1] > _SAME_SCALE * fine[1]:
        log.warning(
            "%s: images record several resolutions, from %.3g (%s) to %.3g um per px (%s), and are read pixel by "
            "pixel; resample them to one",
            where, fine[1], fine[0], coarse[1], coarse[0],
        )  # fmt: skip
