"""One row of features a labelled unit, of every source: a patch's own, a slide's mean over its tiles."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from hage_transfer.bounded import MAX_YAML_BYTES, BoundsError, parse_yaml, read_text
from hage_transfer.config import FeatureSetSettings, PatchSetSettings, make_config
from hage_transfer.data.labels import LabelTable, read_labels
from hage_transfer.encode.control_sources import with_controls
from hage_transfer.encode.sections_and_patches import FEATURES_FILE, FEATURES_FOLDER, LABELS_FILE
from hage_transfer.encode.sources import resolve_sources, side_by_side
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.mil.bags import open_bags
from hage_transfer.mil.config import MilConfig
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.probes.rows import open_rows
from hage_transfer.running.run_directory import CONFIG_FILE

Trials = Sequence[tuple[Path, ...]]


def sources_of_run(run: Path, task: str, *, device: str) -> tuple[dict[str, Trials], LabelTable, Path]:
    """Feature files of every source and trial of a probe or MIL run, its labels, and the table that they are from.

    Raises:
        ConfigError: a run of a target that is no class.
        InputError: features or encoders that are not there any more.
    """
    try:
        tree = parse_yaml(read_text(run / CONFIG_FILE, limit_bytes=MAX_YAML_BYTES))
    except (FileNotFoundError, BoundsError) as error:
        raise DataError(f"{run / CONFIG_FILE}: cannot be read ({error}); is the run whole?") from None
    where = str(run)
    config = make_config(MilConfig, tree, where=where) if task == "mil" else make_config(ProbeConfig, tree, where=where)
    if isinstance(config, MilConfig) and config.target.kind != "classes":
        raise ConfigError(f"{run}: its target is {config.target.kind}; a robustness index is of classes")
    data = config.data
    if isinstance(data, FeatureSetSettings):
        frozen, table, labels = data.root, data.labels, data.labels
    else:
        frozen = config.features / (FEATURES_FOLDER if task == "mil" else FEATURES_FILE)
        made = config.features / LABELS_FILE
        table, labels = (data.manifest or made, made) if isinstance(data, PatchSetSettings) else [data.labels] * 2
    sources = with_controls(config.sources, config.controls, by_default=task == "probe")
    paths = resolve_sources(sources, frozen=frozen, out=run, device=device)
    return dict(side_by_side(sources, paths)), read_labels(labels), table


def unit_rows(
    trials: Trials, labels: LabelTable, chosen: Int[np.ndarray, " unit"]
) -> Iterator[Float[np.ndarray, "unit feature"]]:
    """Rows of the chosen units, trial by trial.

    Raises:
        DataError: features that are missing, or are not of these labels.
    """
    for paths in trials:
        if paths[0].is_dir():
            bags = open_bags(paths, labels, quiet=True)
            yield np.stack([bags.load(unit).mean(axis=0, dtype=np.float64) for unit in chosen.tolist()])
        else:
            with open_rows(list(paths), labels.keys, memory_gib=0) as rows:
                yield rows.take(chosen).numpy()
