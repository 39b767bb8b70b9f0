"""A synthetic PCAM in the published form of its files: x, y and meta of train, valid and test.

    python benchmarks/synthetic_pcam.py OUT --patches 20000

Patches show round nuclei on a stained ground; in positive ones they are more and darker. Each slide has a stain and a
crowding of its own, so that slides must be kept whole. Nothing here is tissue: it serves to run PCAM's recipe end to
end without PCAM.
"""

import argparse
from pathlib import Path

import cv2
import h5py
import numpy as np
from jaxtyping import UInt8

from hage_transfer.running.atomic import atomic_path, write_csv

SIDE_PX = 96
SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}
PER_SLIDE = 100


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--patches", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write_pcam(options.out, n_patches=options.patches, seed=options.seed)


def write_pcam(root: Path, *, n_patches: int, seed: int = 0, per_slide: int = PER_SLIDE) -> None:
    """Writes ``camelyonpatch_level_2_split_*`` under ``root``; slides are whole within a part."""
    first = 0
    for part, share in SHARES.items():
        count = round(share * n_patches)
        slides = first + np.arange(count) // per_slide
        _write_part(root, part, slides, seed=seed)
        first = int(slides[-1]) + 1


def _write_part(root: Path, part: str, slides: np.ndarray, *, seed: int) -> None:
    labels = np.empty(len(slides), dtype=np.uint8)
    stem = f"camelyonpatch_level_2_split_{part}"
    with atomic_path(root / f"{stem}_x.h5") as temporary, h5py.File(temporary, "w") as file:
        shape = len(slides), SIDE_PX, SIDE_PX, 3
        images = file.create_dataset(
            "x", shape, dtype=np.uint8, chunks=(min(64, len(slides)), *shape[1:]), compression="gzip"
        )
        for slide in np.unique(slides):
            rows = np.flatnonzero(slides == slide)
            rng = np.random.default_rng([seed, slide])
            images[rows[0] : rows[-1] + 1], labels[rows] = _slide_patches(rng, len(rows))
    with atomic_path(root / f"{stem}_y.h5") as temporary, h5py.File(temporary, "w") as file:
        file["y"] = labels.reshape(-1, 1, 1, 1)
    columns = ["", "coord_x", "coord_y", "tumor_patch", "center_tumor_patch", "wsi"]
    rows = [
        ["", 0, 0, bool(label), bool(label), f"synthetic_slide_{slide:04d}"]
        for slide, label in zip(slides.tolist(), labels.tolist(), strict=True)
    ]
    write_csv(root / f"{stem}_meta.csv", columns, [dict(zip(columns, row, strict=True)) for row in rows])


def _slide_patches(rng: np.random.Generator, count: int) -> tuple[UInt8[np.ndarray, "patch 96 96 3"], np.ndarray]:
    ground = np.array([225, 180, 215]) + rng.normal(0, 9, 3)
    nuclei = np.array([120, 80, 160]) + rng.normal(0, 9, 3)
    crowding = rng.uniform(15, 30)
    labels = rng.random(count) < rng.uniform(0.25, 0.75)
    return np.stack([_patch(rng, ground, nuclei, crowding, bool(label)) for label in labels]), labels


def _patch(
    rng: np.random.Generator, ground: np.ndarray, nuclei: np.ndarray, crowding: float, positive: bool
) -> UInt8[np.ndarray, "96 96 3"]:
    image = np.empty((SIDE_PX, SIDE_PX, 3), dtype=np.float32)
    image[:] = ground
    number = rng.poisson(crowding * (1.5 if positive else 1.0))
    darker = rng.normal(-12 if positive else 0, 12, number)
    for place, shade in zip(rng.uniform(0, SIDE_PX, (number, 2)), darker, strict=True):
        centre = int(place[0]), int(place[1])
        cv2.circle(image, centre, int(rng.integers(3, 7)), (nuclei + shade).tolist(), thickness=-1, lineType=cv2.LINE_8)
    image = cv2.GaussianBlur(image, (0, 0), 0.8) + rng.normal(0, 6, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
