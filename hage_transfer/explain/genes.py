"""Whose genes a heatmap reads, how well those models do on held-out sections, and a slide's genes by tile."""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32

from hage_transfer.compare.genes import gene_pcc, mean_over_defined
from hage_transfer.compare.results import Results
from hage_transfer.data.feature_layouts import open_features
from hage_transfer.data.h5_file import read_h5ad
from hage_transfer.encode.sources import run_of
from hage_transfer.errors import DataError
from hage_transfer.models.ensemble import ExpressionEnsemble
from hage_transfer.models.region_attention import attends_to_genes
from hage_transfer.running.atomic import reserve

log = logging.getLogger(__name__)

_ROWS_AT_A_TIME = 512
_IN_MEMORY_BYTES = 1 << 27


@dataclass(frozen=True)
class GeneQuality:
    """How far predictions of each gene can be trusted.

    Attributes:
        validation_pcc: mean over encoders, on validation spots of their training sections; NaN where not known.
        heldout_pcc: on the sections that the encoders' runs held out; NaN where the run is not beside the encoder.
        notes: what the runs say of the model as a whole.
    """

    validation_pcc: Float[np.ndarray, " gene"]
    heldout_pcc: Float[np.ndarray, " gene"]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class GeneModels:
    """Whose genes are read.

    Attributes:
        folders: encoder directories.
        hashes: of their weights.
        quality: of their predictions.
        device: torch device.
    """

    folders: tuple[Path, ...]
    hashes: tuple[str, ...]
    quality: GeneQuality
    device: str


@dataclass(frozen=True)
class TileGenes:
    """Genes of a slide's tiles, one row a gene; past a size the rows lie in an unnamed file.

    Attributes:
        expression: predicted and calibrated, in the preset's unit.
        attention: of the encoder to each gene, mean over heads and encoders, times the number of genes; None where an
            encoder was trained without genes.
        entropy: of gene attention, mean over tiles, as a share of ln(genes); NaN without.
    """

    expression: Float32[np.ndarray, "gene tile"]
    attention: Float32[np.ndarray, "gene tile"] | None
    entropy: float


def gene_quality(ensemble: ExpressionEnsemble) -> GeneQuality:
    """Reads what the encoders, and the pretraining runs that they lie in, say of each gene."""
    runs: dict[tuple[Path, str], None] = {}
    for folder, model in zip(ensemble.folders, ensemble.models, strict=True):
        runs[run_of(folder), str(model.card.get("fold", folder.parent.name))] = None
    found = [_heldout(run, fold, ensemble.genes) for run, fold in runs]
    scores = [score for score in found if score is not None]
    heldout = mean_over_defined(scores) if scores else np.full(len(ensemble.genes), np.nan)
    notes = [] if scores else ["held-out PCC of the genes is not known: no predictions/ beside the encoders"]
    for run in dict.fromkeys(run for run, _ in runs):
        notes += _against_ridge(run, [fold for other, fold in runs if other == run])
    return GeneQuality(ensemble.validation_pcc, heldout, tuple(notes))


def tile_genes(
    ensemble: ExpressionEnsemble, features: Float[np.ndarray, "tile feature"], *, sizes: int | None = None
) -> TileGenes:
    """Predicted expression and gene attention of every tile; holds a few hundred tiles' worth at a time.

    Args:
        ensemble: averaged models.
        features: in the models' context.
        sizes: bytes past which an array lies in a file; None: 128 MB.
    """
    shape, limit = (len(ensemble.genes), len(features)), _IN_MEMORY_BYTES if sizes is None else sizes
    expression = _rows(shape, limit)
    attention = _rows(shape, limit) if attends_to_genes(ensemble) else None
    entropy = 0.0
    for part in _parts(len(features)):
        rows = features[part]
        expression[:, part] = ensemble.predict(rows).calibrated.T
        if attention is not None:
            weights = _gene_attention(ensemble, rows)
            entropy -= float((weights * np.log(np.maximum(weights, 1e-30))).sum())
            attention[:, part] = len(ensemble.genes) * weights.T
    share = entropy / len(features) / np.log(max(len(ensemble.genes), 2))
    return TileGenes(expression, attention, float("nan") if attention is None else share)


def _gene_attention(ensemble: ExpressionEnsemble, rows: np.ndarray) -> Float32[np.ndarray, "tile gene"]:
    mean = np.zeros((len(rows), len(ensemble.genes)), np.float32)
    for model in ensemble.models:
        with torch.inference_mode():
            weights = model.encoder.gene_attention(model.to_device(rows)).mean(1).cpu().numpy()
        mean += ensemble.own(model, weights) / len(ensemble.models)
    return mean


def _parts(n_rows: int) -> Iterator[slice]:
    for start in range(0, n_rows, _ROWS_AT_A_TIME):
        yield slice(start, min(start + _ROWS_AT_A_TIME, n_rows))


def _rows(shape: tuple[int, int], limit: int) -> Float32[np.ndarray, "gene tile"]:
    if 4 * shape[0] * shape[1] <= limit:
        return np.empty(shape, dtype=np.float32)
    with tempfile.TemporaryFile() as file:  # the mapping keeps it after the name is gone
        reserve(file, 4 * shape[0] * shape[1])
        return np.memmap(file, dtype=np.float32, mode="w+", shape=shape)


def _heldout(run: Path, fold: str, genes: Sequence[str]) -> Float[np.ndarray, " gene"] | None:
    """Each gene's PCC on a fold's held-out sections, mean over sections; None where the run is not there."""
    path = run / "predictions" / f"{fold}.h5ad"
    if not path.is_file():
        return None
    prediction = read_h5ad(path, what="cannot be read as predictions", remedy="run the pretraining again")
    place = {gene: column for column, gene in enumerate(prediction.var_names)}
    columns = np.array([place.get(gene, -1) for gene in genes])
    sections = prediction.obs["section"].to_numpy()
    scores = []
    for section in np.unique(sections):
        rows = sections == section
        scores.append(gene_pcc(np.asarray(prediction.X)[rows], np.asarray(prediction.layers["target"])[rows]))
    return np.where(columns >= 0, mean_over_defined(scores)[columns], np.nan)


def _against_ridge(run: Path, folds: Sequence[str]) -> list[str]:
    """A sentence on HAGE and ridge over the folds that these encoders held out."""
    path = run / "results.json"
    if not path.is_file():
        return []
    bar = "bagged_reduced_rank_ridge_averaged"
    values: Mapping[str, list[float]] = {"hage_averaged": [], bar: [], "ridge": []}
    for record in Results.load(path).records:
        wanted: Any = record.source in values and record.metric == "pcc_all" and record.section is None
        if wanted and record.split == "test" and record.fold in folds and record.value is not None:
            values[record.source].append(record.value)
    name, baseline = ("reduced-rank ridge", bar) if values[bar] else ("ridge", "ridge")
    if not values["hage_averaged"] or not values[baseline]:
        return []
    hage, ridge = (float(np.mean(values[one])) for one in ("hage_averaged", baseline))
    text = f"held-out PCC over all genes {hage:.3f}, {name} {ridge:.3f} (folds {', '.join(folds)})"
    return [text if hage > ridge else f"{text}: not above {name}, so read the genes as a model's guess, no measurement"]


def refuse_unfit(ensemble: ExpressionEnsemble, path: Path) -> None:
    """Refuses frozen features that the encoders were not trained on.

    Raises:
        DataError: as ``ExpressionEnsemble.check_fits``.
    """
    opened = open_features(path)
    try:
        ensemble.check_fits(opened.meta, opened.width)
    except DataError as error:
        error.add_note(f"genes are read from the frozen features in {path}")
        raise
