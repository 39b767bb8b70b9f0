"""The encoder directory that a trial leaves for transfer: encoder, calibrated predictor, and what its card says."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from hage_transfer.compare.genes import mean_over_defined
from hage_transfer.compare.results import Results
from hage_transfer.config import config_sha256
from hage_transfer.encoders.specs import SPECS
from hage_transfer.models.checkpoint import add_to_card
from hage_transfer.models.expression_model import ExpressionModel, GeneLines
from hage_transfer.pretrain.baselines import CONTROLS
from hage_transfer.pretrain.calibration import fit_lines
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.dataset import FoldData, Spots
from hage_transfer.pretrain.evaluate import AVERAGED, AVERAGED_SUFFIX
from hage_transfer.pretrain.exports import write_exports
from hage_transfer.pretrain.made_rows import Rows, in_parts
from hage_transfer.pretrain.methods.base import Method, Trained
from hage_transfer.pretrain.module import HageModule
from hage_transfer.pretrain.ridges import BAGGED_BAR, BAR
from hage_transfer.pretrain.running_pcc import RunningPcc
from hage_transfer.pretrain.trial_files import HAGE

_SPOTS_AT_A_TIME = 16_384
_BESIDE = (AVERAGED, f"{BAGGED_BAR}{AVERAGED_SUFFIX}", "ridge", BAR, *CONTROLS)
_METRICS = ("pcc_all", "pcc_heg50", "mse", "mae")


def encoder_card(data: FoldData, config: PretrainConfig, *, trial: int) -> dict[str, Any]:
    """What ``config.json`` says of any encoder that a fold's training sections made: features, folds, seeds.

    A compared system or a control adds ``made_by`` (its name), ``about`` (a sentence on what it is) and, where it is
    a control, ``role: control``.

    Args:
        data: the fold.
        config: of the run.
        trial: its number.
    """
    meta = data.feature_meta
    return {
        "frozen_encoder": meta.encoder,
        "frozen_encoder_sha256": meta.encoder_sha256,
        "frozen_encoder_licence": meta.encoder_licence,
        "patch_size_px": meta.patch_size_px,
        "mpp_um_per_px": meta.mpp_um_per_px,
        "views": meta.views,
        "surround": meta.surround,
        "synthetic": meta.synthetic,
        "context": config.context.model_dump(),
        "preset": config.preset,
        **({} if config.train.precision == "float32" else {"training_precision": config.train.precision}),
        "fold": data.fold.name,
        "split_unit": config.split.unit,
        "train_patients": list(data.fold.patients),
        "train_sections": list(data.fold.train),
        "train_spots": len(data.train.target),
        "min_counts": config.data.min_counts,
        "spots_left_out": dict(data.left_out),
        "held_out_sections": list(data.fold.test),
        "trial": trial,
        "seed": config.seed,
        "config_sha256": config_sha256(config),
        "hage_transfer": version("hage-transfer"),
    }


def write_encoder_directory(
    folder: Path,
    module: HageModule,
    data: FoldData,
    config: PretrainConfig,
    *,
    trial: int,
    validation_pcc: float,
    validation_rows: Int[np.ndarray, " val"],
    predicted: Rows,
    about: Mapping[str, Any] | None = None,
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
        predicted: raw, of every spot of ``data.train``; read once for the lines and once for the validation spots.
        about: what the card says of a control besides; None: it is HAGE's.
    """
    card = {
        **encoder_card(data, config, trial=trial),
        "gene_embeddings_source": data.gene_source if config.model.gene_informed else "none",
        "validation_pcc": round(validation_pcc, 6),
        **(about or {}),
    }
    slope, intercept = fit_lines(predicted, data.train.target)
    model = ExpressionModel(
        module.encoder,
        module.predictor,
        genes=data.genes,
        lines=GeneLines(slope, intercept, _validation_pcc(predicted, data.train, validation_rows)),
        kind=config.model.predictor,
        start=module.start,
    )
    model.save_pretrained(folder, card=card)
    write_exports(folder, module.encoder, data, config.model.exports, card=card)


def write_system_directory(
    folder: Path, trained: Trained, method: Method, data: FoldData, config: PretrainConfig, *, trial: int
) -> None:
    """Writes the encoder of a compared system; arguments as in ``write_encoder_directory``.

    Args:
        folder: the directory.
        trained: with an encoder.
        method: the system.
        data: the fold it was trained on.
        config: of the run.
        trial: its number.
    """
    if trained.encoder is None:
        raise ValueError(f"{method.name} has no encoder")
    card = {
        **encoder_card(data, config, trial=trial),
        "made_by": method.name,
        "about": f"{method.title}, {method.embedding} ({method.reference}), trained by hage-transfer.",
        "validation_pcc": round(trained.validation_pcc, 6),
    }
    trained.encoder.save_pretrained(folder, card=card)


def add_held_out_scores(run: Path, results: Results, *, trials: int) -> None:
    """Writes each HAGE trial's held-out scores, beside its fold's baselines, into its encoder directory's card.

    Args:
        run: the run directory.
        results: of the whole run.
        trials: of each fold.
    """
    spec = SPECS.get(results.meta["encoder"])
    for fold in results.meta["folds"]:
        beside = {source: _scores(results, source, fold, None) for source in _BESIDE}
        for trial in range(trials):
            scores = {"trial": _scores(results, HAGE, fold, trial), **beside}
            held_out = {"scores": scores, "warnings": list(results.meta["warnings"])}
            add_to_card(
                run / "encoders" / fold / f"trial_{trial}",
                {"frozen_encoder_hub": spec and spec.hub, "held_out": held_out},
            )


def _scores(results: Results, source: str, fold: str, trial: int | None) -> dict[str, float | None]:
    """A fold's own row; calibrated errors under the plain names where there are such."""
    found = {r.metric: r.value for r in results.select(source=source, fold=fold, trial=trial, section=None)}
    return {name: found.get(f"{name}_calibrated", found.get(name)) for name in _METRICS}


def _validation_pcc(raw: Rows, train: Spots, rows: Int[np.ndarray, " val"]) -> Float[np.ndarray, " gene"]:
    """PCC of each gene over the validation spots of each section, mean over the sections where it is defined."""
    seen = RunningPcc()
    for part in in_parts(rows, raw.shape[1], most=min(2**22, _SPOTS_AT_A_TIME * raw.shape[1])):
        seen.update(raw[part], train.target[part], train.section[part])
    scores = seen.by_section()
    if not scores:
        return np.full(raw.shape[1], np.nan)
    return mean_over_defined(scores)
