"""All of the demo's data in one folder, written once."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from hage_transfer.data.synthetic import mark_synthetic
from hage_transfer.demo.patches import write_patches
from hage_transfer.demo.sections import write_sections
from hage_transfer.demo.slides import write_slides
from hage_transfer.errors import ConfigError
from hage_transfer.running.atomic import write_json
from hage_transfer.running.progress import Progress, under
from hage_transfer.running.run_directory import SYNTHETIC

VERSION = 1


@dataclass(frozen=True)
class DemoSize:
    """How much is made.

    Attributes:
        sections: names of ST sections; the first letter is the patient.
        section_px: side of a section's image.
        patch_slides: slides of each PCAM split.
        patches_per_slide: patches taken from each, at most.
        slides: number of whole slides, two of each patient.
        slide_px: side of a slide.
    """

    sections: tuple[str, ...] = tuple(f"{patient}{number}" for patient in "BCD" for number in range(1, 5))
    section_px: int = 1900
    patch_slides: tuple[tuple[str, int], ...] = (("train", 8), ("valid", 2), ("test", 2))
    patches_per_slide: int = 12
    slides: int = 30
    slide_px: int = 1344


FULL = DemoSize()
SMALL = DemoSize(
    sections=("B1", "C1", "D1"),
    section_px=2400,
    patch_slides=(("train", 3), ("valid", 1), ("test", 1)),
    patches_per_slide=30,
    slides=20,
    slide_px=1024,
)
"""Enough for three folds of patients, in seconds."""


@dataclass(frozen=True)
class DemoFiles:
    """Where the demo's data lies.

    Attributes:
        sections: root of the her2st layout.
        patches: folder of the PCAM files.
        slides: folder of the slides and their ``labels.csv``.
    """

    sections: Path
    patches: Path
    slides: Path


def write_demo_files(root: Path, *, seed: int, size: DemoSize = FULL, progress: Progress | None = None) -> DemoFiles:
    """Writes sections, patches and slides under ``root``; what is there already is left as it is.

    Raises:
        ConfigError: ``root`` holds data of another seed or size.
    """
    files = DemoFiles(root / "sections", root / "patches", root / "slides")
    made_with = json.loads(json.dumps({"seed": seed, "version": VERSION, **asdict(size)}))
    marker = root / SYNTHETIC
    if marker.exists():
        found = json.loads(marker.read_text(encoding="utf-8"))
        if found != made_with:
            raise ConfigError(
                f"{root}: holds demo data of {found}, wanted {made_with}; give another out=, or overwrite=True"
            )
    write_json(marker, made_with)
    for folder in (files.sections, files.patches, files.slides):
        mark_synthetic(folder)
    parts = [under(progress, what) for what in ("sections", "slides with labelled patches", "slides")]
    write_sections(files.sections, seed=seed, names=size.sections, side_px=size.section_px, progress=parts[0])
    write_patches(
        files.patches,
        seed=seed,
        splits=dict(size.patch_slides),
        per_slide=size.patches_per_slide,
        progress=parts[1],
    )
    write_slides(files.slides, seed=seed, n_slides=size.slides, side_px=size.slide_px, progress=parts[2])
    return files
