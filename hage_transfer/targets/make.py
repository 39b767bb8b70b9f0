"""A target again from what a checkpoint or results keep of it."""

from collections.abc import Mapping
from typing import Any

from hage_transfer.errors import DataError
from hage_transfer.targets.base import Target


def target_of(facts: Mapping[str, Any] | None) -> Target | None:
    """The target of ``Target.facts``; None for classes.

    Raises:
        DataError: no such target.
    """
    if not facts:
        return None
    from hage_transfer.targets.multilabel import MultiLabel  # torch, which classes need not
    from hage_transfer.targets.ordinal import Ordinal
    from hage_transfer.targets.regression import Regression
    from hage_transfer.targets.survival import Cox, Hazards

    tree = {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
    kind = tree.pop("kind", None)
    makers: dict[Any, Any] = {"regression": Regression, "ordinal": Ordinal, "multilabel": MultiLabel}
    makers["survival"] = Hazards if "bins" in tree else Cox
    try:
        return makers[kind](**tree)
    except (KeyError, TypeError) as error:
        raise DataError(f"target {kind!r} is none of {', '.join(makers)} ({error}); made by another version?") from None
