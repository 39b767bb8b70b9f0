"""Small made-up data that rates are taken from: tissue, features, sections and an encoder of a study's own sizes."""

import csv
import gzip
from pathlib import Path

import numpy as np

from hage_transfer.data.feature_file import FeatureMeta, write_features

IMAGE_SIDE_PX = 896


def tissue_image() -> np.ndarray:
    """A painted square of tissue, RGB."""
    from hage_transfer.demo.paint import paint
    from hage_transfer.demo.sections import patient_traits
    from hage_transfer.demo.stain import draw_stain
    from hage_transfer.demo.tissue import make_tissue

    rng = np.random.default_rng(0)
    tissue = make_tissue(rng, (IMAGE_SIDE_PX, IMAGE_SIDE_PX), patient_traits(rng), fills=True)
    return paint(tissue, draw_stain(rng), rng)


def _meta(source: str) -> FeatureMeta:
    return FeatureMeta(
        source=source,
        encoder="synthetic",
        encoder_sha256="0" * 64,
        encoder_licence="none",
        patch_size_px=224,
        patch_size_level0_px=224,
        mpp_um_per_px=None,
        precision="float32",
        config_sha256="none",
        synthetic=True,
    )


def write_random(path: Path, n: int, width: int, *, seed: int, keyed: bool = False) -> list[str]:
    """A feature file of noise, a bag's with places, a set's with keys; its keys."""
    rng = np.random.default_rng(seed)
    keys = [f"k{number}" for number in range(n)] if keyed else []
    coords = None if keyed else np.stack([np.arange(n) % 256, np.arange(n) // 256], axis=1) * 224
    rows = rng.normal(size=(n, width)).astype(np.float32)
    write_features(path, rows, _meta(path.stem), keys=keys or None, coords=coords)
    return keys


def write_section(root: Path, name: str, symbols: list[str], n: int, width: int, *, seed: int) -> None:
    """A section of the her2st layout with its feature file; a hidden programme drives both."""
    from PIL import Image

    rng, side = np.random.default_rng(seed), int(np.ceil(np.sqrt(n)))
    x, y = (part.ravel()[:n] + 1 for part in np.meshgrid(np.arange(side), np.arange(side)))
    spots = [f"{a}x{b}" for a, b in zip(x, y, strict=True)]
    programme = rng.normal(size=(n, 4))
    counts = rng.poisson(np.exp(0.5 * programme @ np.random.default_rng(9).normal(size=(4, len(symbols))) - 0.5))
    for folder in ("ST-cnts", "ST-spotfiles", f"ST-imgs/{name[0]}/{name}"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    with gzip.open(root / "ST-cnts" / f"{name}.tsv.gz", "wt", compresslevel=1) as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["", *symbols])
        writer.writerows([spot, *row] for spot, row in zip(spots, counts.tolist(), strict=True))
    with (root / "ST-spotfiles" / f"{name}_selection.tsv").open("w", encoding="utf-8") as file:
        file.write("x\ty\tnew_x\tnew_y\tpixel_x\tpixel_y\tselected\n")
        file.writelines(f"{a}\t{b}\t{a}\t{b}\t{20 * a}\t{20 * b}\t1\n" for a, b in zip(x, y, strict=True))
    Image.new("RGB", (20 * side + 40, 20 * side + 40), "white").save(root / f"ST-imgs/{name[0]}/{name}" / "image.jpg")
    features = rng.normal(size=(n, width)).astype(np.float32)
    features[:, :4] += 2 * programme
    write_features(root / "features" / f"{name}.h5", features, _meta(name), keys=spots)


def random_encoder(folder: Path, width: int, embed_dim: int) -> Path:
    """Directory of a gene-informed encoder with random weights."""
    import torch

    from hage_transfer.models.gene_informed import GeneInformedEncoder

    encoder = GeneInformedEncoder(torch.randn(785, 200), feature_dim=width, embed_dim=embed_dim, n_heads=8)
    encoder.eval().save_pretrained(folder, card={"frozen_encoder": "synthetic", "frozen_encoder_sha256": "0" * 64})
    return folder
