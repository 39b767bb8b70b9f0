"""Feature files of sections, slides, patch sets: each made once and kept while what decides its rows is the same."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hage_transfer.config import EncoderSettings, config_sha256
from hage_transfer.data.feature_file import FeatureMeta, read_meta, write_features
from hage_transfer.encoders.base import FrozenEncoder
from hage_transfer.encoders.extract import encode_images
from hage_transfer.encoders.registry import find_weights, load_encoder
from hage_transfer.encoders.surround import CentreAndSurround
from hage_transfer.encoders.views import AveragedViews
from hage_transfer.errors import ConfigError, InputError

log = logging.getLogger(__name__)

# (item's name, number of its images) -> called with the number of images done since
Track = Callable[[str, int], Callable[[int], None]]
_NAMED = 3


@dataclass(frozen=True)
class Rows:
    """The images of an item that is open, and what its feature file says of them.

    Attributes:
        images: iterable of uint8 RGB arrays, ``count`` of them.
        count: number of images.
        keys: row names, or None.
        coords: level-0 top-left of each, or None.
        patch_size_px: side that the encoder is given.
        patch_size_level0_px: side at level 0.
        mpp_um_per_px: resolution that the encoder is given; None where it is not known.
    """

    images: Any
    count: int
    keys: np.ndarray | None
    coords: np.ndarray | None
    patch_size_px: int
    patch_size_level0_px: int
    mpp_um_per_px: float | None


@dataclass(frozen=True)
class Item:
    """One feature file to be: ``inputs`` decide its rows together with the encoder, ``open`` gives them."""

    name: str
    path: Path
    inputs: Mapping[str, Any]
    open: Callable[[], AbstractContextManager[Rows]]


def encode_items(
    items: Sequence[Item],
    settings: EncoderSettings,
    *,
    device: str,
    overwrite: bool,
    track: Track,
    keep_going: bool = False,
) -> dict[str, str]:
    """Makes the feature files that are not there yet.

    A file that is there and was made of the same inputs by the same encoder is kept, and the log says so.

    Args:
        items: what to encode.
        settings: the frozen encoder; it is loaded only where something is left to do.
        device: see ``resolve_device``.
        overwrite: make all files anew.
        track: progress.
        keep_going: go on where an item fails, instead of raising.

    Returns:
        Reason of failure by item; empty unless ``keep_going``.

    Raises:
        ConfigError: a file is there that was made of other inputs.
        WeightsError: the encoder cannot be had.
        InputError: an item cannot be read (unless ``keep_going``).
    """
    weights_sha256 = find_weights(settings).sha256
    hashes = {item.name: _item_sha256(item, settings, weights_sha256) for item in items}
    left = [item for item in items if overwrite or not item.path.is_file()]
    if not overwrite:
        _refuse_stale([item for item in items if item.path.is_file()], hashes)
    if len(left) < len(items):
        log.info("%d of %d feature files are there already and are kept", len(items) - len(left), len(items))
    if not left:
        return {}
    encoder: FrozenEncoder = load_encoder(settings, device=device)
    if settings.surround:
        encoder = CentreAndSurround(encoder)
    if settings.views > 1:
        encoder = AveragedViews(encoder)
    log.info("encoder %s (licence %s): features may be used on the terms of its licence", encoder.name, encoder.licence)
    failures = {}
    for item in left:
        try:
            _encode_item(item, encoder, settings, hashes[item.name], track)
        except InputError as error:
            if not keep_going:
                raise
            failures[item.name] = "; ".join([str(error), *getattr(error, "__notes__", [])])
            log.error("%s failed: %s", item.name, failures[item.name])
    return failures


def _encode_item(item: Item, encoder: FrozenEncoder, settings: EncoderSettings, sha256: str, track: Track) -> None:
    with item.open() as rows:
        advance = track(item.name, rows.count)
        features = encode_images(encoder, rows.images, batch_size=settings.batch_size, advance=advance)
        meta = FeatureMeta(
            source=item.name,
            encoder=encoder.name,
            encoder_sha256=encoder.sha256,
            encoder_licence=encoder.licence,
            patch_size_px=rows.patch_size_px,
            patch_size_level0_px=rows.patch_size_level0_px,
            mpp_um_per_px=rows.mpp_um_per_px,
            precision=encoder.precision,
            config_sha256=sha256,
            views=settings.views,
        )
        write_features(item.path, features, meta, keys=rows.keys, coords=rows.coords)


def _item_sha256(item: Item, settings: EncoderSettings, weights_sha256: str) -> str:
    encoder = {"encoder": settings.name, "weights": weights_sha256, "precision": settings.precision}
    if settings.views > 1:
        encoder["views"] = str(settings.views)
    if settings.surround:
        encoder["surround"] = "yes"
    return config_sha256({**encoder, **item.inputs})


def _refuse_stale(items: Sequence[Item], hashes: Mapping[str, str]) -> None:
    stale = [item for item in items if read_meta(item.path).config_sha256 != hashes[item.name]]
    if stale:
        more = f" and {len(stale) - _NAMED} more" if len(stale) > _NAMED else ""
        raise ConfigError(
            f"{', '.join(str(item.path) for item in stale[:_NAMED])}{more}: made by another encoder, at another patch "
            "size or resolution, or of another image; pass --overwrite to encode anew, or --set features=..."
        )
