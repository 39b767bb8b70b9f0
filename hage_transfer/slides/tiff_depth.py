"""How many bits of deep samples hold the picture: by the file's record, else by the range of its values."""

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import tifffile

from hage_transfer.slides.samples import SAMPLES, SampleKind, bits_of_range
from hage_transfer.slides.sources import deep
from hage_transfer.slides.tiff_facts import segment_shape
from hage_transfer.slides.tiff_kind import recorded_bits
from hage_transfer.slides.tiff_segments import TiffSegments, planes_of

_LOOKED_AT_BYTES = 2**26


def settle_depth(
    kind: SampleKind, page: tifffile.TiffPage, segments: TiffSegments, *, ome_bits: int | None
) -> tuple[SampleKind, tuple[str, ...]]:
    """The kind with the bits that hold data, and notes.

    A record of all 16 bits is what writers put where they know nothing, so the values are looked at there too.

    Raises:
        DataError: damaged data.
    """
    if kind.bits <= 8 or kind.colour == "palette":
        return kind, ()
    said = [bits for bits in (ome_bits, recorded_bits(page)) if bits is not None and 8 <= bits < kind.bits]
    if said:
        largest_alpha = _largest(page, segments, SAMPLES[kind.colour])[1] if kind.alpha else 0
        alpha_bits = max(min(said), bits_of_range(largest_alpha))
        return replace(kind, bits=min(said), alpha_bits=alpha_bits), (deep(min(said), "its own record"),)
    if kind.bits < 16:
        return kind, (f"samples of {kind.bits} bits, of which the upper 8 are read",)
    colour, alpha = _largest(page, segments, SAMPLES[kind.colour])
    bits = bits_of_range(colour)
    return replace(kind, bits=bits, alpha_bits=bits_of_range(alpha)), (deep(bits, "its values"),)


def _largest(page: tifffile.TiffPage, segments: TiffSegments, colours: int) -> tuple[int, int]:
    """Largest sample of the colours and of alpha, over segments from all parts of the picture."""
    if (mapped := segments.mapped(page)) is not None:
        step = max(1, math.ceil(math.sqrt(page.nbytes / _LOOKED_AT_BYTES)))
        parts: Iterable[np.ndarray] = [mapped[::step, ::step]]
    else:
        count = len(page.databytecounts) // planes_of(page)
        size = math.prod(segment_shape(page)) * int(page.samplesperpixel) * 2
        chosen = np.linspace(0, count - 1, max(1, min(count, _LOOKED_AT_BYTES // size))).astype(int)
        found = (segments.samples(page, index) for index in np.unique(chosen).tolist())
        parts = (part for part in found if part is not None)
    largest = [(_max(part[..., :colours]), _max(part[..., colours:])) for part in parts]
    return max((one for one, _ in largest), default=0), max((other for _, other in largest), default=0)


def _max(values: np.ndarray) -> int:
    return int(values.max(initial=0))
