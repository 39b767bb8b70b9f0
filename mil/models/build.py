"""A bag classifier by its name, with the sizes that it takes."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from hage_transfer.mil.models.abmil import ABMIL
from hage_transfer.mil.models.clam import ClamMB, ClamSB
from hage_transfer.mil.models.pooling import MaxMIL, MeanMIL
from hage_transfer.mil.models.tilewise import TilewiseMIL
from hage_transfer.mil.models.transmil import TransMIL

BagClassifier = TilewiseMIL | TransMIL
MODELS: Mapping[str, Callable[..., BagClassifier]] = {
    "abmil": ABMIL,
    "clam_sb": ClamSB,
    "clam_mb": ClamMB,
    "mean": MeanMIL,
    "max": MaxMIL,
    "transmil": TransMIL,
}
"""Name of `model.kind` to what makes it."""


def build_model(kind: str, feature_dim: int, *, n_classes: int, **sizes: Any) -> BagClassifier:
    """A classifier with new weights; sizes that its kind does not have are left aside.

    Raises:
        ConfigError: a kind whose library is not installed.
    """
    make = MODELS[kind]
    wanted = inspect.signature(ClamSB if make is ClamMB else make).parameters
    taken = {name: size for name, size in sizes.items() if name in wanted and name != "n_branches"}
    return make(feature_dim, n_classes=n_classes, **taken)
