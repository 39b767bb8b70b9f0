"""The work of `probe`, once nothing of its config is refused."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hage_transfer.apply.leave import FinishedRun, leave_classifiers
from hage_transfer.compare.source_settings import SourceSettings
from hage_transfer.data.labels import LABELS_FILE, read_labels
from hage_transfer.door.tables import GivenTable
from hage_transfer.encode.sections_and_patches import FEATURES_FILE, encode_patches
from hage_transfer.encode.selection import select as write_selection
from hage_transfer.encode.sources import needs_frozen, resolve_sources, side_by_side
from hage_transfer.encoders.base import FrozenEncoder
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.probes.evaluate import evaluate_probes, evaluate_probes_part
from hage_transfer.probes.folds import read_parts
from hage_transfer.probes.plan import plan_probe
from hage_transfer.running.devices import resolve_device
from hage_transfer.running.progress import Progress, open_run
from hage_transfer.running.shards import RunPart, Shard, open_part


def run_probe(
    config: ProbeConfig,
    folder: Path,
    table: GivenTable,
    *,
    sources: Mapping[str, SourceSettings],
    encoders: Sequence[tuple[str, int | None, Path]],
    own: FrozenEncoder | None,
    device: str,
    shard: Shard | None,
    jobs: int,
    overwrite: bool,
    progress: Progress | None,
) -> RunPart | None:
    """Encodes, embeds, trains, tests, and leaves the classifiers; errors as ``probe``.

    Args:
        config: resolved.
        folder: run directory.
        table: of the manifest.
        sources: of the config, and controls.
        encoders: source, trial and directory of those to select from; none: nothing is selected.
        own: an encoder of the caller's.
        device: see ``resolve_device``.
        shard: what to do of the trainings, and to leave the rest and the results; returned when done.
        jobs: at a time.
        overwrite: delete an earlier run there first.
        progress: called with (done, total, name) as jobs end.
    """
    resolved = resolve_device(device)
    if config.split.parts is not None:
        read_parts(config.split.parts)
    table.write()
    if needs_frozen(config.sources):
        target = config.target  # values of a label table that encoding writes are checked as soon as it is there
        is_late = target.kind != "classes" and target.table is None and config.data.manifest is None
        encode_patches(
            config,
            own=own,
            device=resolved,
            overwrite=False,
            check=None if is_late else lambda labels: plan_probe(config, labels),
            progress=progress,
        )
    labels = read_labels(config.features / LABELS_FILE, labels_needed=config.target.kind == "classes")
    plan = plan_probe(config, labels)
    frozen = config.features / FEATURES_FILE

    def trials() -> dict[str, list[tuple[Path, ...]]]:
        table.write()
        paths = resolve_sources(sources, frozen=frozen, out=folder, device=resolved, progress=progress)
        return side_by_side(sources, paths)

    if shard is not None:
        with open_part(folder, config, shard) as part:
            evaluate_probes_part(plan, trials(), part=part, device=resolved, n_jobs=jobs, progress=progress)
        return part
    with open_run(folder, config, overwrite=overwrite) as run:
        results = evaluate_probes(plan, trials(), run=run, device=resolved, n_jobs=jobs, progress=progress)
        done = FinishedRun(folder=folder, config=config, labels=plan.labels, frozen=frozen, results=results)
        leave_classifiers(done, progress)
    if encoders:
        metric = config.select_by if plan.target is None else plan.target.metrics[0]
        write_selection(results, encoders, metric=metric, run=folder)
    return None
