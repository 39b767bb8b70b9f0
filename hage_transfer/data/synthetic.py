"""A mark in a folder of data that a generator made them: features, results and reports then say "synthetic data"."""

from pathlib import Path

from hage_transfer.running.atomic import write_text

MARK = "synthetic-data.txt"
WORDS = "synthetic data"


def mark_synthetic(folder: Path) -> None:
    """Says of a data set's folder that a generator made what lies in it."""
    write_text(folder / MARK, "Synthetic data: images and counts here were made by the generator of hage-transfer.\n")


def is_synthetic(root: Path) -> bool:
    """Whether a data set's folder carries the mark."""
    return (root / MARK).is_file()
