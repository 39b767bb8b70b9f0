"""A bag classifier by its name, with the sizes that it takes."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from mil.models.abmil import ABMIL

MODELS: Mapping[str, Callable[..., nn.Module]] = {"abmil": ABMIL}
"""Name of `model.kind` to what makes it."""


def build_model(kind: str, feature_dim: int, *, n_classes: int, **sizes: Any) -> nn.Module:
    """A classifier with new weights; sizes that its kind does not have are left aside."""
    make = MODELS[kind]
    wanted = inspect.signature(make).parameters
    return make(feature_dim, n_classes=n_classes, **{name: size for name, size in sizes.items() if name in wanted})
