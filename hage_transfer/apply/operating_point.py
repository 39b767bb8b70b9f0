"""The threshold of a call, chosen on out-of-fold probabilities of the positive class alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
from jaxtyping import Bool, Float

from hage_transfer.errors import ConfigError

_CONFIDENCE = 0.95
Kind = Literal["youden", "sensitivity", "specificity", "cost", "threshold"]
_FORMS = (
    "youden, sensitivity=0.9, specificity=0.9, cost=5 (a missed positive counts five false alarms) or threshold=0.3"
)


@dataclass(frozen=True)
class OperatingPoint:
    """How a threshold is chosen.

    Attributes:
        kind: ``youden``: highest sensitivity + specificity; ``sensitivity``, ``specificity``: at least so much, at the
            best other one; ``cost``: least cost, at the training set's share of positives; ``threshold``: as given.
        value: of the last four: the wanted share; the cost of a missed positive in false alarms; the threshold.
    """

    kind: Kind = "youden"
    value: float = 0.0

    @classmethod
    def of(cls, given: "str | Mapping[str, float] | OperatingPoint") -> "OperatingPoint":
        """Of ``youden``, ``sensitivity=0.9`` or ``{"sensitivity": 0.9}``.

        Raises:
            ConfigError: another name, or a number out of range.

        >>> OperatingPoint.of("sensitivity=0.9")
        OperatingPoint(kind='sensitivity', value=0.9)
        """
        if isinstance(given, OperatingPoint):
            return given
        pairs = list(given.items()) if isinstance(given, Mapping) else [str(given).partition("=")[::2]]
        name, text = pairs[0] if len(pairs) == 1 else ("", "")
        try:
            value = float(text) if text != "" else 0.0
        except (TypeError, ValueError):
            value = math.nan
        shares = ("sensitivity", "specificity", "threshold")
        right = value > 0 if name == "cost" else 0 < value < 1 if name in shares else text == ""
        if name not in get_args(Kind) or not right or not math.isfinite(value):
            raise ConfigError(f"operating_point={given}: wanted {_FORMS}; shares lie between 0 and 1")
        return cls(cast(Kind, name), value)

    def __str__(self) -> str:
        return self.kind if self.kind == "youden" else f"{self.kind}={self.value:g}"

    def threshold(self, scores: Float[np.ndarray, " row"], is_positive: Bool[np.ndarray, " row"]) -> float:
        """The probability from which on a row is called positive.

        It lies half way between two neighbouring scores. Of n positives (negatives) a wanted sensitivity (specificity)
        takes so many that new ones reach it with 95% confidence, whatever the scores' distribution; where n is too
        small for that (below 29 for 0.9), all n. Reference: Wilks 1941 (one-sided tolerance limits by ranks).

        Raises:
            ConfigError: the rows hold no positive, or no negative.
        """
        if self.kind == "threshold":
            return self.value
        if is_positive.all() or not is_positive.any():
            raise ConfigError(f"operating_point={self}: the out-of-fold scores are of one class; give threshold=0.5")
        ordered = np.unique(scores)
        above = np.append(ordered[1:], max(1.0, np.nextafter(ordered[-1], 2)))  # a score of 1 can be left uncalled too
        between = (ordered + above) / 2
        places = np.concatenate([[0.0], np.where(between > ordered, between, above)])
        caught = len(scores[is_positive]) - np.searchsorted(np.sort(scores[is_positive]), places)
        cleared = np.searchsorted(np.sort(scores[~is_positive]), places)
        n, m = int(is_positive.sum()), int((~is_positive).sum())
        if self.kind == "sensitivity":
            return float(places[np.flatnonzero(caught >= _least(self.value, n))[-1]])
        if self.kind == "specificity":
            return float(places[np.flatnonzero(cleared >= _least(self.value, m))[0]])
        gain = caught / n + cleared / m if self.kind == "youden" else -(self.value * (n - caught) + (m - cleared))
        best = np.flatnonzero(gain >= gain.max() - 1e-12)
        return float(places[best[len(best) // 2]])


def _least(share: float, n: int) -> int:
    """So many of n, as fewer would be met by 95 of 100 draws of units that are right with no more than ``share``."""
    from scipy.stats import binom  # a second to load, and this module is the command line's

    return min(int(binom.ppf(_CONFIDENCE, n, share)) + 1, n)
