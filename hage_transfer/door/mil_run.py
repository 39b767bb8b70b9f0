"""The work of `mil`, once nothing of its config is refused."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from hage_transfer.apply.leave import FinishedRun, leave_classifiers
from hage_transfer.compare.source_settings import SourceSettings
from hage_transfer.config import FeatureSetSettings, PatchSetSettings
from hage_transfer.data.labels import LABELS_FILE
from hage_transfer.door.tables import GivenTable
from hage_transfer.encode.bags import encode_bags
from hage_transfer.encode.sections_and_patches import FEATURES_FOLDER
from hage_transfer.encode.sources import needs_frozen, resolve_sources, side_by_side
from hage_transfer.encoders.base import FrozenEncoder
from hage_transfer.mil.config import MilConfig
from hage_transfer.mil.evaluate import evaluate_mil, evaluate_mil_part
from hage_transfer.mil.own_class import MakeClassifier
from hage_transfer.mil.plan import MilPlan, plan_mil
from hage_transfer.running.devices import resolve_device
from hage_transfer.running.precision import check_precision
from hage_transfer.running.progress import Progress, open_run
from hage_transfer.running.shards import RunPart, Shard, open_part
from hage_transfer.targets.read import read_target


def run_mil(
    config: MilConfig,
    folder: Path,
    table: GivenTable,
    *,
    plan: MilPlan | None,
    sources: Mapping[str, SourceSettings],
    own: FrozenEncoder | None,
    classifier: MakeClassifier | None,
    device: str,
    shard: Shard | None,
    jobs: int,
    overwrite: bool,
    progress: Progress | None,
) -> RunPart | None:
    """Encodes, embeds, trains, tests, and leaves the classifiers; arguments and errors as ``mil``.

    Args:
        config: resolved.
        folder: run directory.
        table: of the labels.
        plan: of these, where their file is there already.
        sources: of the config, and controls.
        own: an encoder of the caller's.
        classifier: a bag classifier of the caller's.
        device: see ``resolve_device``.
        shard: what to do of the trainings, and to leave the rest and the results; returned when done.
        jobs: at a time.
        overwrite: delete an earlier run there first.
        progress: called with (done, total, name) as jobs end.
    """
    resolved = resolve_device(device)
    check_precision(config.train.precision, resolved, key="train.precision")
    table.write()
    plan, frozen = _encoded(config, plan, own=own, device=resolved, progress=progress)

    def trials() -> dict[str, list[tuple[Path, ...]]]:
        table.write()
        paths = resolve_sources(sources, frozen=frozen, out=folder, device=resolved, progress=progress)
        return side_by_side(sources, paths, repeats=config.train.repeats)

    if shard is not None:
        with open_part(folder, config, shard) as part:
            made = trials()
            evaluate_mil_part(plan, made, part=part, device=resolved, n_jobs=jobs, own=classifier, progress=progress)
        return part
    with open_run(folder, config, overwrite=overwrite) as run:
        made = trials()
        results = evaluate_mil(plan, made, run=run, device=resolved, n_jobs=jobs, own=classifier, progress=progress)
        done = FinishedRun(
            folder=folder, config=config, labels=plan.labels, frozen=frozen, results=results, own=classifier
        )
        leave_classifiers(done, progress)
    return None


def _encoded(
    config: MilConfig, plan: MilPlan | None, *, own: FrozenEncoder | None, device: str, progress: Progress | None
) -> tuple[MilPlan, Path]:
    """The checked plan, and the folder of the frozen features, encoded where they are not."""
    data = config.data
    frozen = data.root if isinstance(data, FeatureSetSettings) else config.features / FEATURES_FOLDER
    wanted = needs_frozen(config.sources)
    images = data if isinstance(data, PatchSetSettings) else None
    table = config.features / LABELS_FILE if isinstance(data, PatchSetSettings) else data.labels

    @cache
    def planned() -> MilPlan:
        return plan or plan_mil(config, *read_target(table, config.target, images=images))

    if images is None:
        planned()  # before slides are looked for; images have their table once they are found
    if wanted and not isinstance(data, FeatureSetSettings):
        named = config.target.kind == "classes"
        encode_bags(
            config,
            own=own,
            device=device,
            overwrite=False,
            waits=True,
            labels_needed=named,
            check=planned,
            progress=progress,
        )
    return planned().starting_from(frozen) if wanted and planned().frozen is None else planned(), frozen
