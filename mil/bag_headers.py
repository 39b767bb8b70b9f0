"""What feature files say of themselves, and whether those of one source go together."""

import hashlib
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hage_transfer.data.feature_file import FeatureMeta
from hage_transfer.data.feature_layouts import OPTIONS, open_features, unknown_facts
from hage_transfer.errors import DataError

Note = tuple[int, str]
"""Level and message for the log."""
_SCALES = ("mpp_um_per_px", "patch_size_level0_px", "target_magnification")


@dataclass(frozen=True)
class BagHeader:
    """What a file says of itself, its rows and width, and the magnification of its tiles where TRIDENT recorded it.

    ``is_own``: it carries this project's attributes. ``places``: hash of where its tiles lie, where it is said.
    """

    meta: FeatureMeta
    shape: tuple[int, int]
    is_own: bool
    magnification: float | None = None
    places: str = ""


def read_bag_header(path: Path) -> BagHeader:
    """What a feature file of any layout says of itself; errors as ``open_features``."""
    source = open_features(path)
    meta, is_own = source.meta, source.layout == "hage"
    scaled = is_own and meta.mpp_um_per_px is not None
    magnification = None if scaled else source.coord_attributes.get("target_magnification")
    places = "" if source.coords is None else hashlib.sha256(source.coords.tobytes()).hexdigest()
    return BagHeader(meta, (source.n_rows, source.width), is_own, magnification, places)


def unknown_notes(folder: Path, meta: FeatureMeta) -> list[Note]:
    """What the files do not say of their encoder."""
    unknown = [name for name in ("encoder", "encoder_licence") if name in unknown_facts(meta)]
    if not unknown:
        return []
    ways = ", ".join(OPTIONS[name] for name in unknown)
    note = f"{folder}: the files do not record {', '.join(unknown)}; one encoder is taken on trust"
    return [(logging.WARNING, f"{note} (`convert` records it: {ways})")]


def scale_notes(folder: Path, metas: Sequence[FeatureMeta]) -> list[Note]:
    """Whether tiles are at several resolutions."""
    known = [meta.mpp_um_per_px for meta in metas if meta.mpp_um_per_px is not None]
    if not known or max(known) <= 1.05 * min(known):
        return []
    note = f"{folder}: tiles of {metas[0].patch_size_level0_px} level-0 px are at {min(known):.3g} to {max(known):.3g}"
    remedy = "for one resolution set data.mpp_um_per_px and data.tile_level0_px=null"
    return [(logging.WARNING, f"{note} um/px, as the slides were scanned; {remedy}")]


def one_row_notes(folder: Path, shapes: Sequence[tuple[int, int]]) -> list[Note]:
    """Whether every slide has a row alone: then these are vectors of whole slides, of which no attention chooses."""
    if len(shapes) < 2 or any(n_rows > 1 for n_rows, _ in shapes):
        return []
    note = f"{folder}: every slide has one row, so these may be vectors of whole slides and no tiles"
    return [(logging.WARNING, f"{note}; attention has nothing to choose from")]


def twin_notes(folder: Path, paths: Sequence[Path], headers: Sequence[BagHeader]) -> list[Note]:
    """Whether slides are one under two names: as many tiles, at the same places, and the same rows."""
    alike: dict[tuple[int, str], list[Path]] = {}
    for path, header in zip(paths, headers, strict=True):
        alike.setdefault((header.shape[0], header.places), []).append(path)
    first: dict[tuple[int, str, bytes], Path] = {}
    met = [
        (first.setdefault((*places, _first_row(path)), path), path)
        for places, group in alike.items()
        if len(group) > 1
        for path in group
    ]
    twins = [pair for pair in met if pair[0] != pair[1] and _same_rows(*pair)]
    if not twins:
        return []
    one, other = (path.name for path in twins[0])
    note = f"{folder}: {one} and {other} hold the same features ({len(twins)} such pairs)"
    return [(logging.WARNING, f"{note}; one slide under two names counts twice, and may both train and test")]


def _first_row(path: Path) -> bytes:
    with open_features(path).open_rows() as rows:
        return rows(0, 1).tobytes()


def _same_rows(one: Path, other: Path) -> bool:
    blocks = zip(open_features(one).blocks(), open_features(other).blocks(), strict=True)
    return all(np.array_equal(*both) for both in blocks)


def _same_scale(header: BagHeader, first: BagHeader) -> bool:
    """Whether tiles are of one resolution, or all of as many level-0 pixels, as CLAM's are, whatever the slide's.

    TRIDENT's tiles are of one magnification, and of more level-0 pixels where the slide was scanned at a higher one.
    """
    meta, wanted = header.meta, first.meta
    if meta.mpp_um_per_px is not None and wanted.mpp_um_per_px is not None:
        if math.isclose(meta.mpp_um_per_px, wanted.mpp_um_per_px, rel_tol=1e-6):
            return True
    elif header.magnification is not None and first.magnification is not None:
        return header.magnification == first.magnification
    unscaled = meta.mpp_um_per_px is None and wanted.mpp_um_per_px is None
    unscaled = unscaled or meta.patch_size_px == meta.patch_size_level0_px
    return unscaled and meta.patch_size_level0_px == wanted.patch_size_level0_px


def check_alike(path: Path, header: BagHeader, first_path: Path, first: BagHeader) -> None:
    """Refuses a bag that was not made as the first was; config_sha256 also covers the slide, so it may differ."""
    if header.shape[1] != first.shape[1]:
        raise DataError(
            f"{path}: features have width {header.shape[1]}, those of {first_path.name} {first.shape[1]}; encode them "
            "alike"
        )
    facts, wanted = _facts(header), _facts(first)
    if _same_scale(header, first):
        facts = {name: value for name, value in facts.items() if name not in _SCALES}
    for name, met in facts.items():
        if met != wanted[name]:
            raise DataError(
                f"{path}: {name} is {str(met)[:40] or 'empty'}, that of {first_path.name} is "
                f"{str(wanted[name])[:40] or 'empty'}; bags of one source are encoded alike: encode them again"
            )


def _facts(header: BagHeader) -> dict[str, object]:
    """What bags of one source have in common; the last three (``_SCALES``) only where they are not of one scale."""
    names = "encoder", "encoder_sha256", "frozen_encoder", "patch_size_px", "precision", "views", "surround"
    found = {name: getattr(header.meta, name) for name in (*names, "mpp_um_per_px", "patch_size_level0_px")}
    return found | {"target_magnification": header.magnification}
