"""A bag classifier by its name, by torchmil's, or of a user's own class, with the sizes that it takes."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hage_transfer.errors import ConfigError
from hage_transfer.extensions import load_extension
from hage_transfer.mil.kinds import check_kind, is_installed, torchmil_name
from hage_transfer.mil.models.abmil import ABMIL
from hage_transfer.mil.models.clam import ClamMB, ClamSB
from hage_transfer.mil.models.own import OwnMIL, kind_of
from hage_transfer.mil.models.pooling import MaxMIL, MeanMIL
from hage_transfer.mil.models.tilewise import TilewiseMIL
from hage_transfer.mil.models.torchmil_models import TorchmilMIL
from hage_transfer.mil.models.whole_bag import WholeBagMIL
from hage_transfer.mil.own_class import MakeClassifier, check_own

BagClassifier = TilewiseMIL | WholeBagMIL
MODELS: Mapping[str, Callable[..., TilewiseMIL]] = {
    "abmil": ABMIL,
    "clam_sb": ClamSB,
    "clam_mb": ClamMB,
    "mean": MeanMIL,
    "max": MaxMIL,
}
"""This project's own: name of `model.kind` to what makes it."""


@dataclass(frozen=True)
class ChosenClassifier:
    """A bag classifier that a caller chose.

    Attributes:
        kind: for `model.kind`.
        make: the user's class; None: the kind says it all.
    """

    kind: str
    make: MakeClassifier | None = None


def bag_classifier(model: str | MakeClassifier) -> ChosenClassifier:
    """What a name, a class of ``nn.Module`` or a function that makes one stands for.

    Raises:
        ConfigError: neither; the nearest name is given.
    """
    if not isinstance(model, str):
        return ChosenClassifier(kind_of(model), model)
    try:
        return ChosenClassifier(check_kind(model))
    except ValueError as error:
        raise ConfigError(f"model = {model}: {error}") from None


def build_model(
    kind: str, feature_dim: int, *, n_classes: int, own: MakeClassifier | None = None, **sizes: Any
) -> BagClassifier:
    """A classifier with new weights; sizes that its kind does not have are left aside.

    Args:
        kind: see ``bag_classifier``.
        feature_dim: width of a tile's features.
        n_classes: of the set.
        own: the user's class, where the kind is one.
        sizes: of ``MilModelSettings.sizes``.

    Raises:
        ConfigError: a kind whose library is not installed or whose class was not given; sizes that do not go with it.
    """
    check_own(kind, own)
    options = sizes.pop("options", {})
    if is_installed(kind):
        own = load_extension("bag_classifiers", kind)
    if own is not None:
        return OwnMIL(own, feature_dim, n_classes=n_classes, **options)
    name = torchmil_name(kind)
    if name is not None:
        return TorchmilMIL(name, feature_dim, n_classes=n_classes, options=options, **sizes)
    make = MODELS[kind]
    wanted = inspect.signature(ClamSB if make is ClamMB else make).parameters
    taken = {name: size for name, size in sizes.items() if name in wanted and name != "n_branches"}
    return make(feature_dim, n_classes=n_classes, **taken)
