"""Synthetic labelled patches in the form of PCAM: h5 files of images and labels, and a csv with each patch's slide."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from hage_transfer.data.h5_writing import new_h5
from hage_transfer.demo.paint import paint
from hage_transfer.demo.sections import patient_traits
from hage_transfer.demo.stain import draw_stain
from hage_transfer.demo.tissue import CELL_PX, TissueMap, make_tissue
from hage_transfer.running.atomic import write_csv
from hage_transfer.running.progress import Progress

SIDE_PX = 1152
PATCH_PX = 96
DOWNSAMPLE = 2  # PCAM's patches are taken at about 1 um per px, twice as coarse as the tissue is painted
MIN_TUMOUR = 0.3
STREAM = 2


def write_patches(
    root: Path, *, seed: int, splits: dict[str, int], per_slide: int, progress: Progress | None = None
) -> None:
    """Writes ``camelyonpatch_level_2_split_*`` under ``root``; splits that are there are left as they are.

    A patch is positive where most of its tumour has the programme on. Patches of one slide share its staining.
    """
    first = 0
    for split, n_slides in splits.items():
        if not (root / f"camelyonpatch_level_2_split_{split}_meta.csv").exists():
            _write_split(root, split, range(first, first + n_slides), seed=seed, per_slide=per_slide)
        first += n_slides
        if progress is not None:
            progress(first, sum(splits.values()), split)


def _write_split(root: Path, split: str, slides: range, *, seed: int, per_slide: int) -> None:
    images, labels = [], []
    rows: list[dict[str, object]] = []
    for slide in slides:
        slide_images, slide_labels, corners = _slide_patches(np.random.default_rng([seed, STREAM, slide]), per_slide)
        images.append(slide_images)
        labels.append(slide_labels)
        for (x, y), label in zip(corners, slide_labels, strict=True):
            rows.append(
                {
                    "": len(rows),
                    "coord_x": x,
                    "coord_y": y,
                    "tumor_patch": bool(label),
                    "center_tumor_patch": bool(label),
                    "wsi": f"synthetic_slide_{slide:03d}",
                }
            )
    stem = f"camelyonpatch_level_2_split_{split}"
    _write_h5(root / f"{stem}_x.h5", "x", np.concatenate(images))
    _write_h5(root / f"{stem}_y.h5", "y", np.concatenate(labels).astype(np.uint8).reshape(-1, 1, 1, 1))
    write_csv(root / f"{stem}_meta.csv", list(rows[0]), rows)  # last: it says that the split is whole


def _slide_patches(
    rng: np.random.Generator, wanted: int
) -> tuple[UInt8[np.ndarray, "patch 96 96 3"], Bool[np.ndarray, " patch"], np.ndarray]:
    tissue = make_tissue(rng, (SIDE_PX, SIDE_PX), patient_traits(rng), fills=True)
    image = paint(tissue, draw_stain(rng), rng)
    image = cv2.resize(image, None, fx=1 / DOWNSAMPLE, fy=1 / DOWNSAMPLE, interpolation=cv2.INTER_AREA)
    share, activated = _block_means(tissue)
    rows, columns = np.nonzero(share >= MIN_TUMOUR)
    chosen = np.sort(rng.permutation(len(rows))[:wanted])
    rows, columns = rows[chosen], columns[chosen]
    patches = [
        image[r * PATCH_PX : (r + 1) * PATCH_PX, c * PATCH_PX : (c + 1) * PATCH_PX]
        for r, c in zip(rows, columns, strict=True)
    ]
    corners = np.stack([columns, rows], 1) * PATCH_PX * DOWNSAMPLE
    return np.stack(patches), (activated / np.maximum(share, 1e-6))[rows, columns] > 0.5, corners


def _block_means(tissue: TissueMap) -> tuple[np.ndarray, np.ndarray]:
    """Share of tumour, and of tumour with the programme on, in each patch of the grid."""
    cells = PATCH_PX * DOWNSAMPLE // CELL_PX
    shares = tissue.shares()
    blocks = [
        shares[name].reshape(shares[name].shape[0] // cells, cells, -1, cells).mean((1, 3))
        for name in ("tumour", "activated")
    ]
    return blocks[0], blocks[1]


def _write_h5(path: Path, name: str, values: np.ndarray) -> None:
    with new_h5(path) as file:
        chunks = (min(64, len(values)), *values.shape[1:])
        file.create_dataset(name, data=values, chunks=chunks, compression="gzip", compression_opts=1)
