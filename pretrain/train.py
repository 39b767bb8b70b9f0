"""One trial: train HAGE on a fold's training spots, keep the weights of the best epoch, predict once."""

import logging
import shutil
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int

from hage_transfer.data.gene_vectors import whitened
from hage_transfer.data.h5_writing import new_h5
from hage_transfer.errors import ConfigError
from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.pretrain.adapted_images import AdaptedImages, adapted_images, encoded_anew
from hage_transfer.pretrain.audit.attention_use import write_attention_use
from hage_transfer.pretrain.audit.retrieval import write_retrieval
from hage_transfer.pretrain.centroid_bank import CentroidBank
from hage_transfer.pretrain.clustering import hierarchical_clusters
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.controls.about import card_of
from hage_transfer.pretrain.controls.gene_controls import control_genes
from hage_transfer.pretrain.controls.shuffled import shuffle_expression
from hage_transfer.pretrain.controls.zero_shot import write_zero_shot
from hage_transfer.pretrain.dataset import FoldData
from hage_transfer.pretrain.encoder_directory import write_encoder_directory
from hage_transfer.pretrain.fit import BestEpoch, fit, one_thread
from hage_transfer.pretrain.folds import validation_split
from hage_transfer.pretrain.inputs import FoldInputs
from hage_transfer.pretrain.made_rows import MadeRows, Rows, in_parts, made_rows, numbers
from hage_transfer.pretrain.methods.images import shown_as_patches
from hage_transfer.pretrain.module import HageModule
from hage_transfer.pretrain.programmes import programmes
from hage_transfer.pretrain.serial_sections import add_serial
from hage_transfer.pretrain.spot_batches import SpotDataset, feature_scale, training_batches, validation_batches
from hage_transfer.pretrain.starts import new_start
from hage_transfer.pretrain.trial_files import SHUFFLED, TrialPaths, write_predicted, write_training
from hage_transfer.running.memory import give_back_memory

log = logging.getLogger(__name__)
_ROWS_AT_A_TIME, _ENTRIES = 4096, 2**22


def trial_seed(seed: int, fold: str, trial: int) -> int:
    """A seed of its own for each trial of each fold, the same wherever and whenever it runs."""
    return int(np.random.SeedSequence([seed, zlib.crc32(fold.encode()), trial]).generate_state(1)[0])


def train_trial(
    inputs: FoldInputs,
    config: PretrainConfig,
    trial: int,
    paths: TrialPaths,
    device: str,
    *,
    shuffled_epochs: int | None = None,
) -> None:
    """Trains one trial and writes its encoder directory, its curves and, last of all, its predictions.

    On the CPU it is one thread, so that numbers do not depend on how many jobs share the machine: cores are used by
    ``--jobs``.

    Args:
        inputs: of the fold.
        config: of the run.
        trial: its number.
        paths: where it writes.
        device: torch device.
        shuffled_epochs: train the control on shuffled expression, for exactly so many epochs; None: HAGE itself.

    Raises:
        ConfigError: training diverged.
    """
    with one_thread():
        _train_trial(inputs.data(config.preset), config, trial, paths, device, shuffled_epochs)


def _train_trial(
    data: FoldData, config: PretrainConfig, trial: int, paths: TrialPaths, device: str, shuffled_epochs: int | None
) -> None:
    seed = trial_seed(config.seed, data.fold.name, trial)
    data = control_genes(data, config.genes.control, seed=seed)
    if shuffled_epochs is not None:
        data = replace(data, train=shuffle_expression(data.train, seed=seed))
    rows, validation_rows = validation_split(data.train.section, config.split, seed=seed)
    shutil.rmtree(paths.tensorboard, ignore_errors=True)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        clusters = _clusters(data, config, rows, seed=seed)
        images = adapted_images(config, device=device)
        module = _build(data, config, rows, clusters, images)
        seen = data.train if images is None else shown_as_patches(data.train)
        train = SpotDataset(seen, rows, clusters, with_counts=config.loss.negative_binomial > 0)
        validation = SpotDataset(seen, validation_rows, np.zeros(len(validation_rows), dtype=np.int64))
        best = fit(
            module,
            training_batches(train, batch_size=config.train.batch_size, seed=seed),
            validation_batches(validation),
            settings=config.train,
            device=device,
            tensorboard=paths.tensorboard,
            fixed_epochs=shuffled_epochs,
        )
    if isinstance(data.train.target, MadeRows):
        give_back_memory()
    if not best.state:
        raise ConfigError(
            f"{data.fold.name} trial {trial}: no epoch had a finite validation score; training diverged, "
            f"lower train.learning_rate (now {config.train.learning_rate:g})"
        )
    module.load_state_dict(best.state, strict=images is None)
    if images is not None:
        data, module.images = encoded_anew(images.to(device), data, paths.encoder, config, trial=trial), None
    module = module.to("cpu").eval()
    log.info("%s trial %d: best validation PCC %.4f at epoch %d", data.fold.name, trial, best.score, best.epoch)
    predicted = predict(module, data.train.features)
    write_encoder_directory(
        paths.encoder,
        module,
        data,
        config,
        trial=trial,
        validation_pcc=best.score,
        validation_rows=validation_rows,
        predicted=predicted,
        about=None if shuffled_epochs is None else card_of(SHUFFLED),
    )
    _write_predictions(paths.predictions, module, data, best, predicted, seed=seed, serial=config.model.serial)


def _clusters(
    data: FoldData, config: PretrainConfig, rows: Int[np.ndarray, " train"], *, seed: int
) -> Int[np.ndarray, " train"]:
    return hierarchical_clusters(
        data.train.counts if config.clusters.expression == "raw" else data.train.target,
        data.train.features,
        k1=config.clusters.k1,
        k2=config.clusters.k2,
        seed=seed % 2**31,
        rows=rows,
    )


def new_encoder(data: FoldData, config: PretrainConfig, rows: Int[np.ndarray, " train"]) -> GeneInformedEncoder:
    """The encoder of a trial before its first step, features scaled by the training ``rows``; torch's seed decides."""
    genes = data.gene_vectors if config.model.attention == "scaled" else whitened(data.gene_vectors)
    width, regions = data.train.features.shape[1], config.model.regions
    if width % regions:
        raise ConfigError(f"model.regions {regions}: {width} features are not so many parts of one width (surround: 2)")
    encoder = GeneInformedEncoder(
        torch.from_numpy(genes) if config.model.gene_informed else None,
        feature_dim=width,
        embed_dim=config.model.embed_dim,
        n_heads=config.model.n_heads,
        feature_dropout=config.model.feature_dropout,
        attention=config.model.attention,
        programmes=programmes(data.train, rows, n=config.model.programmes) if config.model.programmes else None,
        regions=regions,
    )
    encoder.set_feature_scale(*feature_scale(data.train.features, rows))
    return encoder


def _build(
    data: FoldData,
    config: PretrainConfig,
    rows: Int[np.ndarray, " train"],
    clusters: Int[np.ndarray, " train"],
    images: AdaptedImages | None,
) -> HageModule:
    encoder = new_encoder(data, config, rows)
    over_dataset = config.clusters.centroids == "dataset"
    return HageModule(
        encoder,
        n_genes=len(data.genes),
        loss=config.loss,
        train=config.train,
        predictor=config.model.predictor,
        gene_vectors=torch.from_numpy(data.gene_vectors),
        bank=CentroidBank(torch.from_numpy(clusters), embed_dim=encoder.embed_dim) if over_dataset else None,
        start=new_start(data, config, rows),
        n_sections=len(data.train.section_names),
        images=images,
        images_rate=config.image_encoder.learning_rate,
    )


def predict(module: HageModule, features: Float32[np.ndarray, "spot feature"]) -> Rows:
    """Predictions of a module in eval mode, 4,096 spots (fewer of very many genes) at a time."""

    @torch.inference_mode()
    def predicted(rows: Any) -> Float32[np.ndarray, "some gene"]:
        most = min(_ENTRIES, _ROWS_AT_A_TIME * module.n_genes)
        parts = in_parts(numbers(rows, len(features)), module.n_genes, most=most)
        return np.concatenate([module(torch.from_numpy(np.asarray(features[part]))).numpy() for part in parts])

    return made_rows((len(features), module.n_genes), predicted)


def _write_predictions(
    path: Path,
    module: HageModule,
    data: FoldData,
    best: BestEpoch,
    predicted: Rows,
    *,
    seed: int,
    serial: float,
) -> None:
    tested = predict(module, data.test.features)
    if serial:
        whole = np.asarray(predicted), np.asarray(tested)
        predicted, tested = add_serial(data.train, data.test, whole, weight=serial)
    with new_h5(path) as file:
        write_predicted(file, data, predicted, tested)
        write_retrieval(file, module, data)
        write_attention_use(file, module, data)
        write_zero_shot(file, module, data, seed=seed)
        write_training(file, validation_pcc=best.score, best_epoch=best.epoch, curves=best.curves)
