"""The stages that accelerator.py measures: the library's own functions, those that the commands call."""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch
from pretrain_step import synthetic_spots

import hage_transfer as ht
from hage_transfer.config import EncoderSettings
from hage_transfer.data.feature_file import Features, write_features
from hage_transfer.data.labels import LabelTable
from hage_transfer.door.calibration_data import made_meta
from hage_transfer.encode.extract import ImageStream, Opened, encode_sources
from hage_transfer.encoders.base import FrozenEncoder, Preprocessing
from hage_transfer.encoders.registry import load_encoder
from hage_transfer.encoders.torch_encoder import TorchEncoder
from hage_transfer.mil.bags import BagSet, open_bags
from hage_transfer.mil.config import MilModelSettings, MilTrainSettings
from hage_transfer.mil.train import FoldBags, train_folds
from hage_transfer.models.embedding import embed_features
from hage_transfer.models.ensemble import ExpressionEnsemble
from hage_transfer.models.expression import build_predictor
from hage_transfer.models.expression_model import ExpressionModel, GeneLines
from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.pretrain.config import LossSettings, TrainSettings
from hage_transfer.pretrain.fit import fit
from hage_transfer.pretrain.module import HageModule
from hage_transfer.pretrain.spot_batches import SpotDataset, training_batches, validation_batches
from hage_transfer.probes.linear import train_probes

META = made_meta("made", encoder="embedded", encoder_sha256="a" * 64, encoder_licence="Apache-2.0")


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Of the inputs; the defaults fill a large card for some seconds a stage."""

    vit: str = "vit_base_patch16_224"
    images: int = 4096
    batch: int = 256
    spots: int = 16384
    spot_batch: int = 1024
    genes: int = 785
    features: int = 1024
    embed: int = 1024
    rows: int = 65536
    bags: int = 20
    tiles: int = 8000
    product: int = 8192
    one_thread: bool = False


SMALL = Sizes("vit_tiny_patch16_224", 4, 2, 64, 32, 40, 24, 32, 256, 6, 40, 256)
Numbers = np.ndarray
Stage = Callable[[Sizes, str, str, Path], tuple[Numbers, int]]


def _rows(n: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, width), dtype=np.float32)


def _encode(encoder: FrozenEncoder, sizes: Sizes) -> tuple[Numbers, int]:
    images = np.random.default_rng(0).integers(0, 255, (sizes.batch, 224, 224, 3), dtype=np.uint8)
    if sizes.one_thread:  # operations of other threads are not counted
        pieces = np.array_split(images, max(1, len(images) // (encoder.images_per_call or len(images))))
        return np.concatenate([encoder.begin(piece)() for piece in pieces]), len(images)
    rows = ImageStream(sizes.images, lambda first: (images[k % len(images)] for k in range(first, sizes.images)))
    parts = encode_sources(encoder, iter([Opened("made", rows)]), batch_size=sizes.batch, readers=4)
    found = [part.rows for part in parts if part.rows is not None]
    return np.concatenate(found)[: len(images)], sizes.images


def encode_embedded(sizes: Sizes, device: str, precision: str, folder: Path) -> tuple[Numbers, int]:
    """Images through the embedded encoder."""
    settings = EncoderSettings(precision=precision, runtime="torch")
    return _encode(load_encoder(settings, device=device), sizes)


def encode_vit(sizes: Sizes, device: str, precision: str, folder: Path) -> tuple[Numbers, int]:
    """Images through one of timm's transformers, without weights."""
    return _encode(untrained(sizes.vit, device, precision), sizes)


def untrained(name: str, device: str, precision: str) -> TorchEncoder:
    """One of timm's networks, without weights."""
    torch.manual_seed(0)
    module = timm.create_model(name, pretrained=False, num_classes=0)
    return TorchEncoder(
        module,
        name=name,
        width=module.num_features,
        licence="none",
        sha256="none",
        preprocessing=Preprocessing(),
        forward=lambda network, pixels: network(pixels),
        device=device,
        precision=precision,
    )


def _encoder(sizes: Sizes) -> GeneInformedEncoder:
    torch.manual_seed(0)
    genes = torch.randn(sizes.genes, 200)
    return GeneInformedEncoder(genes, feature_dim=sizes.features, embed_dim=sizes.embed, n_heads=8)


def pretrain(sizes: Sizes, device: str, precision: str, folder: Path) -> tuple[Numbers, int]:
    """An epoch of HAGE, validation included."""
    spots = synthetic_spots(sizes.spots, n_features=sizes.features, n_genes=sizes.genes)
    settings, rows = TrainSettings(epochs=1, batch_size=sizes.spot_batch, precision=precision), np.arange(sizes.spots)
    module = HageModule(_encoder(sizes), n_genes=sizes.genes, loss=LossSettings(), train=settings)
    few = rows[: sizes.spot_batch]
    fit(
        module,
        training_batches(SpotDataset(spots, rows, rows % 60), batch_size=sizes.spot_batch, seed=0),
        validation_batches(SpotDataset(spots, few, few * 0)),
        settings=settings,
        device=device,
        tensorboard=folder / "curves",
    )
    with torch.inference_mode():
        return module.cpu().eval()(torch.from_numpy(spots.features[:256])).numpy(), sizes.spots


def embed(sizes: Sizes, device: str, precision: str, folder: Path) -> tuple[Numbers, int]:
    """Features to embeddings."""
    encoder = GeneInformedEncoder.from_pretrained(_saved(sizes, folder))
    keys = np.arange(sizes.rows).astype(str)
    features = Features(_rows(sizes.rows, sizes.features), keys, None, META)
    return embed_features(features, encoder, folder=_saved(sizes, folder), device=device).features, sizes.rows


def probe(sizes: Sizes, device: str, precision: str, folder: Path) -> tuple[Numbers, int]:
    """Five folds of the linear probe; rows are those of all epochs."""
    features, labels = _rows(sizes.rows, sizes.features), np.arange(sizes.rows) % 2
    training = np.arange(sizes.rows) % 5 != np.arange(5)[:, None]
    made = train_probes(features, labels, training, n_classes=2, epochs=5, device=device)
    return made.outputs(features[:256], np.ones((5, 256), dtype=bool)), 5 * sizes.rows


def mil(sizes: Sizes, device: str, precision: str, folder: Path) -> tuple[Numbers, int]:
    """Two epochs of AB-MIL, five folds together; tiles are those of both."""
    bags = _bags(sizes, folder)
    every = np.arange(sizes.bags)
    made = train_folds(
        bags,
        every % 2,
        [FoldBags(every[every % 5 != fold], every[every % 5 == fold]) for fold in range(5)],
        n_classes=2,
        model=MilModelSettings(),
        options=MilTrainSettings(epochs=2, min_epochs=2, precision=precision, checkpoint_s=0),
        seed=0,
        device=device,
    )
    return np.stack(made.outputs(bags, [every] * 5)), 2 * sizes.bags * sizes.tiles


def _bags(sizes: Sizes, folder: Path) -> BagSet:
    keys = np.array([f"b{number}" for number in range(sizes.bags)])
    place = folder / f"bags-{sizes.tiles}"
    for number, key in enumerate(keys) if not place.is_dir() else ():
        rows = np.random.default_rng(number).standard_normal((sizes.tiles, sizes.features), dtype=np.float32)
        meta = dataclasses.replace(META, source=str(key))
        write_features(place / f"{key}.h5", rows, meta, coords=224 * np.arange(2 * sizes.tiles).reshape(-1, 2))
    table = LabelTable(keys=keys, labels=np.array(["a", "b"])[np.arange(len(keys)) % 2], groups=keys, key_column="s")
    return open_bags(place, table, quiet=True)


def predict(sizes: Sizes, device: str, precision: str, folder: Path) -> tuple[Numbers, int]:
    """Features to expression."""
    ensemble = ExpressionEnsemble.from_folders([_saved(sizes, folder)], device=device)
    return ensemble.predict(_rows(sizes.rows, sizes.features)).raw[:256], sizes.rows


def explain(sizes: Sizes, device: str, precision: str, folder: Path) -> tuple[Numbers, int]:
    """A slide of feature files explained: attention, the tiles that decided, genes, as `hage heatmap` writes them."""
    out = tempfile.mkdtemp(dir=folder)
    made = ht.explain(_run(sizes, folder), slides=["b0"], encoders=_saved(sizes, folder), device=device, out=out)
    slide = made["frozen", "b0"]
    attention = slide.tiles["attention"].to_numpy(np.float32)
    return np.concatenate([attention / attention.max(), np.ravel(slide.expression.X[:256])]), sizes.tiles


def _run(sizes: Sizes, folder: Path) -> Path:
    """A run of `hage mil` whose slides can be explained; trained on the CPU, so that devices have one model."""
    out = folder / f"run-{sizes.tiles}"
    if not out.is_dir():
        bags = _bags(sizes, folder)
        rows = zip(bags.slides, np.arange(sizes.bags) % 2, strict=True)
        (folder / "labels.csv").write_text("\n".join(["slide,label", *(f"{key},{one}" for key, one in rows)]) + "\n")
        data = {"layout": "features", "root": folder / f"bags-{sizes.tiles}", "labels": folder / "labels.csv"}
        train = {"epochs": 1, "min_epochs": 1, "tiles_per_visit": 64, "validation": 0.0, "final": False}
        keys = {"data": data, "train": train, "split": {"folds": 2, "by_group": False}, "sources": {"frozen": {}}}
        ht.mil(keys, out=out, device="cpu")
    return out


def _saved(sizes: Sizes, folder: Path) -> Path:
    """An encoder directory with a predictor."""
    place = folder / f"encoder-{sizes.genes}"
    if not place.is_dir():
        lines = GeneLines(np.ones(sizes.genes), np.zeros(sizes.genes), np.ones(sizes.genes))
        encoder = _encoder(sizes)
        predictor = build_predictor("mlp", embed_dim=sizes.embed, n_genes=sizes.genes)
        names = tuple(f"GENE{number}" for number in range(sizes.genes))
        card = {"preset": "spot_log10", "frozen_encoder": META.encoder, "frozen_encoder_sha256": META.encoder_sha256}
        model = ExpressionModel(encoder, predictor, genes=names, lines=lines, kind="mlp")
        model.eval().save_pretrained(place, card={**card, "train_sections": ["A"]})
    return place


ROUNDED: tuple[Stage, ...] = (encode_embedded, encode_vit, pretrain, mil)
STAGES: tuple[Stage, ...] = (encode_embedded, encode_vit, pretrain, embed, probe, mil, explain, predict)
