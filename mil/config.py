"""Config of `hage encode slides` and `hage mil`; CLAM's values are the defaults."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from hage_transfer.config import (
    EncoderSettings,
    FeatureSetSettings,
    PatchSetSettings,
    Settings,
    SlideSetSettings,
    Sources,
    SourceSettings,
    SplitSettings,
)

_LAYOUTS = ("manifest", "folder", "pattern", "pcam", "slides", "features")

BagSettings = Annotated[PatchSetSettings | SlideSetSettings | FeatureSetSettings, Field(discriminator="layout")]


class MilModelSettings(Settings):
    """Sizes of AB-MIL."""

    hidden_dim: int = Field(
        512, ge=0, description="width of a tile after the first layer; 0: no such layer, features are pooled themselves"
    )
    attention_dim: int = Field(256, gt=0, description="width of the attention's hidden layer")
    gated: bool = Field(True, description="gated attention (Eq. 9 of AB-MIL); False: plain (Eq. 8)")
    dropout: float = Field(0.25, ge=0, lt=1)


class MilTrainSettings(Settings):
    """Optimisation of AB-MIL."""

    epochs: int = Field(200, gt=0, description="at most; exactly so many where validation is 0")
    min_epochs: int = Field(50, ge=0, description="early stop only after so many epochs")
    patience: int = Field(20, gt=0, description="stop after so many epochs without a lower validation loss")
    validation: float = Field(
        0.125, ge=0, lt=1, description="share of a fold's training slides kept for early stop; 0: train to `epochs`"
    )
    bags_per_step: int = Field(1, gt=0, description="bags whose gradients make one step")
    learning_rate: float = Field(2e-4, gt=0, description="of Adam")
    weight_decay: float = Field(1e-5, ge=0)
    standardise: bool = Field(True, description="scale each feature by the tiles of the fold's training slides")


class MilConfig(Settings):
    """Everything that decides a MIL run."""

    data: BagSettings = Field(description="images cut into tiles, whole slides, or feature files")
    features: Path = Field(Path("features/bags"), description="folder of features/<slide>.h5 and labels.csv")
    encoder: EncoderSettings = EncoderSettings()
    sources: Sources = Field({"frozen": SourceSettings()})
    split: SplitSettings = SplitSettings()
    model: MilModelSettings = MilModelSettings()
    train: MilTrainSettings = MilTrainSettings()
    positive: str | None = Field(
        None, description="two classes: the one that AUC and recall speak of; None: the last in sorted order"
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

    @model_validator(mode="after")
    def _images_have_tiles(self) -> "MilConfig":
        if isinstance(self.data, PatchSetSettings) and self.data.tile_px is None:
            raise ValueError("data.tile_px is missing: an image becomes a bag by being cut into tiles of this side")
        return self
