"""Config of `hage encode slides` and `hage mil`; CLAM's values are the defaults."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hage_transfer.compare.source_settings import Controls, Label, NullCopies, Sources, SourceSettings
from hage_transfer.config import (
    EncoderSettings,
    FeatureSetSettings,
    PatchSetSettings,
    Precision,
    Settings,
    SlideSetSettings,
    SplitSettings,
)
from hage_transfer.mil.kinds import check_kind
from hage_transfer.targets.settings import ClassSettings, TargetSettings, refuse_class_keys, tagged

_LAYOUTS = ("manifest", "folder", "pattern", "pcam", "slides", "features")

BagSettings = Annotated[PatchSetSettings | SlideSetSettings | FeatureSetSettings, Field(discriminator="layout")]


class MilModelSettings(Settings):
    """Which bag classifier, and its sizes; those that its kind does not have change nothing."""

    kind: str = Field(
        "abmil",
        description="abmil; clam_sb, clam_mb: CLAM with one or several branches; mean, max: pooling; torchmil:<Model>: "
        "one of torchmil's (extra torchmil), transmil for short; an installed classifier's name",
    )
    hidden_dim: int = Field(
        512, ge=0, description="width of a tile after the first layer; 0: no such layer, features are pooled themselves"
    )
    attention_dim: int = Field(256, gt=0, description="width of the attention's hidden layer")
    gated: bool = Field(True, description="gated attention (Eq. 9 of AB-MIL); False: plain (Eq. 8)")
    dropout: float = Field(0.25, ge=0, lt=1, description="after the first layer, and in the attention")
    instance_tiles: int = Field(8, gt=0, description="CLAM: tiles of highest and of lowest attention that are labelled")
    bag_weight: float = Field(0.7, ge=0, le=1, description="CLAM: share of the bag's loss; the rest is the tiles'")
    instance_loss: Literal["smooth_svm", "cross_entropy"] = Field("smooth_svm", description="CLAM: loss of the tiles")
    subtyping: bool = Field(False, description="CLAM: classes exclude each other, so tiles count against the others")
    options: dict[str, Any] = Field(
        {}, description="torchmil's or an installed classifier: further keyword arguments of its class"
    )

    @field_validator("kind")
    @classmethod
    def _kind_is_known(cls, kind: str) -> str:
        return check_kind(kind)

    def sizes(self, *, positive: int | None = None) -> dict[str, Any]:
        """Kind and those sizes that it has, as ``build_model`` takes them.

        Args:
            positive: of two classes, the one that max pooling looks for.
        """
        sizes: dict[str, Any] = {"kind": self.kind, "hidden_dim": self.hidden_dim, "dropout": self.dropout}
        if self.kind == "max":
            sizes["positive"] = positive
        if self.kind in ("abmil", "clam_sb", "clam_mb"):
            sizes |= {"attention_dim": self.attention_dim, "gated": self.gated}
        if self.kind in ("clam_sb", "clam_mb"):
            names = ("instance_tiles", "bag_weight", "instance_loss", "subtyping")
            sizes |= {name: getattr(self, name) for name in names}
        if self.options:
            sizes["options"] = self.options
        return sizes


class MilTrainSettings(Settings):
    """Optimisation of the bag classifier."""

    epochs: int = Field(200, gt=0, description="at most; exactly so many where validation is 0")
    min_epochs: int = Field(50, ge=0, description="early stop only after so many epochs")
    patience: int = Field(20, gt=0, description="stop after so many epochs without a lower validation loss")
    validation: float = Field(
        0.125, ge=0, lt=1, description="share of a fold's training slides kept for early stop; 0: train to `epochs`"
    )
    bags_per_step: int = Field(1, gt=0, description="bags whose gradients make one step")
    learning_rate: float = Field(2e-4, gt=0, le=100, description="of Adam")
    weight_decay: float = Field(1e-5, ge=0, description="of Adam")
    standardise: bool = Field(True, description="scale each feature by the tiles of the fold's training slides")
    instance_dropout: float = Field(0.0, ge=0, lt=1, description="share of a bag's tiles that each visit leaves out")
    tiles_per_visit: int | None = Field(
        None,
        gt=0,
        description="most tiles of a bag that a visit trains on, drawn anew each time, for less work; None: all. "
        "Validation and test see whole bags",
    )
    class_weights: Literal["none", "balanced"] = Field("none", description="balanced: a rare class counts for more")
    repeats: int = Field(
        1,
        gt=0,
        description="trials of each source, trial k with the seed seed + k; a source with fewer encoders goes through "
        "them again, one with more has one trial each. 1: a trial each, all with the same seed",
    )
    final: bool = Field(
        False,
        description="also train on every slide, as long as the folds' best took (their median), beside the folds' "
        "models, for new patients; changes no number",
    )
    threads: int = Field(
        1, gt=0, description="of the products of one training; jobs= uses cores too, and changes no number"
    )
    precision: Precision = Field(
        "float32",
        description="of the products of training (bf16, fp16 on accelerators alone); validation and test are float32",
    )
    deterministic: bool = Field(
        False, description="the same numbers to the bit at each run on an accelerator; slower (the CPU's always are)"
    )
    checkpoint_s: float = Field(
        20.0, ge=0, description="least seconds between writes of what a killed run resumes from"
    )


class MilSplitSettings(SplitSettings):
    """Folds of the slides, each with a validation part inside its training part."""

    mode: Literal["folds", "site", "monte_carlo", "files"] = Field(
        "folds",
        description="folds: disjoint test parts; site: these, and each site (column site, or a TCGA barcode's) is "
        "on one side; monte_carlo: `folds` draws whose test parts overlap, as CLAM's; files: CLAM's splits_<i>.csv",
    )
    test_share: float = Field(0.1, gt=0, lt=1, description="monte_carlo: of the slides of each class, in each draw")
    files: Path | None = Field(None, description="files: a folder of splits_<i>.csv")
    unknown_slides: Literal["refuse", "drop"] = Field(
        "refuse", description="files: slides that the label table does not have: an error, or left out and counted"
    )
    shared_groups: Literal["refuse", "keep"] = Field(
        "refuse", description="files: groups on two sides: an error, or kept as published and said in the results"
    )

    @model_validator(mode="after")
    def _files_belong_to_their_mode(self) -> "MilSplitSettings":
        if (self.mode == "files") != (self.files is not None):
            raise ValueError("split.mode files and split.files (a folder of splits_<i>.csv) go together")
        if self.repeats > 1 and self.mode in ("monte_carlo", "files"):
            raise ValueError(f"split.repeats repeats folds; with split.mode {self.mode} it is 1 (draws: split.folds)")
        return self


class MilConfig(Settings):
    """Everything that decides a MIL run."""

    data: BagSettings = Field(description="images cut into tiles, whole slides, or feature files")
    features: Path = Field(Path("features/bags"), description="folder of features/<slide>.h5 and labels.csv")
    encoder: EncoderSettings = EncoderSettings()
    sources: Sources = Field({"frozen": SourceSettings()})
    target: TargetSettings = ClassSettings()
    split: MilSplitSettings = MilSplitSettings()
    model: MilModelSettings = MilModelSettings()
    train: MilTrainSettings = MilTrainSettings()
    positive: Label | None = Field(
        None, description="two classes: the one that AUC and recall speak of; None: the last in sorted order"
    )
    quoted: dict[str, dict[str, float]] = Field(
        {},
        description="published numbers to print beside these: system to metric to value; nothing is computed of them",
    )
    null: int = NullCopies
    controls: bool | Path | None = Controls
    memory_gib: float = Field(
        1.0, ge=0, le=1e6, description="features that one training keeps in memory; others are read in every epoch"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="of weights and of the order of bags; folds have split.seed")

    @model_validator(mode="before")
    @classmethod
    def _layout_is_known(cls, tree: Any) -> Any:
        data = tree.get("data") if isinstance(tree, dict) else None
        if isinstance(data, dict) and data.get("layout") not in _LAYOUTS:
            wanted = f"wanted {', '.join(_LAYOUTS[:-1])} or {_LAYOUTS[-1]}"
            if "layout" not in data:
                raise ValueError(f"data.layout is missing: {wanted}")
            raise ValueError(f"data.layout = {data['layout']!r}: {wanted}")
        return tree

    @field_validator("target", mode="before")
    @classmethod
    def _target_has_a_kind(cls, tree: Any) -> Any:
        return tagged(tree)

    @model_validator(mode="after")
    def _keys_of_classes(self) -> "MilConfig":
        balanced = None if self.train.class_weights == "none" else self.train.class_weights
        refuse_class_keys(self.target, {"positive": self.positive, "train.class_weights": balanced})
        return self

    @model_validator(mode="after")
    def _images_have_tiles(self) -> "MilConfig":
        if isinstance(self.data, PatchSetSettings) and self.data.tile_px is None:
            raise ValueError("data.tile_px is missing: an image becomes a bag by being cut into tiles of this side")
        return self
