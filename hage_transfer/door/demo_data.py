"""Synthetic data of every kind, small enough to try everything on."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from hage_transfer.demo.files import FULL, SMALL, write_demo_files
from hage_transfer.door.given import PathLike
from hage_transfer.errors import ConfigError

SIZES = {"small": SMALL, "full": FULL}


@dataclass(frozen=True)
class DemoData:
    """The demo's data.

    Attributes:
        sections: folder of ST sections, of the her2st layout, spots 75 um apart.
        patches: folder of labelled patches, of the pcam layout.
        slides: folder of whole slides.
        labels: of the slides: slide, label, group (the patient).
    """

    sections: Path
    patches: Path
    slides: Path
    labels: pd.DataFrame


def demo_data(out: PathLike, *, size: str = "small", seed: int = 0) -> DemoData:
    """Writes synthetic tissue with genes: ST sections, labelled patches and whole slides.

    What is there already is left as it is; the recipes ``demo/pretrain``, ``demo/probe`` and ``demo/mil`` are for it.

    Args:
        out: folder to write to.
        size: ``small``, or ``full`` as in `hage demo`.
        seed: of all of it.

    Raises:
        ConfigError: another size, or a folder that holds data of another seed or size.
    """
    if size not in SIZES:
        raise ConfigError(f"size {size!r}: wanted {' or '.join(SIZES)}")
    files = write_demo_files(Path(out), seed=seed, size=SIZES[size])
    labels = pd.read_csv(files.slides / "labels.csv", dtype=str)
    return DemoData(files.sections, files.patches, files.slides, labels)
