"""What a run leaves for others: curves, the encoder directory to take, out-of-fold predictions that scanpy opens."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from hage_transfer.data.h5_writing import new_h5ad
from hage_transfer.pretrain.dataset import FoldData
from hage_transfer.pretrain.evaluate import averaged
from hage_transfer.pretrain.made_rows import write_rows
from hage_transfer.pretrain.trial_files import HAGE, TrialPredictions, TrialSummary
from hage_transfer.running.atomic import atomic_folder, write_csv

log = logging.getLogger(__name__)
Summaries = Mapping[tuple[str, str, int], TrialSummary]
"""By (fold, source, trial)."""


def write_curves(path: Path, summaries: Summaries) -> None:
    """Every logged term by epoch, a row each."""
    rows = [
        {"fold": fold, "source": source, "trial": trial, "epoch": epoch, "term": term, "value": value}
        for (fold, source, trial), trained in summaries.items()
        for epoch, term, value in trained.curves
    ]
    write_csv(path, ["fold", "source", "trial", "epoch", "term", "value"], rows)


def publish_encoder(run: Path, summaries: Summaries) -> None:
    """Copies HAGE's encoder directory of the best validation PCC (never a test score) to ``encoder/``."""
    own = {key: summary.validation_pcc for key, summary in summaries.items() if key[1] == HAGE}
    fold, _, trial = max(own, key=lambda key: own[key])
    with atomic_folder(run / "encoder") as temporary:
        shutil.copytree(run / "encoders" / fold / f"trial_{trial}", temporary, dirs_exist_ok=True)
    log.info("encoder/ is %s trial %d (best validation PCC)", fold, trial)


def write_predictions(path: Path, data: FoldData, trials: Sequence[TrialPredictions]) -> None:
    """Out-of-fold predictions: X is the averaged trials' calibrated prediction; layers ``raw`` and ``target``."""
    prediction = averaged(HAGE, trials, data, scale=True)
    names = np.array(data.test.section_names)[data.test.section]
    obs = pd.DataFrame(
        {"section": pd.Categorical(names), "fold": pd.Categorical([data.fold.name] * len(names))},
        index=[f"{s}:{n}" for s, n in zip(names, data.test.spot_names, strict=True)],
    )
    var, spatial = pd.DataFrame(index=list(data.genes)), np.asarray(data.test.coords_px)
    values = {"X": prediction.calibrated, "layers/raw": prediction.raw, "layers/target": data.test.target}
    with new_h5ad(path, AnnData(obs=obs, var=var, obsm={"spatial": spatial})) as file:
        for key, rows in values.items():
            if rows is not None:
                if key in file:
                    del file[key]
                kept = write_rows(file, key, rows)
                kept.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
