"""Encoder directories of the controls that cost next to nothing, beside those of HAGE's trials."""

from pathlib import Path

import numpy as np
import torch

from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.models.stored_encoder import StoredEncoder
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.controls.about import CHEAP, card_of
from hage_transfer.pretrain.controls.gene_controls import control_genes
from hage_transfer.pretrain.dataset import FoldData
from hage_transfer.pretrain.encoder_directory import encoder_card
from hage_transfer.pretrain.exports import write_exports
from hage_transfer.pretrain.folds import validation_split
from hage_transfer.pretrain.linear_maps import standardised, whitened
from hage_transfer.pretrain.ridges import fitted_map
from hage_transfer.pretrain.train import new_encoder, trial_seed

FOLDER = "controls"


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
        "expression": [fitted_map(data.train, alpha=alpha, rank=rank)],
    }
    for name in CHEAP:
        for trial, encoder in enumerate(made[name]):
            card = encoder_card(data, config, trial=trial) | card_of(name)
            extra = {"panel": list(data.genes)} if name == "expression" else {}
            folder = run / FOLDER / name / data.fold.name / f"trial_{trial}"
            encoder.save_pretrained(folder, card=card | extra)
            if isinstance(encoder, GeneInformedEncoder):
                write_exports(folder, encoder, data, config.model.exports, card=card)


def untrained(data: FoldData, config: PretrainConfig, *, trial: int) -> GeneInformedEncoder:
    """The encoder that the trial starts from, to the last digit."""
    seed = trial_seed(config.seed, data.fold.name, trial)
    rows, _ = validation_split(data.train.section, config.split, seed=seed)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        return new_encoder(control_genes(data, config.genes.control, seed=seed), config, rows).eval()
