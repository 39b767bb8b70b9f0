"""Synthetic ST sections in the her2st layout."""

import gzip
from pathlib import Path

import cv2
import numpy as np

from hage_transfer.demo.counts import draw_counts, draw_patient_shift
from hage_transfer.demo.paint import paint
from hage_transfer.demo.programs import SYMBOLS
from hage_transfer.demo.stain import draw_stain
from hage_transfer.demo.tissue import TissueMap, TissueTraits, disc_means, make_tissue
from hage_transfer.running.atomic import atomic_path
from hage_transfer.running.progress import Progress

SPACING_PX = 150  # 75 um at 0.5 um per px
STREAM = 1


def write_sections(
    root: Path, *, seed: int, names: tuple[str, ...], side_px: int, progress: Progress | None = None
) -> None:
    """Writes ``ST-cnts``, ``ST-spotfiles`` and ``ST-imgs`` under ``root``; those that are there already are kept.

    A section's first letter is its patient: patients differ in growth, in staining and in their genes' levels, sections
    of one patient in place and slightly in staining.
    """
    for number, name in enumerate(names, start=1):
        if not (root / "ST-cnts" / f"{name}.tsv.gz").exists():
            _write_section(root, name, seed=seed, side_px=side_px)
        if progress is not None:
            progress(number, len(names), name)


def patient_traits(rng: np.random.Generator) -> TissueTraits:
    """Traits of a patient at random."""
    return TissueTraits(
        tumour=rng.uniform(0.42, 0.62),
        lymphoid=rng.uniform(0.05, 0.16),
        fat=rng.uniform(0.03, 0.12),
        nest_px=rng.uniform(130, 240),
        lumens=rng.uniform(0.0, 0.7),
        activation=rng.uniform(0.35, 0.55),
    )


def _write_section(root: Path, name: str, *, seed: int, side_px: int) -> None:
    patient = np.random.default_rng([seed, STREAM, ord(name[0])])
    traits, shift = patient_traits(patient), draw_patient_shift(patient)
    rng = np.random.default_rng([seed, STREAM, *name.encode()])
    tissue = make_tissue(rng, (side_px, side_px), traits)
    image = paint(tissue, draw_stain(rng), rng)
    array, centres = _spots(tissue, rng)
    counts = draw_counts(rng, tissue, centres, patient_shift=shift)
    _, jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])  # imwrite is silent on a full disk
    with atomic_path(root / "ST-imgs" / name[0] / name / f"{name}_HE.jpg") as temporary:
        temporary.write_bytes(jpeg.tobytes())
    _write_spot_file(root / "ST-spotfiles" / f"{name}_selection.tsv", array, centres)
    _write_counts(root / "ST-cnts" / f"{name}.tsv.gz", array, counts)  # last: it says that the section is whole


def _spots(tissue: TissueMap, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Array places and centres (x, y) of the spots that lie under tissue, a patch's width inside the image."""
    height, width = tissue.shape_px
    columns, rows = (np.arange(1, side // SPACING_PX) for side in (width, height))
    array = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)
    centres = array * float(SPACING_PX) + rng.normal(0, 2.0, array.shape)
    covered = disc_means((tissue.outline > 0).astype(np.float32), centres, diameter_px=110)
    keep = covered > 0.6
    return array[keep], centres[keep]


def _write_spot_file(path: Path, array: np.ndarray, centres: np.ndarray) -> None:
    lines = ["x\ty\tnew_x\tnew_y\tpixel_x\tpixel_y\tselected"]
    for (x, y), (pixel_x, pixel_y) in zip(array, centres, strict=True):
        new_x, new_y = pixel_x / SPACING_PX, pixel_y / SPACING_PX
        lines.append(f"{x}\t{y}\t{new_x:.3f}\t{new_y:.3f}\t{pixel_x:.2f}\t{pixel_y:.2f}\t1")
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_counts(path: Path, array: np.ndarray, counts: np.ndarray) -> None:
    lines = ["\t".join(["", *SYMBOLS])]
    for (x, y), row in zip(array, counts, strict=True):
        lines.append("\t".join([f"{x}x{y}", *map(str, row)]))
    with atomic_path(path) as temporary:
        # mtime 0: the same seed gives the same bytes.
        temporary.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), compresslevel=5, mtime=0))
