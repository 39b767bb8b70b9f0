"""What is made of the scores of a target beyond classes: their mean, how far models disagree, doubt."""

import numpy as np
import pandas as pd

from hage_transfer.apply.classifier import Classifier
from hage_transfer.apply.decide import Scored, doubt_columns
from hage_transfer.apply.value_calibration import calibrated_values
from hage_transfer.errors import ConfigError
from hage_transfer.targets.ordinal import Ordinal


def valued(classifier: Classifier, scored: Scored) -> pd.DataFrame:
    """A row a unit, in their order; docs/file-formats.md names the columns of `scores.csv`.

    Raises:
        ConfigError: the classifier is of classes.
    """
    target = classifier.target
    if target is None:
        raise ConfigError(f"{classifier.folder}: predicts classes, and no values of a target")
    mean = scored.mean
    every = scored.probabilities.reshape(-1, *mean.shape)[..., : scored.n_main]
    table = pd.DataFrame({"slide" if classifier.task == "mil" else "key": scored.names})
    table[list(target.score_names)] = mean
    table["spread"] = every.std(axis=0).max(axis=1)
    for name, values in calibrated_values(target, mean, classifier.facts["calibration"]).items():
        table[name] = values
    if isinstance(target, Ordinal):
        table["call"] = np.array(target.grades, dtype=object)[target.called(mean)]
    return table.join(doubt_columns(classifier, scored))
