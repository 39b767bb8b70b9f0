"""What a map shows of a target: its numbers, and what they are in words."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from hage_transfer.targets.base import Target
from hage_transfer.targets.ordinal import Ordinal
from hage_transfer.targets.survival import Cox, Hazards


@dataclass(frozen=True)
class Shown:
    """A number that a map shows.

    Attributes:
        name: as a column.
        unit: as a legend.
    """

    name: str
    unit: str


def shown_numbers(target: Target, *, column: str) -> tuple[Shown, ...]:
    """Numbers that say what a target says of a slide or a tile; ``column`` is the table's, of a regression."""
    if isinstance(target, Cox):
        return (Shown("log_hazard", "log hazard from the training mean"),)
    if isinstance(target, Hazards):
        return (Shown("risk", f"risk: minus the intervals survived, of {target.bins}"),)
    if isinstance(target, Ordinal):
        ends = f"0 ({target.grades[0]}) to {len(target.grades) - 1} ({target.grades[-1]})"
        return (Shown("expected_grade", f"expected grade, {ends}"),)
    if target.kind == "regression":
        return (Shown("predicted", f"value of {column}"),)
    return tuple(Shown(name, name.replace("_", " of ", 1)) for name in target.score_names)


def shown_values(target: Target, scores: Float[np.ndarray, "row score"]) -> Float[np.ndarray, "row number"]:
    """``shown_numbers`` of the scores of one fold's model."""
    if isinstance(target, Ordinal):
        return scores @ np.arange(scores.shape[1])[:, None]
    return scores[:, :1] if isinstance(target, Cox | Hazards) else scores
