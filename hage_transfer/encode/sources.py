"""Feature sources of a comparison: what their settings name becomes one path of features per trial."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hage_transfer.compare.source_settings import SourceSettings
from hage_transfer.encode.selection import read_selection
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.models.checkpoint import CONFIG_FILE
from hage_transfer.running.progress import Progress

Place = TypeVar("Place")


@dataclass(frozen=True)
class Origin:
    """What a source's features are made of.

    Attributes:
        features: of the source's own; None: encoded from the config's data.
        encoder: directory of the encoder that they go through; None: they are taken as they are.
    """

    features: Path | None
    encoder: Path | None


def source_origins(sources: Mapping[str, SourceSettings], *, repeats: int = 1) -> dict[str, list[tuple[Origin, ...]]]:
    """What stands side by side in every source's trials; as ``side_by_side``, without making anything."""
    found = {}
    for name, source in sources.items():
        encoders = [None] if source.encoder is None else find_encoders(name, source.encoder)
        found[name] = [Origin(source.features, encoder) for encoder in encoders]
    return side_by_side(sources, found, repeats=repeats)


def needs_frozen(sources: Mapping[str, SourceSettings]) -> bool:
    """Whether any source starts from the frozen features of the config's own data."""
    return any(source.features is None and not source.concat for source in sources.values())


def side_by_side(
    sources: Mapping[str, SourceSettings], resolved: Mapping[str, Sequence[Place]], *, repeats: int = 1
) -> dict[str, list[tuple[Place, ...]]]:
    """Files of every source's trials, in the order of the config; those of a concatenation are its parts' files.

    Trial k of a concatenation is trial k of each part; a part with one trial stands beside every one. A source with
    fewer trials than ``repeats`` goes through its files again until it has as many.

    Raises:
        ConfigError: parts with different numbers of trials.
    """
    found: dict[str, list[tuple[Place, ...]]] = {}
    for name, source in sources.items():
        if not source.concat:
            found[name] = _repeated([(path,) for path in resolved[name]], repeats)
            continue
        parts = [resolved[part] for part in source.concat]
        trials = {len(paths) for paths in parts} - {1}
        if len(trials) > 1:
            counts = ", ".join(f"{part} {len(resolved[part])}" for part in source.concat)
            raise ConfigError(f"sources.{name}.concat: trials are paired by number, and the parts have {counts}")
        number = trials.pop() if trials else 1
        trial_files = [tuple(paths[k if len(paths) > 1 else 0] for paths in parts) for k in range(number)]
        found[name] = _repeated(trial_files, repeats)
    return found


def _repeated(trials: list[tuple[Place, ...]], repeats: int) -> list[tuple[Place, ...]]:
    return [trials[k % len(trials)] for k in range(max(repeats, len(trials)))]


def find_encoders(name: str, pattern: str | Sequence[str]) -> list[Path]:
    """Encoder directories that a source's ``encoder`` names, one a trial, in natural order (trial_2 before trial_10).

    Args:
        name: the source's, for the message.
        pattern: a directory, a glob of several, or the ``selected.json`` that `hage probe --select` wrote; or a list
            of these, in whose order they are.

    Raises:
        DataError: nothing matches, or the selected encoder is not there or has been trained again since.
    """
    if not isinstance(pattern, str):
        return [path for one in pattern for path in find_encoders(name, one)]
    path = Path(pattern)
    if path.suffix == ".json":
        return [read_selection(path)]
    if path.is_dir():
        return [path]
    root = Path(path.anchor)
    found = [match for match in root.glob(str(path.relative_to(path.anchor))) if match.is_dir()] if pattern else []
    if not found:
        raise DataError(
            f"sources.{name}.encoder = {pattern}: no such directory, and no directory matches it; "
            "`pretrain` makes encoder directories (<its run>/encoders/<fold>/trial_<k>), run it first or drop "
            f"this source"
        )
    return sorted(found, key=lambda match: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", str(match))])


def candidates(sources: Mapping[str, SourceSettings]) -> list[tuple[str, int | None, Path]]:
    """Source, trial and encoder directory of everything that can be selected.

    Raises:
        ConfigError: no source has an encoder.
        DataError: an encoder that is not there.
    """
    found: list[tuple[str, int | None, Path]] = []
    for name, source in sources.items():
        if source.encoder is not None:
            paths = find_encoders(name, source.encoder)
            found += [(name, None if len(paths) == 1 else trial, path) for trial, path in enumerate(paths)]
    if not found:
        raise ConfigError("select=True chooses among encoder directories, and no source has an encoder")
    return found


def find_encoder_directories(patterns: Sequence[str]) -> list[Path]:
    """Encoder directories that patterns name: one, a glob of several, or a pretraining run (all of its trials).

    Raises:
        DataError: nothing there, or a directory that is neither.
    """
    folders: list[Path] = []
    for pattern in patterns:
        if Path(pattern).is_dir() and not (Path(pattern) / CONFIG_FILE).is_file():
            inside = sorted(Path(pattern).glob("encoders/*/trial_*"))
            if not inside:
                raise DataError(
                    f"encoders={pattern}: is no encoder directory ({CONFIG_FILE} is missing) and no pretraining run; "
                    "`pretrain` makes both"
                )
            folders += inside
            continue
        try:
            folders += find_encoders("predict", pattern)
        except DataError:
            raise DataError(
                f"encoders={pattern}: no such directory, and no directory matches it; `pretrain` makes encoder "
                "directories (<its run>/encoders/<fold>/trial_<k>)"
            ) from None
    return list(dict.fromkeys(folders))


def run_of(encoder: Path) -> Path:
    """The pretraining run that an encoder directory lies in, if it lies in one."""
    return encoder.parents[2] if encoder.parent.parent.name.startswith("encoders") else encoder.parent


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
    sources: Mapping[str, SourceSettings], *, frozen: Path, out: Path, device: str, progress: Progress | None = None
) -> dict[str, list[Path]]:
    """Paths of every source that is no concatenation, one a trial.

    Sources with an ``encoder`` are embedded first (or found embedded).

    Args:
        sources: from the config.
        frozen: frozen features: a file of patches, or a folder of slides' files.
        out: run directory; embeddings go to ``<out>/embeddings/<source>/trial_<k>/``.
        device: torch device of the embedding.
        progress: told of each file that is embedded.

    Raises:
        DataError: features or encoders that are missing or do not fit each other.
    """
    check_sources(sources)
    return {
        name: _resolve(name, source, frozen=frozen, out=out / "embeddings" / name, device=device, progress=progress)
        for name, source in sources.items()
        if not source.concat
    }


def _resolve(
    name: str, source: SourceSettings, *, frozen: Path, out: Path, device: str, progress: Progress | None
) -> list[Path]:
    features = frozen if source.features is None else _of_kind(source.features, frozen)
    if source.encoder is None:
        return [features]
    from hage_transfer.encode.embed import embed_path  # torch: what is missing is refused without it

    paths = []
    for trial, encoder in enumerate(find_encoders(name, source.encoder)):
        target = out / f"trial_{trial}"
        target = target / features.name if frozen.suffix == ".h5" else target
        embed_path(features, encoder=encoder, out=target, device=device, progress=progress)
        paths.append(target)
    return paths


def _of_kind(features: Path, frozen: Path) -> Path:
    """A source's features in the kind that the task reads, where the folder that `hage encode` wrote was given."""
    inside = features / frozen.name
    return inside if features.is_dir() and inside.exists() else features
