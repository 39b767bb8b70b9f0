"""All systems' encoders and controls on the same tasks: Figure 3 for every one of them, ranked."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hage_transfer.compare.controls import controls_of
from hage_transfer.compare.ranking import ranking, sentence
from hage_transfer.compare.records import MEAN, STD, Record, summarise
from hage_transfer.compare.results import Results
from hage_transfer.config import Changes, Settings, config_sha256
from hage_transfer.door.compare_config import PRETRAINED, CompareConfig, StageSettings, TaskSettings
from hage_transfer.door.encode_sections import encode_sections
from hage_transfer.door.given import ConfigLike, PathLike
from hage_transfer.door.mil import mil
from hage_transfer.door.pretrain import pretrain
from hage_transfer.door.probe import probe
from hage_transfer.door.recipes import find_recipe, recipe_stem, resolve_config
from hage_transfer.door.run_results import PartOfRun, RunResults
from hage_transfer.errors import DataError
from hage_transfer.mil.config import MilConfig
from hage_transfer.pretrain.config import SYSTEM_NAMES, PretrainConfig
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.running.progress import Progress, open_run, shown
from hage_transfer.running.shards import Shard, open_part

TASK_CONFIGS: Mapping[str, type[Settings]] = {"probe": ProbeConfig, "mil": MilConfig}
_TASKS: Mapping[str, Callable[..., RunResults]] = {"probe": probe, "mil": mil}


def compare_systems(
    config: ConfigLike,
    *,
    changes: Changes | None = None,
    out: PathLike | None = None,
    seed: int | None = None,
    device: str = "auto",
    shard: str | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RunResults:
    """Pretrains every system and control, compares all encoders on each task, and ranks them.

    Each stage is a run as ``pretrain``, ``probe`` and ``mil`` make it, in a folder of its own below ``out``: what an
    earlier, interrupted comparison finished is kept. Tasks need every encoder: a shard whose pretraining waits for
    others ends there, and the same call again, when all have ended, does its part of the tasks.

    Args:
        config: a recipe's name, a path, a mapping of keys, or the typed config.
        changes: of the config's keys, nested or dotted (``tasks.patches.changes.data.root``).
        out: run directory; None: ``runs/compare-<name of the config>``.
        seed: of every stage.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        shard: ``i/n``: this call's part of the trials and trainings, beside others of a job array, as a ``PartOfRun``.
        jobs: at a time.
        overwrite: delete an earlier comparison there first.
        progress: called with (done, total, name) as jobs end, stage by stage.

    Returns:
        Every source's metric in each fold of each task; ``meta["ranking"]`` has their places, with intervals.

    Raises:
        InputError: a config, data, features or encoders that are wrong; the message says which.
        ItemsFailedError: some jobs of a stage failed; they are in its ``failures.csv``.
    """
    settings = resolve_config(CompareConfig, config, changes or {})
    folder = Path("runs") / f"compare-{recipe_stem(config, 'run')}" if out is None else Path(out)
    every: dict[str, Any] = {"seed": seed, "device": device, "jobs": jobs}
    mine = None if shard is None else Shard.parse(shard, overwrite=overwrite)
    _check_recipes(settings)
    with shown("compare" if mine is None else f"compare {mine}", progress) as tell:
        every["progress"] = tell
        if mine is not None:
            return _part(settings, folder, mine, every)
        with open_run(folder, settings, overwrite=overwrite) as run:
            if settings.pretrain.recipe is not None:
                _encode(settings.pretrain, every)
            pretrained = _pretrained(settings.pretrain, folder / PRETRAINED, every)
            tasks = {n: _compared(one, pretrained.folder, folder / n, every) for n, one in settings.tasks.items()}
            _collect(settings, pretrained, tasks).save(run.results_path)
    return RunResults.read(folder)


def _part(settings: CompareConfig, folder: Path, mine: Shard, every: Mapping[str, Any]) -> PartOfRun:
    """What one task of an array does: its trials; once all are done, what scores them, and its trainings of tasks."""
    stage, done = settings.pretrain, []
    with open_part(folder, settings, mine) as part:
        if stage.recipe is not None:
            _encode(stage, every)
        part.do([])
        if stage.recipe is not None:
            done.append(_pretrained(stage, folder / PRETRAINED, {**every, "shard": str(mine)}))
        left = sum(one.n_left for one in done if isinstance(one, PartOfRun))
        if not left:
            pretrained = _pretrained(stage, folder / PRETRAINED, every)  # one does it, the others wait and find it
            sharded = {**every, "shard": str(mine)}
            done += [_compared(one, pretrained.folder, folder / n, sharded) for n, one in settings.tasks.items()]
    n_jobs = sum(one.n_jobs for one in done if isinstance(one, PartOfRun))
    found = PartOfRun([], {}, folder=folder, shard=str(mine), n_jobs=n_jobs, n_left=left)
    again = "the same shard again does its part of the tasks, and then the same without a shard gathers"
    return replace(found, then=again) if left else found


def sources_of_run(run: Path) -> dict[str, dict[str, str]]:
    """Sources of a comparison: the frozen features, and every encoder of a pretraining run that is no control.

    Raises:
        DataError: no encoder is there.
    """
    folders = {"hage": run / "encoders"}
    folders |= {path.name: path for kind in ("variants", "systems") for path in sorted(run.glob(f"{kind}/*"))}
    found = {name: f"{path}/*/trial_*" for name, path in folders.items() if any(path.glob("*/trial_*"))}
    if not found:
        raise DataError(f"{run}: holds no encoder; `pretrain` with methods of {', '.join(SYSTEM_NAMES)} makes some")
    return {"frozen": {}, **{name: {"encoder": pattern} for name, pattern in found.items()}}


def _check_recipes(settings: CompareConfig) -> None:
    """Faults of every stage's config, before hours of work."""
    if settings.pretrain.recipe is not None:
        resolve_config(PretrainConfig, settings.pretrain.recipe, *pretrain_changes(settings.pretrain))
    for one in settings.tasks.values():
        if one.recipe is not None:
            resolve_config(TASK_CONFIGS[one.task], one.recipe, one.changes)


def pretrain_changes(stage: StageSettings) -> tuple[Changes, Changes]:
    """Every system and control, then what the comparison changes of its recipe."""
    return {"methods": list(SYSTEM_NAMES), "controls": "all"}, stage.changes


def _pretrained(stage: StageSettings, out: Path, every: Mapping[str, Any]) -> RunResults:
    if stage.recipe is None:
        return RunResults.read(stage.run or Path())
    return pretrain(resolve_config(PretrainConfig, stage.recipe, *pretrain_changes(stage)), out=out, **every)


def _encode(stage: StageSettings, every: Mapping[str, Any]) -> None:
    config = resolve_config(PretrainConfig, stage.recipe or "", *pretrain_changes(stage))
    encode_sections(config=config, device=every["device"], progress=every["progress"])


def _compared(one: TaskSettings, pretrained: Path, out: Path, every: Mapping[str, Any]) -> RunResults:
    if one.recipe is None:
        return RunResults.read(one.run or Path())
    task, model = _TASKS[one.task], TASK_CONFIGS[one.task]
    sources = sources_of_run(pretrained)
    controls = {"controls": str(pretrained)} if (pretrained / "controls").is_dir() else {}
    recipe = find_recipe(one.recipe, model)
    return task(recipe, sources=sources, changes={**controls, **one.changes}, out=out, **every)


def _collect(settings: CompareConfig, pretrained: RunResults, tasks: Mapping[str, RunResults]) -> Results:
    metric = settings.metric
    records = [record for name, found in tasks.items() for record in _records(name, found, metric)]
    ranked = {name: ranking(found, metric) for name, found in tasks.items()}
    meta = {
        "metric": metric,
        "ranking": {name: [one.row() for one in found] for name, found in ranked.items()},
        "controls": sorted({one for found in tasks.values() for one in controls_of(found)}),
        "sentences": {name: sentence(found, tasks[name], metric) for name, found in ranked.items()},
        "tasks": {name: {"task": found.task, "run": str(found.folder)} for name, found in tasks.items()},
        "pretrain": str(pretrained.folder),
        "encoder": pretrained.meta.get("encoder"),
        "encoder_sha256": pretrained.meta.get("encoder_sha256"),
        "encoder_licence": pretrained.meta.get("encoder_licence"),
        "synthetic": any(map(_is_made_up, tasks.values())),
        "config_sha256": config_sha256(settings),
        "warnings": list(dict.fromkeys(note for found in tasks.values() for note in found.notes)),
    }
    return Results([*records, *summarise(records)], meta)


def _is_made_up(results: RunResults) -> bool:
    files = (one for found in (results.meta.get("features") or {}).values() for one in found)
    return any(one.get("synthetic") for one in files)


def _records(task: str, results: RunResults, metric: str) -> Iterator[Record]:
    """A task's own records of the metric, over trials, under the task's name."""
    for one in results.select(metric=metric, trial=None, split="test", section=None):
        if one.fold not in (MEAN, STD):
            yield replace(one, task="compare", metric=f"{metric} ({task})")
