"""What a probe run is to do, checked once before anything is written: labels, folds, positive class."""

from dataclasses import dataclass, replace
from typing import Literal

from hage_transfer.compare.classification import positive_class
from hage_transfer.compare.tested_rows import TestedRows
from hage_transfer.compare.value_scoring import ValueScoring
from hage_transfer.data.labels import LABELS_FILE, LabelTable, map_labels
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.probes.folds import ProbeFold, probe_folds
from hage_transfer.targets.base import Target
from hage_transfer.targets.read import refuse_numbers, with_target


@dataclass(frozen=True)
class ProbePlan:
    """A checked plan.

    Attributes:
        config: folds, optimisation, seeds.
        labels: of every patch, as classes of the probe; its keys are those of every feature file.
        folds: of the patches, the same for every source.
        positive: place of the class that AUC, recall and F1 speak of; None with more than two, and of a target.
        target: what is learnt in place of classes.
    """

    config: ProbeConfig
    labels: LabelTable
    folds: tuple[ProbeFold, ...]
    positive: int | None
    target: Target | None = None

    def scoring(self, side: Literal["test", "validation"]) -> ValueScoring | None:
        """How a target's scores of one side of the folds are judged; None of classes, or where no fold has that side.

        Args:
            side: of the folds.
        """
        if self.target is None:
            return None
        tested = TestedRows.of(self.labels, self.folds)
        if side == "validation":
            tested = replace(tested, folds={fold.name: fold.validation for fold in self.folds if len(fold.validation)})
        training = {fold.name: fold.train for fold in self.folds}
        return ValueScoring(self.target, tested, training) if tested.folds else None


def plan_probe(config: ProbeConfig, labels: LabelTable) -> ProbePlan:
    """Maps the set's labels to the probe's classes, or reads its target's values, and lays the folds.

    Raises:
        SplitError: as ``probe_folds``.
        ConfigError: labels that do not map to classes or are measurements, or a positive class that is none.
        DataError: as ``with_target``.
    """
    mapped, target = probe_labels(config, labels)
    positive = None if target is not None else positive_class(mapped.classes, config.positive)
    return ProbePlan(config, mapped, tuple(probe_folds(config.split, mapped)), positive, target)


def probe_labels(config: ProbeConfig, labels: LabelTable) -> tuple[LabelTable, Target | None]:
    """A patch set's labels as a probe learns them; errors as ``plan_probe``.

    Values are read from `target.table`, else from the set's manifest, else from the label table of its features.
    """
    if config.target.kind == "classes":
        mapped = map_labels(labels, config.label_map)
        if not config.label_map:
            refuse_numbers(mapped, config.data.manifest or config.data.root)
        return mapped, None
    return with_target(labels, config.target, config.features / LABELS_FILE, images=config.data)
