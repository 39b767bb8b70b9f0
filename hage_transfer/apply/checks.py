"""What a classifier may be applied to: features of its own encoder, at its own resolution, on terms that are known."""

import logging
from collections.abc import Mapping
from math import isclose
from pathlib import Path
from typing import Any

from hage_transfer.apply.classifier import Classifier
from hage_transfer.data.feature_layouts import FeatureSource
from hage_transfer.data.feature_layouts.recorded import is_unknown
from hage_transfer.errors import DataError
from hage_transfer.models.sharing import check_licence

log = logging.getLogger(__name__)

_SAME_SCALE = 0.01


def check_terms(classifier: Classifier, *, allowed: bool) -> None:
    """Refuses a directory whose frozen encoder's licence forbids derivatives or is not known, unless ``allowed``.

    A directory that still lies in the run that made it, whose predictions it names by hash, is its maker's own.

    Raises:
        SharingError: see above.
    """
    if classifier.own_run is None:
        check_licence(licence_card(classifier.facts), folder=classifier.folder, allow_derivative=allowed, act="applied")


def licence_card(facts: Mapping[str, Any]) -> dict[str, Any]:
    """A classifier's licence as ``check_licence`` reads it."""
    licence = facts.get("licence") or {}
    return {"frozen_encoder": licence.get("encoder"), "frozen_encoder_licence": licence.get("licence")}


def check_features(source: FeatureSource, classifier: Classifier) -> None:
    """Refuses features that are not of the classifier's encoder, resolution, tile and width.

    Raises:
        DataError: the first that differs is named, with what was met and wanted.
    """
    wanted, meta, path = classifier.facts["features"], source.meta, source.path
    for_encoder = f"the classifier takes {wanted['encoder']} (weights {wanted['encoder_sha256'][:12]})"
    if is_unknown(meta.encoder_sha256) and not is_unknown(wanted["encoder_sha256"]):
        raise DataError(
            f"{path}: records no hash of its encoder's weights ({meta.encoder}), and {for_encoder}; if they are the "
            f"same, say so: encoder_sha256={wanted['encoder_sha256']}"
        )
    if meta.encoder_sha256 != wanted["encoder_sha256"] and not is_unknown(wanted["encoder_sha256"]):
        raise DataError(
            f"{path}: features of {meta.encoder} (weights {meta.encoder_sha256[:12]}), and {for_encoder}; encode the "
            "slides with that encoder"
        )
    if is_unknown(wanted["encoder_sha256"]) and meta.encoder != wanted["encoder"]:
        raise DataError(
            f"{path}: features of {meta.encoder}, the classifier takes {wanted['encoder']}; encode them alike"
        )
    _check_scale(source, wanted, classifier)
    for name, met in (("views", meta.views), ("surround", meta.surround), ("width", source.width)):
        if met != wanted[name]:
            raise DataError(f"{path}: {name} is {met}, the classifier takes {wanted[name]}; encode them alike")


def tell_trust(classifier: Classifier) -> None:
    """Warns where no weights are recorded that features could be held against."""
    if is_unknown(classifier.facts["features"]["encoder_sha256"]):
        log.warning(
            "%s: was trained on features that do not record their encoder's weights; that these are of the same "
            "encoder is taken on trust (`convert` records it: encoder_sha256=)",
            classifier.folder,
        )


def _check_scale(source: FeatureSource, wanted: Mapping[str, Any], classifier: Classifier) -> None:
    meta, path = source.meta, source.path
    reading = (classifier.facts["reading"] or {}).get("data", {})
    if not reading.get("tile_level0_px"):  # CLAM's tiles are of level-0 pixels, whatever these are
        _check_mpp(path, meta.mpp_um_per_px, wanted["mpp_um_per_px"])
        magnification = source.coord_attributes.get("target_magnification")
        if meta.mpp_um_per_px is None and magnification != wanted["magnification"]:
            raise DataError(
                f"{path}: tiles at magnification {magnification}, the classifier takes {wanted['magnification']}; "
                "encode them alike"
            )
    names = ("patch_size_px", "patch_size_level0_px") if meta.mpp_um_per_px is None else ("patch_size_px",)
    for name in names:
        met, size = getattr(meta, name), wanted[name]
        if met and size and met != size and not (name == "patch_size_level0_px" and wanted["magnification"]):
            raise DataError(f"{path}: {name} is {met}, the classifier takes {size}; encode the slides alike")


def _check_mpp(path: Path, met: float | None, wanted: float | None) -> None:
    if met is None and wanted is not None:
        raise DataError(
            f"{path}: records no um per px, and the classifier takes tiles at {wanted:g}; if these are, say so: "
            f"mpp_um_per_px={wanted:g}"
        )
    if met is not None and wanted is None:
        raise DataError(
            f"{path}: tiles at {met:g} um per px, and the classifier was trained on tiles whose um per px is not known"
        )
    if met is not None and wanted is not None and not isclose(met, wanted, rel_tol=_SAME_SCALE):
        raise DataError(
            f"{path}: tiles at {met:g} um per px, the classifier takes {wanted:g}; encode the slides at that resolution"
        )
