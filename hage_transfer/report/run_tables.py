"""Reads the tables of a run that the report draws: out-of-fold predictions and training curves."""

from pathlib import Path

import numpy as np
import pandas as pd

from hage_transfer.compare.out_of_fold import check_prediction_rows
from hage_transfer.errors import DataError
from hage_transfer.report.runs import Run
from hage_transfer.targets.make import target_of

OWN = "hage"
_TEXTS = ("label", "predicted", "fold", "key", "slide", "source")


def read_predictions(run: Run) -> pd.DataFrame | None:
    """``predictions.csv``; None where the run has none.

    Raises:
        DataError: a column or rows are missing, or a probability is none.
    """
    path = run.path / "predictions.csv"
    if not path.is_file():
        return None
    texts = [
        name for name in _TEXTS if name != "predicted" or (run.meta.get("target") or {}).get("kind") != "regression"
    ]
    table = _read(path, dict.fromkeys(texts, str))
    target = target_of(run.meta.get("target"))
    if target is not None:
        classes = list(target.score_names)
    elif isinstance(run.meta.get("classes"), list):
        classes = ["predicted", *(f"probability_{name}" for name in run.meta["classes"])]
    else:
        raise DataError(f"{run.path}: its results.json names no classes; run it again with overwrite=True")
    _check(path, table, {"source", "trial", "label", *classes})
    classes = [name for name in classes if name != "predicted"]
    if classes and not np.isfinite(table[classes].apply(pd.to_numeric, errors="coerce").to_numpy(float)).all():
        raise DataError(f"{path}: holds a probability that is no number; run it again with overwrite=True")
    check_prediction_rows(path, len(table), run.meta)
    return None if table.empty else table


def read_curves(run: Run) -> pd.DataFrame | None:
    """HAGE's rows of ``curves.csv``; None where there are none.

    Raises:
        DataError: a column is missing.
    """
    path = run.path / "curves.csv"
    if not path.is_file():
        return None
    curves = _read(path, {"fold": str, "term": str, "source": str})
    if "source" in curves:
        curves = curves[curves["source"] == OWN]
    _check(path, curves, {"fold", "trial", "epoch", "term", "value"})
    curves = curves[np.isfinite(pd.to_numeric(curves["value"], errors="coerce"))]
    return None if curves.empty else curves.astype({"value": float})


def _read(path: Path, types: dict[str, type]) -> pd.DataFrame:
    try:
        return pd.read_csv(path, dtype=types, keep_default_na=False, na_values={"trial": [""]})
    except (ValueError, UnicodeDecodeError) as error:  # an empty file and a torn row among them
        raise DataError(f"{path}: cannot be read as a table ({error}); run it again with overwrite=True") from None


def _check(path: Path, table: pd.DataFrame, wanted: set[str]) -> None:
    missing = wanted - set(table.columns)
    if missing:
        raise DataError(f"{path}: no column {', '.join(sorted(missing))}; run it again with overwrite=True")
