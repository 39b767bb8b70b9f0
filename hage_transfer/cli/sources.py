"""Feature sources of a comparison: what their settings name becomes one path of features per trial."""

import re
from collections.abc import Mapping
from pathlib import Path

from hage_transfer.cli.embed import embed_path
from hage_transfer.config import SourceSettings
from hage_transfer.errors import DataError


def needs_frozen(sources: Mapping[str, SourceSettings]) -> bool:
    """Whether any source starts from the frozen features of the config's own data."""
    return any(source.features is None for source in sources.values())


def find_encoders(name: str, pattern: str) -> list[Path]:
    """Encoder directories that a source's ``encoder`` names, one a trial, in natural order (trial_2 before trial_10).

    Args:
        name: the source's, for the message.
        pattern: a directory, or a glob of several.

    Raises:
        DataError: nothing matches.
    """
    path = Path(pattern)
    if path.is_dir():
        return [path]
    root = Path(path.anchor)
    found = [match for match in root.glob(str(path.relative_to(path.anchor))) if match.is_dir()] if pattern else []
    if not found:
        raise DataError(
            f"sources.{name}.encoder = {pattern}: no such directory, and no directory matches it; "
            "`hage pretrain` makes encoder directories (<its run>/encoders/<fold>/trial_<k>), run it first or drop "
            f"this source"
        )
    return sorted(found, key=lambda match: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", str(match))])


def check_sources(sources: Mapping[str, SourceSettings]) -> None:
    """Fails where a source names what is not there, before any long work.

    Raises:
        DataError: features or encoder directories that do not exist.
    """
    for name, source in sources.items():
        if source.features is not None and not source.features.exists():
            raise DataError(f"sources.{name}.features = {source.features}: no such file or folder")
        if source.encoder is not None:
            find_encoders(name, source.encoder)


def resolve_sources(
    sources: Mapping[str, SourceSettings], *, frozen: Path, out: Path, device: str
) -> dict[str, list[Path]]:
    """Paths of every source, one a trial; sources with an ``encoder`` are embedded first (or found embedded).

    Args:
        sources: from the config.
        frozen: frozen features: a file of patches, or a folder of slides' files.
        out: run directory; embeddings go to ``<out>/embeddings/<source>/trial_<k>/``.
        device: torch device of the embedding.

    Raises:
        DataError: features or encoders that are missing or do not fit each other.
    """
    check_sources(sources)
    return {
        name: _resolve(name, source, frozen=frozen, out=out / "embeddings" / name, device=device)
        for name, source in sources.items()
    }


def _resolve(name: str, source: SourceSettings, *, frozen: Path, out: Path, device: str) -> list[Path]:
    features = frozen if source.features is None else _of_kind(source.features, frozen)
    if source.encoder is None:
        return [features]
    paths = []
    for trial, encoder in enumerate(find_encoders(name, source.encoder)):
        target = out / f"trial_{trial}"
        target = target / features.name if frozen.suffix == ".h5" else target
        embed_path(features, encoder=encoder, out=target, device=device)
        paths.append(target)
    return paths


def _of_kind(features: Path, frozen: Path) -> Path:
    """A source's features in the kind that the task reads, where the folder that `hage encode` wrote was given."""
    inside = features / frozen.name
    return inside if features.is_dir() and inside.exists() else features
