"""Config of `hage encode patches` and `hage probe`; the paper's values are the defaults where it gives them."""

from pathlib import Path

from pydantic import Field

from hage_transfer.config import EncoderSettings, PatchSetSettings, Settings, Sources, SourceSettings, SplitSettings


class ProbeTrainSettings(Settings):
    """Optimisation of the linear probe. The paper: one layer, cross-entropy, 10 epochs; the rest is ours."""

    epochs: int = Field(10, gt=0)
    batch_size: int = Field(1024, gt=0, description="rows a step; a small set wants a small batch to have steps enough")
    learning_rate: float = Field(1e-3, gt=0, description="of AdamW")
    weight_decay: float = Field(0.01, ge=0, description="of AdamW, on the weights")
    standardise: bool = Field(True, description="scale each feature by the fold's training rows")


class ProbeConfig(Settings):
    """Everything that decides a probe run."""

    data: PatchSetSettings = PatchSetSettings()
    features: Path = Field(Path("features/patches"), description="folder of features.h5 and labels.csv")
    encoder: EncoderSettings = EncoderSettings()
    sources: Sources = Field({"frozen": SourceSettings()})
    split: SplitSettings = SplitSettings()
    train: ProbeTrainSettings = ProbeTrainSettings()
    positive: str | None = Field(
        None, description="two classes: the one that AUC and recall speak of; None: the last in sorted order"
    )
    seed: int = Field(0, ge=0, lt=2**32, description="of weights and of the order of rows; folds have split.seed")
