"""What a MIL run is to do, checked once before anything is written: labels, folds, positive class, frozen features."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hage_transfer.compare.classification import positive_class
from hage_transfer.data.labels import LabelTable
from hage_transfer.mil.bags import BagSet, open_bags, say_notes, side_by_side_bags
from hage_transfer.mil.config import MilConfig
from hage_transfer.mil.folds import MilFold, mil_folds


@dataclass(frozen=True)
class MilPlan:
    """A checked plan.

    Attributes:
        config: folds, model, optimisation, seeds.
        labels: of every slide.
        folds: of the slides, the same for every source.
        positive: place of the class that AUC and recall speak of; None with more than two.
        frozen: folder and bags of the frozen features; None where no source starts from them.
    """

    config: MilConfig
    labels: LabelTable
    folds: tuple[MilFold, ...]
    positive: int | None
    frozen: tuple[Path, BagSet] | None = None

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


def plan_mil(config: MilConfig, labels: LabelTable) -> MilPlan:
    """Checks what can be checked before features are encoded.

    Args:
        config: of the run.
        labels: of its slides.

    Raises:
        SplitError: as ``mil_folds``.
        ConfigError: a positive class that is none.
    """
    positive = positive_class(labels.classes, config.positive)
    return MilPlan(config, labels, tuple(mil_folds(config, labels)), positive)
