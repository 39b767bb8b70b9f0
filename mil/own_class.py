"""A class of the user's own as jobs name it, without torch: its name, the hash of its code, whether it is there."""

from collections.abc import Callable
from typing import Any

from hage_transfer.code_hash import code_sha256, title_of
from hage_transfer.errors import ConfigError
from hage_transfer.mil.kinds import OWN_PREFIX

__all__ = ["MakeClassifier", "check_own", "code_sha256", "own_kind", "title_of"]
MakeClassifier = Callable[..., Any]
"""A class of ``nn.Module``, or a function that makes one, of (width of a tile's features, number of classes)."""


def own_kind(make: object) -> str:
    """What `model.kind` says of a class."""
    return f"{OWN_PREFIX}{title_of(make)}"


def check_own(kind: str, own: MakeClassifier | None) -> None:
    """Refuses a kind that only Python can give, where Python did not.

    Raises:
        ConfigError: the class is missing, or is another.
    """
    if kind.startswith(OWN_PREFIX) and (own is None or own_kind(own) != kind):
        met = "it was not given" if own is None else f"{own_kind(own)} was given"
        raise ConfigError(
            f"model.kind = {kind}: a class of the user's own, and {met}; give it in Python (model=...), or install it "
            "under the entry points hage_transfer.bag_classifiers"
        )
