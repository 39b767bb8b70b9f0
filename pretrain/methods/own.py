"""A pretraining system of the user's own, as a Python object beside HAGE and the compared ones."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from hage_transfer.code_hash import object_sha256
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.pretrain.config import OWN_PREFIX, is_taken
from hage_transfer.pretrain.dataset import FoldData
from hage_transfer.pretrain.methods.base import Method, Trained

_WANTED = (
    "a system has a `name` and a `fit` that is given a Task and gives a Trained (hage_transfer.pretrain.methods.base); "
    "`title`, `reference`, `stochastic`, `calibrated` and `embedding` may be left out"
)


def own_method(system: Any) -> tuple[str, Method]:
    """What ``methods`` of a config says of a user's object (its name and hash), and the object as a method.

    Raises:
        ConfigError: no system, or a name that results have already.
    """
    name, fit = getattr(system, "name", None), getattr(system, "fit", None)
    if not isinstance(name, str) or not callable(fit) or isinstance(system, type):
        raise ConfigError(f"methods: {system!r:.80} is no system; {_WANTED}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name) or is_taken(name):
        raise ConfigError(f"methods: a system of the name {name!r}; give it a word of its own")
    method = Method(
        name=name,
        title=str(getattr(system, "title", name)),
        reference=str(getattr(system, "reference", "given in Python")),
        fit=fit,
        stochastic=bool(getattr(system, "stochastic", True)),
        calibrated=bool(getattr(system, "calibrated", False)),
        embedding=str(getattr(system, "embedding", "")),
    )
    return f"{OWN_PREFIX}{name}:{object_sha256(system)[:16]}", method


def given_method(name: str, own: Mapping[str, Method]) -> Method:
    """The object that a config's ``own:`` name means.

    Raises:
        ConfigError: it was not given.
    """
    if name not in own:
        raise ConfigError(
            f"methods: {name} is a system that was given in Python, and it was not given now; give it (methods=[...]), "
            "or install it under the entry points hage_transfer.pretraining"
        )
    return own[name]


def check_trained(trained: object, data: FoldData, method: Method) -> Trained:
    """What a fit gave, if it is what is wanted.

    Raises:
        DataError: something else, of another shape, or not finite.
    """
    if not isinstance(trained, Trained):
        raise DataError(f"{method.name}: its fit gave {type(trained).__name__}; {_WANTED}")
    for part, wanted in (("train", data.train.target.shape), ("test", data.test.target.shape)):
        found = np.asarray(getattr(trained, part))
        if found.shape != wanted or found.dtype.kind != "f" or not np.isfinite(found).all():
            raise DataError(
                f"{method.name}: its {part} predictions are {found.dtype} of shape {found.shape}; wanted finite "
                f"numbers of shape {wanted}, spots by genes"
            )
    return trained
