"""Synthetic whole slides: pyramidal tiled TIFF files with their resolution, and a label table."""

from pathlib import Path

import cv2
import numpy as np
import tifffile
from jaxtyping import UInt8

from hage_transfer.demo.paint import paint
from hage_transfer.demo.sections import patient_traits
from hage_transfer.demo.stain import draw_stain
from hage_transfer.demo.tissue import MPP_UM_PER_PX, TissueMap, TissueTraits, make_tissue
from hage_transfer.running.atomic import atomic_path, write_csv
from hage_transfer.running.progress import Progress

TILE_PX = 256
PIXELS_PER_CM = 10_000 / MPP_UM_PER_PX
STREAM = 3
LABELS = ("quiet", "activated")
# Share of the tumour with the programme on: a focus in one class, next to nothing in the other.
ACTIVATION = {"quiet": (0.0, 0.02), "activated": (0.15, 0.40)}


def write_slides(root: Path, *, seed: int, n_slides: int, side_px: int, progress: Progress | None = None) -> None:
    """Writes ``slide_*.tif`` and ``labels.csv`` under ``root``; slides that are there are left as they are.

    Slides come in pairs of one patient (``group``) and one label; a slide is ``activated`` where its tumour holds a
    focus of the programme.
    """
    rows = []
    for index in range(n_slides):
        patient = index // 2
        label = LABELS[patient % 2]
        name = f"slide_{index:03d}"
        path = root / f"{name}.tif"
        if not path.exists():
            _write_slide(path, label, patient=patient, index=index, seed=seed, side_px=side_px)
        rows.append({"slide": name, "label": label, "group": f"patient_{patient:02d}"})
        if progress is not None:
            progress(index + 1, n_slides, name)
    write_csv(root / "labels.csv", ["slide", "label", "group"], rows)


def write_pyramid(path: Path, image: UInt8[np.ndarray, "height width 3"]) -> None:
    """Writes ``image`` as a tiled TIFF of two levels, the second a quarter as wide, with its resolution, atomically."""
    levels = [image, cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)]
    with atomic_path(path) as temporary, tifffile.TiffWriter(temporary) as writer:
        for number, level in enumerate(levels):
            writer.write(
                level,
                photometric="rgb",
                tile=(TILE_PX, TILE_PX),
                compression="adobe_deflate",
                compressionargs={"level": 1},
                predictor=True,
                resolution=(PIXELS_PER_CM / 4**number, PIXELS_PER_CM / 4**number),
                resolutionunit="CENTIMETER",
                subfiletype=1 if number else 0,
                metadata=None,
                software=False,
            )


def _write_slide(path: Path, label: str, *, patient: int, index: int, seed: int, side_px: int) -> None:
    person = np.random.default_rng([seed, STREAM, 1, patient])
    traits = patient_traits(person)
    rng = np.random.default_rng([seed, STREAM, 2, index])
    tissue = _tissue(rng, traits, label, side_px)
    write_pyramid(path, paint(tissue, draw_stain(rng), rng))


def _tissue(rng: np.random.Generator, traits: TissueTraits, label: str, side_px: int) -> TissueMap:
    """A map whose tumour has the share of activation that its label asks; drawn again until it does."""
    low, high = ACTIVATION[label]
    while True:
        wanted = TissueTraits(**{**vars(traits), "activation": rng.uniform(low, high), "activation_px": 420.0})
        tissue = make_tissue(rng, (side_px, side_px), wanted)
        shares = tissue.shares()
        tumour = shares["tumour"].sum()
        if tumour > 0.15 * shares["tumour"].size and low <= shares["activated"].sum() / tumour <= high + 0.05:
            return tissue
