"""``labels.csv`` beside features: key or slide, label, group."""

from collections.abc import Iterable
from pathlib import Path

from hage_transfer.config import Settings
from hage_transfer.errors import ConfigError
from hage_transfer.running.atomic import write_csv

LABELS_FILE = "labels.csv"


def write_labels(
    folder: Path, key_column: str, keys: Iterable[str], labels: Iterable[str], groups: Iterable[str] | None
) -> None:
    """Writes ``labels.csv`` (key or slide, label, group)."""
    keys = list(keys)
    rows = zip(keys, labels, [""] * len(keys) if groups is None else groups, strict=True)
    write_csv(
        folder / LABELS_FILE,
        [key_column, "label", "group"],
        [{key_column: key, "label": label, "group": group} for key, label, group in rows],
    )


def refuse_manifest_at(target: Path, data: Settings) -> None:
    """Refuses to write the table of labels in place of the manifest that it is made from.

    Raises:
        ConfigError: they are one file.
    """
    manifest = getattr(data, "manifest", None)
    if manifest is not None and target.exists() and manifest.exists() and target.samefile(manifest):
        raise ConfigError(f"data.manifest {manifest}: labels would be written in its place; move it, or set features")
