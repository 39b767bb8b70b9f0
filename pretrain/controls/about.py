"""The controls that a gain downstream must stand beside: their names, and what their model cards say."""

from typing import Any

from hage_transfer.pretrain.trial_files import SHUFFLED

ABOUT = {
    "frozen_standardised": "Each frozen feature less its mean over the training spots, divided by its standard "
    "deviation there: the first step of GE alone, which needs no gene.",
    "untrained": "GE as it is before its first step of training, of the same width, start and feature scale as the "
    "trial that it stands beside: what its form and random weights give.",
    "pca": "Frozen features whitened over the training spots (principal components of unit variance), as wide as GE "
    "or as the features allow: a linear map that no gene taught.",
    "expression": "The panel's expression as reduced-rank ridge predicts it from the frozen features, its penalty and "
    "rank chosen inside the training sections: what genes give without HAGE.",
    SHUFFLED: "HAGE trained by the same recipe, for as many epochs as the trial that it stands beside, on expression "
    "shuffled over the spots of each section, so that image and genes no longer belong together.",
}
CHEAP = tuple(name for name in ABOUT if name != SHUFFLED)
"""Those that cost next to nothing, and are made unless a config says no."""


def card_of(name: str) -> dict[str, Any]:
    """What a control's ``config.json`` says besides what every encoder's does."""
    return {"made_by": name, "role": "control", "about": ABOUT[name]}
