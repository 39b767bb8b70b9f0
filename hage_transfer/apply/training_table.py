"""``training.csv`` of a classifier directory: what every training unit scored out of fold, and how far it lies."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hage_transfer.apply.looked import COLUMNS
from hage_transfer.apply.training_cohort import Cohort
from hage_transfer.data.labels import LabelTable


def training_table(
    predictions: Path, source: str, labels: LabelTable, cohort: Cohort, columns: Sequence[str], *, n_main: int
) -> pd.DataFrame:
    """Units without their names, in the order of the label table; columns as ``Classifier.training`` says.

    Scores (``columns``) are means over trials (and over the folds that tested a unit, where several did); ``spread`` is
    the std over trials of that of the first ``n_main`` which varies most, mean over folds; empty with one trial.
    """
    found = pd.read_csv(predictions, dtype=str, keep_default_na=False)
    found = found[found["source"] == source]
    columns = list(columns)
    found[columns] = found[columns].astype(np.float64)
    by_unit = found.groupby(labels.key_column)[columns].mean()
    groups = labels.keys if labels.groups is None else labels.groups
    table = pd.DataFrame({"label": labels.labels, "group": np.unique(groups, return_inverse=True)[1]})
    table[columns] = by_unit.reindex(labels.keys).to_numpy()
    table["spread"] = np.nan
    if found["trial"].nunique() > 1:
        of_trials = found.groupby([labels.key_column, "fold"])[columns[:n_main]].std(ddof=0).max(axis=1)
        table["spread"] = of_trials.groupby(level=0).mean().reindex(labels.keys).to_numpy()
    for name in ("tile_distances", "stain_distances"):
        column = np.full(len(labels), np.nan)
        values = getattr(cohort, name)
        if values is not None:
            column[cohort.units] = values
        table[name.removesuffix("s")] = column
    looked = pd.DataFrame(list(cohort.rows), index=cohort.units, columns=list(COLUMNS)).reindex(table.index)
    return pd.concat([table, looked], axis=1)
