"""What is made of a slide's probabilities by training units alone: call, calibrated probability, doubt, abstention.

A slide's row depends on no other new slide, so that it is the same in any company.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from hage_transfer.apply.calibration import calibrated
from hage_transfer.apply.classifier import Classifier, what_of
from hage_transfer.apply.operating_point import OperatingPoint
from hage_transfer.errors import ConfigError

RANGE = 0.95
"""Share of training units that lie within what counts as the training range."""
REASONS = {
    "spread": "models disagree",
    "tile_distance": "tiles unlike training",
    "stain_distance": "stain unlike training",
}


@dataclass(frozen=True)
class Scored:
    """What the models and the cohort's summaries said of new units.

    Attributes:
        names: of slides, or keys of patches.
        probabilities: by every model.
        tiles: of each unit.
        tile_distance: from the training tiles; NaN where there is no summary.
        stain_distance: from the training slides' stain; NaN where pixels were not read.
        n_main: of the scores, the first, by whose spread models disagree; None: all.
    """

    names: tuple[str, ...]
    probabilities: Float[np.ndarray, "trial fold unit class"]
    tiles: np.ndarray
    tile_distance: Float[np.ndarray, " unit"]
    stain_distance: Float[np.ndarray, " unit"]
    n_main: int | None = None

    @property
    def mean(self) -> Float[np.ndarray, "unit class"]:
        """Over all models."""
        return np.asarray(self.probabilities.mean(axis=(0, 1)))

    @property
    def spread_over_trials(self) -> Float[np.ndarray, " unit"]:
        """Std over trials, mean over folds, as that of training units; NaN with one trial."""
        if len(self.probabilities) < 2:
            return np.full(len(self.names), np.nan)
        return np.asarray(self.probabilities[..., : self.n_main].std(axis=0).max(axis=2).mean(axis=0))


@dataclass(frozen=True)
class Rules:
    """How probabilities become calls.

    Attributes:
        point: chosen operating point; of more than two classes the likeliest is called.
        threshold: of the positive class; None likewise.
        abstain: share of training units that would be left to a person; None: every unit is called.
    """

    point: OperatingPoint
    threshold: float | None
    abstain: float | None

    @classmethod
    def of(cls, classifier: Classifier, point: OperatingPoint, abstain: float | None) -> "Rules":
        """The threshold by the classifier's out-of-fold scores.

        Raises:
            ConfigError: an operating point of more than two classes, or a share out of range.
        """
        if classifier.target is not None:
            if point.kind != "youden" or abstain is not None:
                said = f"operating_point={point}" if point.kind != "youden" else f"abstain={abstain:g}"
                what = what_of(classifier.facts)
                raise ConfigError(f"{said}: is of classes, and {classifier.folder} predicts {what}; leave it out")
            return cls(point, None, None)
        if abstain is not None and not (isinstance(abstain, int | float) and 0 <= abstain < 1):
            raise ConfigError(f"abstain={abstain}: a share of 0 to below 1, for example 0.1")
        if classifier.positive is None:
            if point.kind != "youden":
                names = ", ".join(classifier.classes)
                raise ConfigError(
                    f"operating_point={point}: is of two classes, and {classifier.folder} tells {names} apart; leave "
                    "it out"
                )
            return cls(point, None, abstain)
        scores, labels = out_of_fold(classifier)
        return cls(point, point.threshold(scores[:, classifier.positive], labels == classifier.positive), abstain)

    def called(self, probabilities: Float[np.ndarray, "unit class"], positive: int | None) -> np.ndarray:
        """Place of each unit's class."""
        if positive is None or self.threshold is None:
            return probabilities.argmax(axis=1)
        return np.where(probabilities[:, positive] >= self.threshold, positive, 1 - positive)


def out_of_fold(classifier: Classifier) -> tuple[Float[np.ndarray, "unit class"], np.ndarray]:
    """Out-of-fold probabilities of the training units that were tested, and their classes."""
    table = _tested(classifier)
    scores = table[[f"probability_{name}" for name in classifier.classes]].to_numpy(dtype=np.float64)
    return scores, np.array([classifier.classes.index(label) for label in table["label"]])


def decided(classifier: Classifier, scored: Scored, rules: Rules) -> pd.DataFrame:
    """A row a unit, in their order; docs/file-formats.md names the columns of `scores.csv`."""
    mean, positive = scored.mean, classifier.positive
    fitted = calibrated(mean, classifier.facts["calibration"], positive=positive)
    call = rules.called(mean, positive)
    shown = call if positive is None else np.full(len(call), positive)
    at = np.arange(len(call)), shown
    every, doubts = scored.probabilities.reshape(-1, *mean.shape), doubt_columns(classifier, scored)
    table = pd.DataFrame(
        {
            "slide" if classifier.task == "mil" else "key": scored.names,
            "probability": mean[at],
            "spread": every[:, at[0], at[1]].std(axis=0),
            "call": np.array(classifier.classes, dtype=object)[call],
            "calibrated": fitted[at],
            "abstained": _abstained(classifier, rules, fitted, call, doubts["doubt"].to_numpy()),
        }
    ).join(doubts)
    for place, name in enumerate(classifier.classes):
        table[f"probability_{name}"] = mean[:, place]
    for place, name in enumerate(classifier.classes if positive is None else ()):
        table[f"calibrated_{name}"] = fitted[:, place]
    return table


def doubt_columns(classifier: Classifier, scored: Scored) -> pd.DataFrame:
    """How far units lie from the training cohort, why, and among which of its units; what they are scored by."""
    away = pd.DataFrame(
        {
            "spread": scored.spread_over_trials,
            "tile_distance": scored.tile_distance,
            "stain_distance": scored.stain_distance,
        }
    )
    training = classifier.training[list(REASONS)]
    doubt, ratios = _doubt(away, training)
    table = pd.DataFrame({"doubt": doubt, "doubtful": doubt > 1, "why": _why(ratios, doubt)})
    table = table.join(away[["tile_distance", "stain_distance"]])
    for name in REASONS:
        table[f"{name.removesuffix('_distance')}_quantile"] = quantile(away[name], training[name])
    n_trials, n_folds = scored.probabilities.shape[:2]
    return table.assign(tiles=scored.tiles, models=n_trials * n_folds)


def _tested(classifier: Classifier) -> pd.DataFrame:
    table = classifier.training
    return table[table[f"probability_{classifier.classes[0]}"].notna()]


def _doubt(away: pd.DataFrame, training: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """How far each unit lies, 1 at the end of the training range; and in which way, in the same unit.

    Of the ways that are known on both sides, each is divided by what 95% of the training units keep within, and the
    largest counts; that again by what 95% of the training units keep within, so that 5% of such units are doubtful.
    """
    known = [name for name in REASONS if away[name].notna().any() and training[name].notna().any()]
    if not known:
        return np.full(len(away), np.nan), away[known]
    ends = training[known].quantile(RANGE).clip(lower=1e-12)
    end = float((training[known] / ends).max(axis=1).quantile(RANGE))
    ratios = away[known] / ends / max(end, 1e-12)
    return ratios.max(axis=1).to_numpy(), ratios


def _why(ratios: pd.DataFrame, doubt: np.ndarray) -> list[str]:
    if not ratios.shape[1]:
        return [""] * len(doubt)
    return ["; ".join(REASONS[str(name)] for name, value in row.items() if value > 1) for _, row in ratios.iterrows()]


def quantile(values: pd.Series, training: pd.Series) -> np.ndarray:
    """Share of training units that lie as near or nearer; NaN where either is not known."""
    there = np.sort(training.dropna().to_numpy())
    if not len(there):
        return np.full(len(values), np.nan)
    found = np.searchsorted(there, values.to_numpy(), side="right") / len(there)
    return np.where(values.notna(), found, np.nan)


def _abstained(
    classifier: Classifier, rules: Rules, fitted: np.ndarray, call: np.ndarray, doubt: np.ndarray
) -> Bool[np.ndarray, " unit"]:
    """Units less sure than all but the wanted share of training units: the doubtful, then by the call's chance."""
    if not rules.abstain:
        return np.zeros(len(call), dtype=bool)
    scores, _ = out_of_fold(classifier)
    own = calibrated(scores, classifier.facts["calibration"], positive=classifier.positive)
    away = _tested(classifier)[list(REASONS)].reset_index(drop=True)
    own_doubt, _ = _doubt(away, classifier.training[list(REASONS)])
    ends = _unsure(own, rules.called(scores, classifier.positive), own_doubt)
    return _unsure(fitted, call, doubt) > np.quantile(ends, 1 - rules.abstain)


def _unsure(fitted: np.ndarray, call: np.ndarray, doubt: np.ndarray) -> Float[np.ndarray, " unit"]:
    chance = fitted[np.arange(len(call)), call]
    return np.where(np.nan_to_num(doubt) > 1, 1 + np.nan_to_num(doubt), 1 - chance)
