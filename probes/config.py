"""Config of `hage encode patches` and `hage probe`; the paper's values are the defaults where it gives them."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hage_transfer.compare.source_settings import Controls, Label, NullCopies, Sources, SourceSettings
from hage_transfer.config import EncoderSettings, PatchSetSettings, Settings, SplitSettings
from hage_transfer.targets.settings import ClassSettings, TargetSettings, refuse_class_keys, tagged

Classifier = Literal["logistic", "knn", "class_mean"]


class ProbeTrainSettings(Settings):
    """Optimisation of the linear probe. The paper: one layer, cross-entropy, 10 epochs; the rest is ours."""

    epochs: int = Field(10, gt=0, description="exactly so many")
    batch_size: int = Field(1024, gt=0, description="rows a step; a small set wants a small batch to have steps enough")
    learning_rate: float = Field(1e-3, gt=0, le=100, description="of AdamW")
    weight_decay: float = Field(0.01, ge=0, description="of AdamW, on the weights")
    standardise: bool = Field(True, description="scale each feature by the fold's training rows")
    min_steps: int = Field(
        1000,
        ge=0,
        description="of a target beyond classes: further epochs until so many steps are made, since a number has a "
        "scale, which the few steps of a small set do not reach",
    )
    final: bool = Field(
        False, description="also train a probe on every row, beside the folds', for new patients; changes no number"
    )


class ProbeSplitSettings(SplitSettings):
    """Cross-validation, or the split that was published with the set."""

    mode: Literal["folds", "official"] = Field(
        "folds", description="official: train on train, choose on valid, test on test, as published"
    )
    parts: Path | None = Field(
        None,
        description="official: csv `key,part` (a manifest's `path,...,part` will do); None: the part begins each key, "
        "as in PCAM",
    )

    @model_validator(mode="after")
    def _parts_belong_to_the_official_split(self) -> "ProbeSplitSettings":
        if self.parts is not None and self.mode != "official":
            raise ValueError("parts belongs to mode official, and split.mode is folds")
        if self.repeats > 1 and self.mode == "official":
            raise ValueError("split.repeats repeats folds, and an official split is one; set it to 1")
        return self


class CrossCheckSettings(Settings):
    """Other classifiers on the same features and folds."""

    classifiers: tuple[Classifier, ...] = Field((), description="of logistic, knn, class_mean")
    k: int = Field(20, gt=0, description="neighbours")
    logistic_iterations: int = Field(1000, gt=0, description="at most, of L-BFGS")
    logistic_penalty: Literal["squared", "norm"] = Field(
        "squared", description="squared: as scikit-learn; norm: as UNI's published default"
    )


class LearningCurveSettings(Settings):
    """The linear probe on fewer labels: the same draws for every source."""

    shares: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (), description="of each fold's training rows, such as [0.01, 0.1]; all of them are always there"
    )
    per_class: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        (), description="rows of each class, such as [1, 5, 10], from any group; classes alone"
    )
    draws: int = Field(5, gt=0, description="of each amount and fold; few labels differ much from draw to draw")
    unit: Literal["group", "row"] = Field(
        "group", description="of shares. group: whole groups, so few patients; row: rows of every class, from any group"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="of the draws")


class ProbeConfig(Settings):
    """Everything that decides a probe run."""

    data: PatchSetSettings = PatchSetSettings()
    features: Path = Field(Path("features/patches"), description="folder of features.h5 and labels.csv")
    encoder: EncoderSettings = EncoderSettings()
    sources: Sources = Field({"frozen": SourceSettings()})
    target: TargetSettings = ClassSettings()
    label_map: dict[Label, Label] = Field(
        {}, description="patterns of the set's labels (tumor_*) to classes of the probe; empty: the labels themselves"
    )
    split: ProbeSplitSettings = ProbeSplitSettings()
    train: ProbeTrainSettings = ProbeTrainSettings()
    cross_checks: CrossCheckSettings = CrossCheckSettings()
    learning_curve: LearningCurveSettings = LearningCurveSettings()
    positive: Label | None = Field(
        None, description="two classes: the one that AUC, recall and F1 speak of; None: the last in sorted order"
    )
    select_by: Literal["auc", "accuracy", "balanced_accuracy", "recall", "f1"] = Field(
        "auc",
        description="what the selection (select=True) takes the best encoder by; a target beyond classes: its main one",
    )
    null: int = NullCopies
    controls: bool | Path | None = Controls
    memory_gib: float = Field(4.0, ge=0, description="features that are larger are streamed; the numbers are the same")
    seed: int = Field(0, ge=0, lt=2**32, description="of the order of rows; folds have split.seed")

    @field_validator("target", mode="before")
    @classmethod
    def _target_has_a_kind(cls, tree: Any) -> Any:
        return tagged(tree)

    @model_validator(mode="after")
    def _keys_of_classes(self) -> "ProbeConfig":
        keys = {
            "positive": self.positive,
            "label_map": self.label_map or None,
            "cross_checks.classifiers": ", ".join(self.cross_checks.classifiers) or None,
            "learning_curve.per_class": ", ".join(map(str, self.learning_curve.per_class)) or None,
            "select_by": None if self.select_by == "auc" else self.select_by,
        }
        refuse_class_keys(self.target, keys)
        if not isinstance(self.target, ClassSettings) and self.target.missing == "drop":
            raise ValueError("target.missing = drop: of bags alone; leave such patches out of the set")
        return self
