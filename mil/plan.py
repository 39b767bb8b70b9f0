"""What a MIL run is to do, checked once before anything is written: labels, folds, positive class, frozen features."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hage_transfer.compare.classification import positive_class
from hage_transfer.data.labels import LabelTable
from hage_transfer.errors import ConfigError
from hage_transfer.mil.bags import BagSet, open_bags, say_notes, side_by_side_bags
from hage_transfer.mil.config import MilConfig
from hage_transfer.mil.folds import MilFold, mil_folds
from hage_transfer.mil.kinds import TORCHMIL, torchmil_name
from hage_transfer.targets.base import Target


@dataclass(frozen=True)
class MilPlan:
    """A checked plan.

    Attributes:
        config: folds, model, optimisation, seeds.
        labels: of every slide.
        folds: of the slides, the same for every source.
        positive: place of the class that AUC and recall speak of; None with more than two, and of a target.
        target: what is learnt in place of classes.
        frozen: folder and bags of the frozen features; None where no source starts from them.
    """

    config: MilConfig
    labels: LabelTable
    folds: tuple[MilFold, ...]
    positive: int | None
    frozen: tuple[Path, BagSet] | None = None
    target: Target | None = None

    @property
    def n_scores(self) -> int:
        """Numbers that are written of a slide."""
        return len(self.labels.classes if self.target is None else self.target.score_names)

    def starting_from(self, frozen: Path) -> "MilPlan":
        """With the frozen features of a folder, checked before they are embedded; errors as ``open_bags``."""
        return replace(self, frozen=(frozen, open_bags(frozen, self.labels, quiet=True)))

    def open(self, trials: Sequence[tuple[Path, ...]]) -> dict[tuple[Path, ...], BagSet]:
        """Bags of every trial's folders, each folder opened once; the log says what is odd about them.

        Raises:
            DataError: as ``open_bags`` and ``side_by_side_bags``.
        """
        memory = int(self.config.memory_gib * 2**30)
        opened = {} if self.frozen is None else dict([self.frozen])
        for folder in dict.fromkeys(folder for folders in trials for folder in folders):
            if folder not in opened:
                opened[folder] = open_bags(folder, self.labels, quiet=True)
            say_notes(opened[folder])
        return {
            folders: side_by_side_bags([opened[folder] for folder in folders], memory_limit_bytes=memory)
            for folders in trials
        }


def plan_mil(config: MilConfig, labels: LabelTable, target: Target | None = None) -> MilPlan:
    """Checks what can be checked before features are encoded.

    Args:
        config: of the run.
        labels: of its slides.
        target: what the labels' values are of, where it is no class.

    Raises:
        SplitError: as ``mil_folds``.
        ConfigError: a positive class that is none; a bag classifier that cannot learn the target.
    """
    check_kind_of(config.model.kind, target)
    positive = None if target is not None else positive_class(labels.classes, config.positive)
    return MilPlan(config, labels, tuple(mil_folds(config, labels)), positive, target=target)


def check_kind_of(kind: str, target: Target | None) -> None:
    """Refuses a bag classifier that cannot learn a target.

    Raises:
        ConfigError: CLAM and those of torchmil's whose losses are of classes; max pooling of several outputs.
    """
    if target is None:
        return
    name = torchmil_name(kind)
    why = ""
    if kind in ("clam_sb", "clam_mb"):
        why = "labels its tiles by class"
    elif name is not None and TORCHMIL[name].head is None:
        why = "has a loss of its own, of two classes"
    elif kind == "max" and len(target.outputs) > 1:
        why = f"takes the one tile of highest output, and this target has {len(target.outputs)} outputs"
    if why:
        raise ConfigError(f"model.kind = {kind}: {why}; with target.kind {target.kind} use abmil, mean, or transmil")
