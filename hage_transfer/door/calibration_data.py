"""Small made-up data that rates are taken from: tissue, features, sections and an encoder of a study's own sizes."""

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hage_transfer.data.feature_file import FeatureMeta, write_features

IMAGE_SIDE_PX = 896
SECTION_SIDE_PX, GENES = 9000, 12_000
"""Of a section of spatial transcriptomics as they are published: its image, and the genes of its table."""


def tissue_image() -> np.ndarray:
    """A painted square of tissue, RGB."""
    from hage_transfer.demo.paint import paint
    from hage_transfer.demo.sections import patient_traits
    from hage_transfer.demo.stain import draw_stain
    from hage_transfer.demo.tissue import make_tissue

    rng = np.random.default_rng(0)
    tissue = make_tissue(rng, (IMAGE_SIDE_PX, IMAGE_SIDE_PX), patient_traits(rng), fills=True)
    return paint(tissue, draw_stain(rng), rng)


def made_meta(source: str, **changes: Any) -> FeatureMeta:
    """What a made-up feature file says of itself, with some of it changed."""
    meta = FeatureMeta(
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
    return replace(meta, **changes)


def write_random(path: Path, n: int, width: int, *, seed: int, keyed: bool = False) -> list[str]:
    """A feature file of noise, a bag's with places, a set's with keys; its keys."""
    rng = np.random.default_rng(seed)
    keys = [f"k{number}" for number in range(n)] if keyed else []
    coords = None if keyed else np.stack([np.arange(n) % 256, np.arange(n) // 256], axis=1) * 224
    rows = rng.normal(size=(n, width)).astype(np.float32)
    write_features(path, rows, made_meta(path.stem), keys=keys or None, coords=coords)
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
        names, zeros = _others(len(symbols))
        file.write("\t".join(["", *symbols]) + names)
        file.writelines(
            "\t".join([spot, *map(str, row)]) + zeros for spot, row in zip(spots, counts.tolist(), strict=True)
        )
    with (root / "ST-spotfiles" / f"{name}_selection.tsv").open("w", encoding="utf-8") as file:
        file.write("x\ty\tnew_x\tnew_y\tpixel_x\tpixel_y\tselected\n")
        file.writelines(f"{a}\t{b}\t{a}\t{b}\t{20 * a}\t{20 * b}\t1\n" for a, b in zip(x, y, strict=True))
    Image.new("RGB", (20 * side + 40, 20 * side + 40), "white").save(root / f"ST-imgs/{name[0]}/{name}" / "image.jpg")
    features = rng.normal(size=(n, width)).astype(np.float32)
    features[:, :4] += 2 * programme
    write_features(root / "features" / f"{name}.h5", features, made_meta(name), keys=spots)


def enlarge_sections(root: Path) -> None:
    """Makes images and tables of a made-up data set of the her2st layout as large as those of real sections."""
    from PIL import Image

    for path in (root / "ST-imgs").rglob("*.jpg"):
        image = np.asarray(Image.open(path))
        times = -(-SECTION_SIDE_PX // len(image))
        large = np.tile(image, (times, times, 1))[:SECTION_SIDE_PX, :SECTION_SIDE_PX]
        Image.fromarray(large).save(path, quality=92)
    for path in (root / "ST-cnts").glob("*.tsv.gz"):
        first, *lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        names, zeros = _others(first.count("\t"))
        text = "".join([first + names, *(line + zeros for line in lines)])
        path.write_bytes(gzip.compress(text.encode(), compresslevel=1))


def _others(n_genes: int) -> tuple[str, str]:
    """The end of a table's first line and of each other one: genes that nothing is counted of."""
    left = max(GENES - n_genes, 0)
    return "".join(f"\tOTHER{number}" for number in range(left)) + "\n", "\t0" * left + "\n"


def random_encoder(folder: Path, width: int, embed_dim: int) -> Path:
    """Directory of a gene-informed encoder with random weights."""
    import torch

    from hage_transfer.models.gene_informed import GeneInformedEncoder

    encoder = GeneInformedEncoder(torch.randn(785, 200), feature_dim=width, embed_dim=embed_dim, n_heads=8)
    encoder.eval().save_pretrained(folder, card={"frozen_encoder": "synthetic", "frozen_encoder_sha256": "0" * 64})
    return folder
