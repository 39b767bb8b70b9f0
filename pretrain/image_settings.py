"""Settings of what pretraining sees of a spot's image: the patch, networks on pixels, adapters of the encoder."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from hage_transfer.config import Settings


class PatchSettings(Settings):
    """The patch around each spot. The paper: 224 px centred on the spot, at the image's own resolution."""

    size_px: int = Field(224, gt=0, description="side of the square the encoder is given, in pixels it sees")
    mpp_um_per_px: float | None = Field(None, gt=0, description="resample to this resolution; None: the image's own")


class PixelSettings(Settings):
    """Image networks of the systems on pixels (`stnet_pixels`, ...), which train on patches in place of features."""

    network: str = Field("resnet18", description="of timm, by name (densenet121, resnet50); HisToGene has its own")
    weights: Path | None = Field(None, description="local weights file of that network; None: random weights")
    size_px: int = Field(224, ge=16, description="side that the patch is shrunk to")
    cache: Path = Field(Path("features/pixels"), description="folder of the patches, one file a section")
    turns: bool = Field(True, description="turn and flip patches at random while training")
    learning_rate: float | None = Field(None, gt=0, description="None: each system's published one")


class ImageEncoderSettings(Settings):
    """Adapters of the frozen encoder, which HAGE trains on the patches that `pixels` caches. Off as in the paper."""

    adapt: Literal["none", "lora"] = Field(
        "none", description="lora: low-rank additions to the encoder's last layers, trained by the same losses (ours)"
    )
    rank: int = Field(4, gt=0, description="of each addition")
    alpha: float = Field(8.0, gt=0, description="its scale is alpha / rank")
    stages: int = Field(2, gt=0, description="blocks that are adapted, the last ones that the features are made of")
    learning_rate: float = Field(1e-3, gt=0, description="of the additions, by Adam beside the heads' own rate")
    turns: bool = Field(True, description="turn and flip patches at random while training")
