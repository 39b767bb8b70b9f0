"""Encoder directories of the controls that cost next to nothing, beside those of HAGE's trials."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hage_transfer.errors import DataError
from hage_transfer.models.linear import LinearEncoder
from hage_transfer.models.stored_encoder import StoredEncoder
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.controls.about import CHEAP, card_of
from hage_transfer.pretrain.controls.gene_controls import control_genes
from hage_transfer.pretrain.dataset import FoldData
from hage_transfer.pretrain.encoder_directory import encoder_card
from hage_transfer.pretrain.folds import validation_split
from hage_transfer.pretrain.ridges import RidgePath
from hage_transfer.pretrain.train import new_encoder, trial_seed

FOLDER = "controls"
_LEAST_VARIANCE = 1e-6


def write_cheap_controls(run: Path, data: FoldData, config: PretrainConfig, *, alpha: float, rank: float) -> None:
    """Writes ``controls/<name>/<fold>/trial_<k>`` of every control that trains no network.

    Args:
        run: the run directory.
        data: of the fold.
        config: of the run.
        alpha: of reduced-rank ridge, as it was chosen for this fold's table.
        rank: of it; 0: not reduced.
    """
    features = np.asarray(data.train.features)
    made: dict[str, list[StoredEncoder]] = {
        "frozen_standardised": [standardised(features)],
        "untrained": [untrained(data, config, trial=trial) for trial in range(config.trials)],
        "pca": [whitened(features, width=config.model.embed_dim)],
        "expression": [predicted_expression(data, alpha=alpha, rank=rank)],
    }
    for name in CHEAP:
        for trial, encoder in enumerate(made[name]):
            card = encoder_card(data, config, trial=trial) | card_of(name)
            extra = {"panel": list(data.genes)} if name == "expression" else {}
            encoder.save_pretrained(run / FOLDER / name / data.fold.name / f"trial_{trial}", card=card | extra)


def standardised(features: Float32[np.ndarray, "spot feature"]) -> LinearEncoder:
    """Each feature to mean 0 and variance 1 over the spots; a constant one to 0."""
    scaler = StandardScaler().fit(features)
    return _linear(np.diag(np.where(scaler.var_ > 0, 1 / scaler.scale_, 0.0)), mean=scaler.mean_)


def untrained(data: FoldData, config: PretrainConfig, *, trial: int) -> StoredEncoder:
    """The encoder that the trial starts from, to the last digit."""
    seed = trial_seed(config.seed, data.fold.name, trial)
    rows, _ = validation_split(data.train.section, config.split, seed=seed)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        return new_encoder(control_genes(data, config.genes.control, seed=seed), config, rows).eval()


def whitened(features: Float32[np.ndarray, "spot feature"], *, width: int) -> LinearEncoder:
    """Principal components of the standardised features, each of variance 1 over the spots.

    Components that vary less than a millionth of the first are left out: rounding, made large.

    Args:
        features: of the training spots.
        width: components at most; there are no more than features, or than spots less one.

    Raises:
        DataError: the features of all spots are the same.
    """
    if not np.ptp(features, axis=0).any():
        raise DataError(
            f"control pca: the features of all {len(features)} training spots are the same, so they have no principal "
            "component; look at the images (`encode_sections` drew where the spots lie), or set controls=none"
        )
    first = standardised(features)
    scale = first.weight.double().numpy()
    pca = PCA(min(width, features.shape[1], len(features) - 1), whiten=True, svd_solver="full")
    pca.fit((features - first.mean.numpy()) @ scale)
    kept = pca.explained_variance_ > _LEAST_VARIANCE * pca.explained_variance_[0]
    weight = scale @ (pca.components_[kept] / np.sqrt(pca.explained_variance_[kept])[:, None]).T
    return _linear(weight, mean=first.mean.numpy())


def predicted_expression(data: FoldData, *, alpha: float, rank: float) -> LinearEncoder:
    """Reduced-rank ridge of the fold as one linear map from frozen features to the panel's expression."""
    features = np.asarray(data.train.features)
    mapped = make_pipeline(StandardScaler()).fit(features)
    weight, shift, intercept = RidgePath(mapped, features, data.train.target).linear(alpha, rank)
    weight[:, np.ptp(data.train.target, axis=0) == 0] = 0.0  # rounding, which standardising would blow up
    scaler = mapped[0]
    return _linear(weight / scaler.scale_[:, None], mean=scaler.mean_ + shift * scaler.scale_, bias=intercept)


def _linear(weight: np.ndarray, *, mean: np.ndarray, bias: np.ndarray | None = None) -> LinearEncoder:
    to = torch.from_numpy
    return LinearEncoder(to(weight), mean=to(mean), bias=None if bias is None else to(bias)).eval()
