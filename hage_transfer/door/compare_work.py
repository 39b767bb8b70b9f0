"""The stages of a comparison of all systems, in units of work: its pretraining, then each task with every encoder."""

from collections.abc import Iterator, Mapping

from hage_transfer.compare.source_settings import SourceSettings
from hage_transfer.config import Settings
from hage_transfer.door.compare_config import CompareConfig
from hage_transfer.door.compare_systems import TASK_CONFIGS, pretrain_changes
from hage_transfer.door.plan_counts import Counts
from hage_transfer.door.planned_work import Stage, stages_of
from hage_transfer.door.recipes import resolve_config
from hage_transfer.errors import ConfigError
from hage_transfer.pretrain.config import METHOD_NAMES, SYSTEM_NAMES, PretrainConfig

_OF_FOLDS = ("frozen_standardised", "pca", "expression")
_OF_TRIALS = ("untrained", "shuffled")
"""Controls that leave an encoder a fold, and an encoder a trial."""


def stages_of_comparison(config: CompareConfig, amounts: Mapping[str, int | None]) -> Iterator[Stage]:
    """Its stages in their order; errors as ``stages_of``."""
    stage = config.pretrain
    if stage.recipe is None:
        raise ConfigError("pretrain.run: a finished run has nothing left to plan; plan its tasks by their own configs")
    pretrain = resolve_config(PretrainConfig, stage.recipe, *pretrain_changes(stage))
    counts = Counts(pretrain, amounts)
    yield from stages_of(pretrain, counts)
    folds = counts.folds(pretrain)
    sources = _sources(pretrain, folds)
    for name, task in config.tasks.items():
        if task.recipe is not None:
            settings: Settings = resolve_config(TASK_CONFIGS[task.task], task.recipe, task.changes)
            with_all = settings.model_copy(update={"sources": sources})
            yield from stages_of(with_all, Counts(with_all, amounts, pretrain.model.embed_dim), of=f"{name}: ")


def _sources(config: PretrainConfig, folds: int) -> dict[str, SourceSettings]:
    """As the comparison makes them: frozen features, and the encoders of each system and control."""
    left = [name for name in config.methods if name in SYSTEM_NAMES or name not in METHOD_NAMES]
    each = dict.fromkeys((*left, *config.variants), folds * config.trials)
    if config.controls != "none":
        each |= dict.fromkeys(_OF_FOLDS, folds)
        each |= dict.fromkeys(_OF_TRIALS[: 2 if config.controls == "all" else 1], folds * config.trials)
    found = {name: SourceSettings(encoder=tuple(f"{name}/{k}" for k in range(n))) for name, n in each.items()}
    return {"frozen": SourceSettings(), **found}
