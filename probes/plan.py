"""What a probe run is to do, checked once before anything is written: labels, folds, positive class."""

from dataclasses import dataclass

from hage_transfer.compare.classification import positive_class
from hage_transfer.data.labels import LabelTable, map_labels
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.probes.folds import ProbeFold, probe_folds


@dataclass(frozen=True)
class ProbePlan:
    """A checked plan.

    Attributes:
        config: folds, optimisation, seeds.
        labels: of every patch, as classes of the probe; its keys are those of every feature file.
        folds: of the patches, the same for every source.
        positive: place of the class that AUC, recall and F1 speak of; None with more than two.
    """

    config: ProbeConfig
    labels: LabelTable
    folds: tuple[ProbeFold, ...]
    positive: int | None


def plan_probe(config: ProbeConfig, labels: LabelTable) -> ProbePlan:
    """Maps the set's labels to the probe's classes and lays the folds.

    Raises:
        SplitError: as ``probe_folds``.
        ConfigError: labels that do not map to classes, or a positive class that is none.
    """
    mapped = map_labels(labels, config.label_map)
    positive = positive_class(mapped.classes, config.positive)
    return ProbePlan(config, mapped, tuple(probe_folds(config.split, mapped)), positive)
