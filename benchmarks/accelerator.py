"""All stages on a device: throughput, peak memory, model FLOP/s beside a large product's, and equality with the CPU.

    python benchmarks/accelerator.py --device cuda           # some minutes; --device mps, or cpu
    python benchmarks/accelerator.py --device cpu --small    # seconds: shows that it runs

Each stage is the library's own function, the one that the command calls, on made-up inputs. It runs once under torch's
``FlopCounterMode`` (which warms it up too) and then for the clock, reading and copies to and from the device included.
The products of the last column but one are timed on the same device at the same precision: no list of cards. A ratio
above 1 would say that the stage's own products are of shapes that the device likes better than the large one.

The last column is the relative norm of the difference from the CPU's float32 numbers, on the small inputs; where it is
above the tolerance of its stage and precision the line says so and the exit status is 1. On ``--device cpu`` float32
is compared with itself.
"""

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import timm
import torch
from pretrain_step import synthetic_spots
from torch.utils.flop_counter import FlopCounterMode

from hage_transfer.config import EncoderSettings
from hage_transfer.data.feature_file import FeatureMeta, Features, write_features
from hage_transfer.data.labels import LabelTable
from hage_transfer.encode.extract import ImageStream, Opened, encode_sources
from hage_transfer.encoders.base import FrozenEncoder, Preprocessing
from hage_transfer.encoders.registry import load_encoder
from hage_transfer.encoders.torch_encoder import TorchEncoder
from hage_transfer.explain.genes import tile_genes
from hage_transfer.mil.bags import open_bags
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
from hage_transfer.running.devices import resolve_device

META = FeatureMeta(
    source="made",
    encoder="embedded",
    encoder_sha256="a" * 64,
    encoder_licence="Apache-2.0",
    patch_size_px=224,
    patch_size_level0_px=224,
    mpp_um_per_px=0.5,
    precision="float32",
    config_sha256="made",
)
TOLERANCE = {"float32": 1e-3, "bfloat16": 3e-2, "float16": 3e-2}
"""Relative norm; steps of Adam make more of a rounding than a forward pass does."""
TRAINED = ("pretrain", "mil")


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


SMALL = Sizes("vit_tiny_patch16_224", 4, 2, 64, 32, 40, 24, 32, 256, 6, 40, 256)
Numbers = np.ndarray
Stage = Callable[[Sizes, str, str, Path], tuple[Numbers, int]]


def _rows(n: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, width), dtype=np.float32)


def _encode(encoder: FrozenEncoder, sizes: Sizes, *, one_thread: bool) -> tuple[Numbers, int]:
    images = np.random.default_rng(0).integers(0, 255, (sizes.batch, 224, 224, 3), dtype=np.uint8)
    if one_thread:  # operations of other threads are not counted
        pieces = np.array_split(images, max(1, len(images) // (encoder.images_per_call or len(images))))
        return np.concatenate([encoder.begin(piece)() for piece in pieces]), len(images)
    rows = ImageStream(sizes.images, lambda first: (images[k % len(images)] for k in range(first, sizes.images)))
    parts = encode_sources(encoder, iter([Opened("made", rows)]), batch_size=sizes.batch, readers=4)
    found = [part.rows for part in parts if part.rows is not None]
    return np.concatenate(found)[: len(images)], sizes.images


def encode_embedded(sizes: Sizes, device: str, precision: str, folder: Path) -> tuple[Numbers, int]:
    """Images through the embedded encoder."""
    settings = EncoderSettings(precision=precision, runtime="torch")
    return _encode(load_encoder(settings, device=device), sizes, one_thread=COUNTING)


def encode_vit(sizes: Sizes, device: str, precision: str, folder: Path) -> tuple[Numbers, int]:
    """Images through one of timm's transformers, without weights."""
    torch.manual_seed(0)
    module = timm.create_model(sizes.vit, pretrained=False, num_classes=0)
    encoder = TorchEncoder(
        module,
        name=sizes.vit,
        width=module.num_features,
        licence="none",
        sha256="none",
        preprocessing=Preprocessing(),
        forward=lambda network, pixels: network(pixels),
        device=device,
        precision=precision,
    )
    return _encode(encoder, sizes, one_thread=COUNTING)


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


def _bags(sizes: Sizes, folder: Path):
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
    """A slide's tiles to expression and gene attention."""
    ensemble = ExpressionEnsemble.from_folders([_saved(sizes, folder)], device=device)
    found = tile_genes(ensemble, _rows(sizes.tiles, sizes.features))
    attention = np.zeros((0, 1)) if found.attention is None else found.attention
    return np.concatenate([found.expression[:, :256], attention[:, :256]]), sizes.tiles


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
COUNTING = False


def synchronise(device: str) -> None:
    """Waits until the device has done what it was given."""
    if device != "cpu":
        torch.accelerator.synchronize()


def product_rate(device: str, precision: str, n: int) -> float:
    """FLOP a second of a square product at its best of five."""
    left = torch.randn(n, n, device=device, dtype=getattr(torch, precision))
    best = float("inf")
    for _ in range(6):
        synchronise(device)
        start = time.perf_counter()
        left @ left
        synchronise(device)
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best


class Untold:
    """In place of the counter's tracker of modules, which fails on weights under inference mode."""

    parents = ("Global",)

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, *fault: object) -> None:
        """Nothing."""


def counted(stage: Stage, *given: object) -> int:
    """FLOPs of a stage; it warms up with it."""
    global COUNTING
    COUNTING = True
    try:
        counter = FlopCounterMode(display=False)
        counter.mod_tracker = Untold()  # type: ignore[assignment]
        with counter:
            _, n = stage(*given)  # type: ignore[arg-type]
    finally:
        COUNTING = False
    sizes = given[0]
    return counter.get_total_flops() * (sizes.images // n if stage in ROUNDED[:2] else 1)  # type: ignore[attr-defined]


def peak_mib(device: str) -> str:
    """Of the device's memory since it was last reset."""
    if device.startswith("cuda"):
        return f"{torch.cuda.max_memory_allocated() / 2**20:.0f}"
    return f"{torch.mps.driver_allocated_memory() / 2**20:.0f}" if device == "mps" else "-"


def line(stage: Stage, device: str, precision: str, sizes: Sizes, folder: Path, peak: float) -> tuple[str, bool]:
    """A row of the table, and whether its numbers are the CPU's."""
    wanted = stage(SMALL, "cpu", "float32", folder)[0]
    found = stage(SMALL, device, precision, folder)[0]
    apart = float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
    limit = TOLERANCE[precision] * (3 if stage.__name__ in TRAINED else 1)
    flops = counted(stage, sizes, device, precision, folder)
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    synchronise(device)
    start = time.perf_counter()
    _, items = stage(sizes, device, precision, folder)
    synchronise(device)
    seconds = time.perf_counter() - start
    fits = apart <= limit
    rate, said = flops / seconds, f"{apart:.1e} of {limit:.0e}{'' if fits else ' MISMATCH'}"
    cells = [stage.__name__, precision, f"{items / seconds:.1f}", peak_mib(device), f"{rate / 1e9:.3g}"]
    return "| " + " | ".join([*cells, f"{rate / peak:.3f}", said]) + " |", fits


def main(arguments: list[str] | None = None) -> int:
    """Prints the table; 1 where a number is not the CPU's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="cuda, cuda:1, mps, cpu, or auto")
    parser.add_argument("--small", action="store_true", help="small inputs: shows that it runs, measures nothing")
    parser.add_argument("--stages", nargs="*", default=[one.__name__ for one in STAGES], help="some of them")
    options = parser.parse_args(arguments)
    device, sizes = resolve_device(options.device), SMALL if options.small else Sizes()
    precisions = ["float32", "bfloat16", *([] if device == "cpu" else ["float16"])]
    peaks = {one: product_rate(device, one, sizes.product) for one in precisions}
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    print(f"{name}, torch {torch.__version__}; a product of {sizes.product} x {sizes.product}:", end=" ")
    print(", ".join(f"{one} {rate / 1e9:.0f} GFLOP/s" for one, rate in peaks.items()))
    print("\n| stage | precision | items a second | peak MiB | GFLOP/s | of the product's | apart from the CPU's |")
    print("|---|---|---:|---:|---:|---:|---|")
    all_fit = True
    with tempfile.TemporaryDirectory() as folder:
        for stage in (one for one in STAGES if one.__name__ in options.stages):
            for precision in precisions if stage in ROUNDED else ["float32"]:
                text, fits = line(stage, device, precision, sizes, Path(folder), peaks[precision])
                print(text, flush=True)
                all_fit &= fits
    return 0 if all_fit else 1


if __name__ == "__main__":
    sys.exit(main())
