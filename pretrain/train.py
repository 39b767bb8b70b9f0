"""One trial: train HAGE on a fold's training spots, keep the weights of the best epoch, predict once."""

import logging
import shutil
import zlib
from pathlib import Path

import h5py
import numpy as np
import torch
from jaxtyping import Float32, Int
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from hage_transfer.atomic import atomic_path
from hage_transfer.errors import ConfigError
from hage_transfer.models.gene_informed import GeneInformedEncoder
from pretrain.clustering import hierarchical_clusters
from pretrain.config import PretrainConfig
from pretrain.dataset import FoldData, Spots
from pretrain.encoder_directory import write_encoder_directory
from pretrain.fit import BestEpoch, fit, one_thread
from pretrain.folds import validation_split
from pretrain.gene_controls import control_genes
from pretrain.module import Batch, HageModule
from pretrain.retrieval import write_retrieval
from pretrain.trial_files import TrialPaths
from pretrain.zero_shot import write_zero_shot

log = logging.getLogger(__name__)


def trial_seed(seed: int, fold: str, trial: int) -> int:
    """A seed of its own for each trial of each fold, the same wherever and whenever it runs."""
    return int(np.random.SeedSequence([seed, zlib.crc32(fold.encode()), trial]).generate_state(1)[0])


def train_trial(data: FoldData, config: PretrainConfig, trial: int, paths: TrialPaths, device: str) -> None:
    """Trains one trial and writes its encoder directory, its curves and, last of all, its predictions.

    On the CPU it takes one thread, so that numbers do not depend on how many jobs share the machine: cores are used
    by ``--jobs``.
    """
    with one_thread():
        _train_trial(data, config, trial, paths, device)


def _train_trial(data: FoldData, config: PretrainConfig, trial: int, paths: TrialPaths, device: str) -> None:
    seed = trial_seed(config.seed, data.fold.name, trial)
    data = control_genes(data, config.genes.control, seed=seed)
    rows, validation_rows = validation_split(data.train.section, config.split, seed=seed)
    shutil.rmtree(paths.tensorboard, ignore_errors=True)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        module = _build(data, config, rows)
        best = _fit(module, data, config, rows, validation_rows, paths=paths, device=device, seed=seed)
    if not best.state:
        raise ConfigError(
            f"{data.fold.name} trial {trial}: no epoch had a finite validation score; training diverged, "
            f"lower train.learning_rate (now {config.train.learning_rate:g})"
        )
    module.load_state_dict(best.state)
    module = module.to("cpu").eval()
    log.info("%s trial %d: best validation PCC %.4f at epoch %d", data.fold.name, trial, best.score, best.epoch)
    write_encoder_directory(
        paths.encoder,
        module,
        data,
        config,
        trial=trial,
        validation_pcc=best.score,
        validation_rows=validation_rows,
    )
    _write_predictions(paths.predictions, module, data, best, seed=seed)


class _SpotDataset(Dataset[Batch]):
    """Batches by lists of row numbers."""

    def __init__(self, spots: Spots, rows: Int[np.ndarray, " row"], clusters: Int[np.ndarray, " row"]) -> None:
        self.tensors = (
            torch.from_numpy(spots.features[rows]),
            torch.from_numpy(spots.target[rows]),
            torch.from_numpy(clusters),
            torch.from_numpy(spots.section[rows]),
        )

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, rows: list[int]) -> Batch:
        features, target, clusters, sections = (tensor[rows] for tensor in self.tensors)
        return features, target, clusters, sections


def _build(data: FoldData, config: PretrainConfig, rows: Int[np.ndarray, " train"]) -> HageModule:
    genes = torch.from_numpy(data.gene_vectors) if config.model.gene_informed else None
    features = torch.from_numpy(data.train.features[rows])
    encoder = GeneInformedEncoder(
        genes,
        feature_dim=features.shape[1],
        embed_dim=config.model.embed_dim,
        n_heads=config.model.n_heads,
        feature_dropout=config.model.feature_dropout,
    )
    encoder.set_feature_scale(features.mean(0), features.std(0, correction=0))
    return HageModule(
        encoder,
        n_genes=len(data.genes),
        loss=config.loss,
        train=config.train,
        predictor=config.model.predictor,
        gene_vectors=torch.from_numpy(data.gene_vectors),
    )


def _fit(
    module: HageModule,
    data: FoldData,
    config: PretrainConfig,
    rows: Int[np.ndarray, " train"],
    validation_rows: Int[np.ndarray, " val"],
    *,
    paths: TrialPaths,
    device: str,
    seed: int,
) -> BestEpoch:
    clusters = hierarchical_clusters(
        data.train.counts[rows] if config.clusters.expression == "raw" else data.train.target[rows],
        data.train.features[rows],
        k1=config.clusters.k1,
        k2=config.clusters.k2,
        seed=seed % 2**31,
    )
    train = _SpotDataset(data.train, rows, clusters)
    validation = _SpotDataset(data.train, validation_rows, np.zeros(len(validation_rows), dtype=np.int64))
    order = RandomSampler(train, generator=torch.Generator().manual_seed(seed))
    train_batches = BatchSampler(order, config.train.batch_size, drop_last=False)
    validation_batches = BatchSampler(SequentialSampler(validation), 1024, drop_last=False)
    return fit(
        module,
        DataLoader(train, sampler=train_batches, batch_size=None),
        DataLoader(validation, sampler=validation_batches, batch_size=None),
        settings=config.train,
        device=device,
        tensorboard=paths.tensorboard,
    )


@torch.inference_mode()
def predict(module: HageModule, features: Float32[np.ndarray, "spot feature"]) -> Float32[np.ndarray, "spot gene"]:
    """Predictions of a module in eval mode, 4,096 spots at a time."""
    parts = [
        module(torch.from_numpy(features[start : start + 4096])).numpy() for start in range(0, len(features), 4096)
    ]
    return np.concatenate(parts)


def _write_predictions(path: Path, module: HageModule, data: FoldData, best: BestEpoch, *, seed: int) -> None:
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file["train"] = predict(module, data.train.features)
        file["test"] = predict(module, data.test.features)
        write_retrieval(file, module, data)
        write_zero_shot(file, module, data, seed=seed)
        file.attrs["validation_pcc"] = best.score
        file.attrs["best_epoch"] = best.epoch
        epochs, terms, values = zip(*best.curves, strict=True)
        file["curves/epoch"], file["curves/value"] = np.array(epochs), np.array(values)
        file.create_dataset("curves/term", data=np.array(terms, dtype=object), dtype=h5py.string_dtype())
