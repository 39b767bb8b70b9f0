"""What a trial leaves behind for transfer: the encoder directory, with the calibrated predictor beside the encoder."""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from hage_transfer.config import config_sha256
from hage_transfer.models.expression_model import ExpressionModel, GeneLines
from pretrain.calibration import fit_lines
from pretrain.config import PretrainConfig
from pretrain.dataset import FoldData, Spots
from pretrain.module import HageModule
from pretrain.running_pcc import RunningPcc

_SPOTS_AT_A_TIME = 16_384


def write_encoder_directory(
    folder: Path,
    module: HageModule,
    data: FoldData,
    config: PretrainConfig,
    *,
    trial: int,
    validation_pcc: float,
    validation_rows: Int[np.ndarray, " val"],
    predicted: Float[np.ndarray, "train gene"],
) -> None:
    """Writes the gene-informed encoder, its predictor and calibration, with a card that says what they come from.

    Args:
        folder: the directory.
        module: trained, on the CPU, in eval mode.
        data: the fold it was trained on.
        config: of the run.
        trial: its number.
        validation_pcc: the score that chose its epoch.
        validation_rows: rows of ``data.train`` that were kept from training; each gene's PCC is taken on them.
        predicted: raw, of every spot of ``data.train``.
    """
    meta = data.feature_meta
    card = {
        "frozen_encoder": meta.encoder,
        "frozen_encoder_sha256": meta.encoder_sha256,
        "frozen_encoder_licence": meta.encoder_licence,
        "patch_size_px": meta.patch_size_px,
        "views": meta.views,
        "surround": meta.surround,
        "gene_embeddings_source": data.gene_source if config.model.gene_informed else "none",
        "context": config.context.model_dump(),
        "preset": config.preset,
        "fold": data.fold.name,
        "split_unit": config.split.unit,
        "train_sections": list(data.fold.train),
        "held_out_sections": list(data.fold.test),
        "trial": trial,
        "seed": config.seed,
        "validation_pcc": round(validation_pcc, 6),
        "config_sha256": config_sha256(config),
    }
    slope, intercept = fit_lines(predicted, data.train.target)
    model = ExpressionModel(
        module.encoder,
        module.predictor,
        genes=data.genes,
        lines=GeneLines(slope, intercept, _validation_pcc(predicted, data.train, validation_rows)),
        kind=config.model.predictor,
    )
    model.save_pretrained(folder, card=card)


def _validation_pcc(
    raw: Float[np.ndarray, "train gene"], train: Spots, rows: Int[np.ndarray, " val"]
) -> Float[np.ndarray, " gene"]:
    """PCC of each gene over the validation spots of each section, mean over the sections where it is defined."""
    seen = RunningPcc()
    for start in range(0, len(rows), _SPOTS_AT_A_TIME):
        part = rows[start : start + _SPOTS_AT_A_TIME]
        seen.update(raw[part], train.target[part], train.section[part])
    scores = seen.by_section()
    if not scores:
        return np.full(raw.shape[1], np.nan)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Mean of empty slice", category=RuntimeWarning)  # constant: NaN
        return np.nanmean(scores, axis=0)
