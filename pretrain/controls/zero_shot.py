"""Genes that never trained, predicted through their embeddings alone, beside what must fail and what must be beaten.

=========================  =========================================================================================
source                     prediction of an unseen gene in the test spots
=========================  =========================================================================================
``zero_shot``              the gene-conditioned predictor, given the gene's embedding
``zero_shot_permuted``     the same, given the embedding of another unseen gene
``zero_shot_random``       the same, given a Gaussian direction from the panel's mean, as far from it as the gene
``zero_shot_nearest``      mean of the predictions of the k seen genes of nearest embedding
``zero_shot_panel_mean``   mean of the predictions of all seen genes, the same for every unseen gene
=========================  =========================================================================================

The embeddings are to know the unseen genes. A Gene2Vec file is external to the sections at hand. Embeddings trained
here have read the unseen genes' counts in the training sections (never in a held-out one): then the question is
whether co-expression carries over to images of new tissue, not whether a gene that nobody has counted can be mapped.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Float, Float32, Int

from hage_transfer.compare.genes import gene_pcc, pcc_mean
from hage_transfer.compare.records import Record
from hage_transfer.data.h5_file import open_h5
from hage_transfer.models.expression import GeneConditionedPredictor
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.controls.gene_controls import controlled
from hage_transfer.pretrain.dataset import FoldData
from hage_transfer.pretrain.genes import FoldGenes
from hage_transfer.pretrain.module import HageModule
from hage_transfer.pretrain.section_rows import over_trials, section_rows

log = logging.getLogger(__name__)

N_NEAREST = 5
GROUP = "unseen"
_SPOTS_AT_A_TIME = 4096


@torch.inference_mode()
def zero_shot_predictions(
    module: HageModule, data: FoldData, *, seed: int, k: int = N_NEAREST
) -> dict[str, Float32[np.ndarray, "test other"]]:
    """Predictions of a fold's unseen genes in its test spots, by source; the scale of each gene is arbitrary.

    Args:
        module: trained, in eval mode, with a gene-conditioned predictor.
        data: of the fold, with unseen genes.
        seed: of the permuted and of the random embeddings.
        k: seen genes that ``zero_shot_nearest`` averages.

    Raises:
        ValueError: no unseen genes, or a predictor that is not gene-conditioned.
    """
    if data.unseen is None or not isinstance(module.predictor, GeneConditionedPredictor):
        raise ValueError("zero-shot predictions need unseen genes and a gene-conditioned predictor")
    vectors, centre = data.unseen.vectors, data.gene_vectors.mean(0)
    tables = {
        "zero_shot": vectors,
        "zero_shot_permuted": controlled(vectors, "permuted", seed=seed),
        "zero_shot_random": centre + controlled(vectors - centre, "random", seed=seed),
    }
    parts: dict[str, list[np.ndarray]] = {name: [] for name in tables}
    seen_parts = []
    for embeddings in _embeddings(module, data.test.features):
        seen_parts.append(module.predictor(embeddings).numpy())
        for name, table in tables.items():
            parts[name].append(module.predictor.for_genes(embeddings, torch.from_numpy(table)).numpy())
    seen = _unit_scale(np.concatenate(seen_parts))
    nearest = nearest_genes(vectors, data.gene_vectors, k=k)
    predictions = {name: np.concatenate(part) for name, part in parts.items()}
    predictions["zero_shot_nearest"] = np.stack([seen[:, genes].mean(1) for genes in nearest], axis=1)
    predictions["zero_shot_panel_mean"] = np.repeat(seen.mean(1, keepdims=True), len(vectors), axis=1)
    return predictions


def nearest_genes(
    vectors: Float32[np.ndarray, "other gene_dim"], panel: Float32[np.ndarray, "gene gene_dim"], *, k: int
) -> Int[np.ndarray, "other k"]:
    """Panel positions of each gene's ``k`` nearest panel genes, nearest first; ties in the panel's order.

    Nearness is the cosine of embeddings centred by the panel's mean, the space that the predictor sees.
    """
    centre = panel.mean(0)
    return np.argsort(-(_directions(vectors - centre) @ _directions(panel - centre).T), axis=1, kind="stable")[:, :k]


def write_zero_shot(file: h5py.File, module: HageModule, data: FoldData, *, seed: int) -> None:
    """Puts the predictions into a trial's open file as ``unseen/<source>``; nothing where no gene is unseen."""
    if data.unseen is None:
        return
    if not isinstance(module.predictor, GeneConditionedPredictor):
        log.warning("%s: this predictor has no output for unseen genes, so no zero-shot rows", data.fold.name)
        return
    for name, prediction in zero_shot_predictions(module, data, seed=seed).items():
        file[f"{GROUP}/{name}"] = prediction


def zero_shot_records(trials: Sequence[Path], data: FoldData, *, prefix: str = "") -> list[Record]:
    """Records ``pcc_unseen`` and ``n_constant_unseen`` of each source, trial and test section, and their means.

    Args:
        trials: prediction files in the order of trials.
        data: of the fold.
        prefix: put before each source, to tell variants apart.

    Returns:
        Records; none where no gene is unseen or the predictor could not predict them.
    """
    if data.unseen is None:
        return []
    records = []
    for number, path in enumerate(trials):
        with open_h5(path) as file:
            predictions = {name: table[...] for name, table in file.get(GROUP, {}).items()}
        for name, prediction in predictions.items():
            scores = _scores(prediction, data, data.unseen.test_target)
            records += section_rows(scores, source=prefix + name, fold=data.fold.name, trial=number)
    return records + over_trials(records)


def zero_shot_meta(unseen: FoldGenes | None, config: PretrainConfig) -> dict[str, Any] | None:
    """What stands beside the rows: which genes, and what their embeddings have read; None where all genes train."""
    if unseen is None:
        return None
    if config.genes.embeddings is not None:
        knows = f"{unseen.source}; from a file, whose counts its card or its maker knows"
    else:
        knows = f"{unseen.source}: they have read the unseen genes' counts in the training sections, never in held-out"
    return {
        "n_unseen": len(unseen.symbols),
        "unseen": list(unseen.symbols),
        "embeddings": knows,
        "normalisation": "training: seen genes alone; scores of unseen genes: within the whole panel",
        "n_nearest": N_NEAREST,
    }


def _embeddings(module: HageModule, features: Float32[np.ndarray, "spot feature"]) -> Iterator[torch.Tensor]:
    for start in range(0, len(features), _SPOTS_AT_A_TIME):
        yield module.encoder(torch.from_numpy(features[start : start + _SPOTS_AT_A_TIME]))


def _scores(
    prediction: Float[np.ndarray, "test other"], data: FoldData, target: Float[np.ndarray, "test other"]
) -> Mapping[str, Mapping[str, float]]:
    by_section = {}
    for name in data.test.section_names:
        rows = data.test.rows_of(name)
        pcc = gene_pcc(prediction[rows], target[rows])
        by_section[name] = {"pcc_unseen": pcc_mean(pcc), "n_constant_unseen": float(np.isnan(pcc).sum())}
    return by_section


def _unit_scale(predictions: Float32[np.ndarray, "spot gene"]) -> Float32[np.ndarray, "spot gene"]:
    """Columns of unit variance over the spots, since a mean over genes of arbitrary scales would follow the loudest."""
    std = predictions.std(0)
    return predictions / np.where(std > 0, std, 1)


def _directions(vectors: Float32[np.ndarray, "gene gene_dim"]) -> Float32[np.ndarray, "gene gene_dim"]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)
