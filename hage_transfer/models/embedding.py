"""Embedding files: a feature file's rows through the encoder of an encoder directory, in the same file form."""

import logging
from dataclasses import replace
from functools import cache
from pathlib import Path

from hage_transfer.compare.guards import scale_fault
from hage_transfer.data.feature_file import FeatureMeta, Features
from hage_transfer.data.spot_context import spot_context
from hage_transfer.errors import DataError
from hage_transfer.models.checkpoint import encoder_sha256
from hage_transfer.models.model_card import is_control, made_by
from hage_transfer.models.stored_encoder import StoredEncoder

log = logging.getLogger(__name__)


def embed_features(features: Features, encoder: StoredEncoder, *, folder: Path, device: str = "cpu") -> Features:
    """The embeddings of every row, with the meta of an embedding file.

    Args:
        features: rows of the frozen encoder that ``encoder`` was trained on.
        encoder: in eval mode.
        folder: the encoder directory it was loaded from, for name and hash.
        device: torch device that computes.

    Raises:
        DataError: the rows come from another frozen encoder, other weights, or have another width.
    """
    features = _in_context(features, encoder, folder=folder)
    check_fits(features.meta, features.features.shape[1], encoder, folder=folder)
    rows = encoder.to(device).eval().embed(features)
    card = encoder.card
    meta = FeatureMeta(
        source=features.meta.source,
        encoder=f"{made_by(card)}:{folder.resolve().name}",
        encoder_sha256=encoder_sha256(folder),
        encoder_licence=features.meta.encoder_licence,
        patch_size_px=features.meta.patch_size_px,
        patch_size_level0_px=features.meta.patch_size_level0_px,
        mpp_um_per_px=features.meta.mpp_um_per_px,
        precision="float32",
        config_sha256=features.meta.config_sha256,
        frozen_encoder=features.meta.encoder,
        views=features.meta.views,
        surround=features.meta.surround,
        mpp_source=features.meta.mpp_source,
        trained_um_per_px=_trained_um_per_px(encoder),
        trained_on="\n".join(map(str, [*card.get("train_patients", []), *card.get("train_sections", [])])),
        control=made_by(card) if is_control(card) else "",
        synthetic=features.meta.synthetic,
    )
    return Features(rows, features.keys, features.coords, meta)


def _in_context(features: Features, encoder: StoredEncoder, *, folder: Path) -> Features:
    """Features of one slide with the context that the encoder was trained with; single patches have none."""
    context = encoder.card.get("context") or {}
    if not any(context.values()):
        return features
    if features.coords is None:
        wanted = ", ".join(f"{name} {value}" for name, value in context.items() if value)
        raise DataError(
            f"{folder}: was trained with context ({wanted}), which {features.meta.source} has not: its rows are single "
            "patches without coordinates; train without `context`, or embed slides"
        )
    return replace(features, features=spot_context(features.features, features.coords, **context))


def check_fits(meta: FeatureMeta, width: int, encoder: StoredEncoder, *, folder: Path) -> None:
    """Refuses rows that ``encoder`` was not trained on; errors as ``embed_features``."""
    wanted_name, wanted_hash = encoder.card.get("frozen_encoder"), encoder.card.get("frozen_encoder_sha256")
    if meta.frozen_encoder:
        raise DataError(f"{meta.source}: these are embeddings of {meta.encoder} already; give the frozen features")
    if "unknown" in (meta.encoder, meta.encoder_sha256.split(":")[0]):
        raise DataError(
            f"{meta.source}: its frozen encoder is not recorded; record it before embedding, with "
            "`convert(encoder_name=..., encoder_sha256=...)`"
        )
    if meta.encoder != wanted_name:
        raise DataError(
            f"{folder}: was trained on features of {wanted_name}, these ({meta.source}) are of {meta.encoder}; "
            f"encode them again: set encoder.name={wanted_name}"
        )
    if meta.encoder_sha256 != wanted_hash:
        raise DataError(
            f"{folder}: was trained with {wanted_name} weights {str(wanted_hash)[:12]}, these features ({meta.source}) "
            f"were made with {meta.encoder_sha256[:12]}; encode them again with the same weights"
        )
    if width != encoder.feature_dim:
        raise DataError(
            f"{folder}: takes features of width {encoder.feature_dim}, {meta.source} has {width}; encode with the "
            "settings that it was trained with (encoder.surround doubles the width)"
        )
    fault = scale_fault(meta, _trained_um_per_px(encoder), encoder=str(folder))
    if fault is not None:
        _warn_once(fault)


def _trained_um_per_px(encoder: StoredEncoder) -> float | None:
    """What an encoder's features were made at; directories of earlier versions do not say."""
    value = encoder.card.get("mpp_um_per_px")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None


@cache
def _warn_once(fault: str) -> None:
    log.warning("%s", fault)
