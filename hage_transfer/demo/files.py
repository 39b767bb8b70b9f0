"""All of the demo's data in one folder, written once."""

import json
from dataclasses import dataclass
from pathlib import Path

from hage_transfer.atomic import write_json
from hage_transfer.demo.patches import write_patches
from hage_transfer.demo.sections import write_sections
from hage_transfer.demo.slides import write_slides
from hage_transfer.errors import ConfigError

VERSION = 1


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


def write_demo_files(root: Path, *, seed: int) -> DemoFiles:
    """Writes sections, patches and slides under ``root``; what is there already is left as it is.

    Raises:
        ConfigError: ``root`` holds the data of another seed.
    """
    files = DemoFiles(root / "sections", root / "patches", root / "slides")
    made_with = {"seed": seed, "version": VERSION}
    marker = root / "made_with.json"
    if marker.exists():
        found = json.loads(marker.read_text(encoding="utf-8"))
        if found != made_with:
            raise ConfigError(
                f"{root}: holds demo data of {found}, wanted {made_with}; give another --out, or --overwrite"
            )
    write_json(marker, made_with)
    write_sections(files.sections, seed=seed)
    write_patches(files.patches, seed=seed)
    write_slides(files.slides, seed=seed)
    return files
