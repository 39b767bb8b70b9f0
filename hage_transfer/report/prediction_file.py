"""The file of a prediction: AnnData that scanpy and squidpy open and draw.

``X`` calibrated prediction, float32, in the preset's unit; ``layers["raw"]`` as the networks put it out; where counts
are at hand ``layers["target"]`` and ``var["pcc"]``; ``layers["attention"]`` where the encoders attend to genes;
``obsm["spatial"]`` centres of spots or tiles, level-0 (x, y); ``uns["spatial"][<name>]`` in the form of Space Ranger's
readers (``images.hires``, ``scalefactors``); ``uns["hage"]`` where it all comes from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from jaxtyping import Float, Float32

from hage_transfer.compare.genes import gene_pcc
from hage_transfer.data.h5_file import open_h5, read_h5ad, text_rows
from hage_transfer.data.h5_writing import write_h5ad
from hage_transfer.errors import DataError
from hage_transfer.models.ensemble import Expression
from hage_transfer.report.thumbnail import Thumbnail, read_thumbnail

SCHEMA_VERSION = 1
IMAGE_MAX_PX = 1000


@dataclass(frozen=True, kw_only=True)
class Place:
    """What is predicted, and where its rows lie.

    Attributes:
        name: of the section or slide.
        obs: one row a spot or tile.
        centres_px: (x, y) at level 0.
        diameter_px: of a spot, or side of a tile, at level 0.
        shape: `circle` (spots) or `square` (tiles).
        image: H&E image whose level 0 the coordinates are of; None where none is at hand.
        mpp_um_per_px: of level 0; NaN where it is not known.
    """

    name: str
    obs: pd.DataFrame
    centres_px: Float[np.ndarray, "spot 2"]
    diameter_px: float
    shape: str
    image: Path | None
    mpp_um_per_px: float


def make_prediction(
    expression: Expression,
    place: Place,
    *,
    genes: tuple[str, ...],
    validation_pcc: Float[np.ndarray, " gene"],
    provenance: Mapping[str, Any],
    target: Float32[np.ndarray, "spot gene"] | None = None,
    attention: Float32[np.ndarray, "spot gene"] | None = None,
) -> ad.AnnData:
    """Puts a prediction into the form above; ``provenance`` becomes ``uns["hage"]``."""
    var = pd.DataFrame({"validation_pcc": validation_pcc}, index=pd.Index(genes, name="gene"))
    layers = {"raw": expression.raw}
    if target is not None:
        var["pcc"] = gene_pcc(expression.calibrated, target)
        layers["target"] = target
    if attention is not None:
        layers["attention"] = attention
    return ad.AnnData(
        X=expression.calibrated,
        obs=place.obs,
        var=var,
        layers=layers,
        obsm={"spatial": np.asarray(place.centres_px, dtype=np.float64)},
        uns={
            "spatial": {place.name: _spatial(place)},
            "hage": {
                "schema_version": SCHEMA_VERSION,
                "name": place.name,
                "shape": place.shape,
                "mpp_um_per_px": float(place.mpp_um_per_px),
                **provenance,
            },
        },
    )


def write_prediction(path: Path, prediction: ad.AnnData) -> None:
    """Writes it atomically.

    Raises:
        DataError: NaN or infinity among the predicted values.
    """
    for name, values in (("prediction", prediction.X), *prediction.layers.items()):
        if name != "target" and not np.isfinite(values).all():
            raise DataError(f"{path}: {name} holds NaN or infinity; look at the features and the encoders' weights")
    write_h5ad(path, prediction)


def read_prediction(path: Path) -> ad.AnnData:
    """Reads a prediction that ``write_prediction`` wrote.

    Raises:
        DataError: missing, or no such file.
    """
    prediction = read_h5ad(path, what="cannot be read as a prediction", remedy="predict it again")
    if "hage" not in prediction.uns:
        raise DataError(f'{path}: has no uns["hage"], so `predict` did not write it')
    return prediction


def inputs_sha256(path: Path) -> str | None:
    """What a prediction that is there was made from; None where there is none or it says nothing."""
    if not path.is_file():
        return None
    try:
        with open_h5(path) as file:
            stored = file.get("uns/hage/inputs_sha256")
            return None if stored is None else str(text_rows(path, stored))
    except DataError:
        return None


def thumbnail_of(prediction: ad.AnnData) -> Thumbnail | None:
    """The H&E picture in a prediction; None where no image was at hand."""
    spatial = prediction.uns["spatial"][prediction.uns["hage"]["name"]]
    if not spatial["metadata"]["image"]:
        return None
    return Thumbnail(np.asarray(spatial["images"]["hires"]), float(spatial["scalefactors"]["tissue_hires_scalef"]))


def _spatial(place: Place) -> dict[str, Any]:
    """Both libraries look for an image under `hires` first and fail without one: a white one stands where none is."""
    picture = _blank(place) if place.image is None else read_thumbnail(place.image, max_px=IMAGE_MAX_PX)
    return {
        "images": {"hires": picture.image},
        "scalefactors": {
            "spot_diameter_fullres": float(place.diameter_px),
            "tissue_hires_scalef": float(picture.scale),
        },
        "metadata": {"image": "" if place.image is None else place.image.name},
    }


def _blank(place: Place) -> Thumbnail:
    width, height = np.ceil(place.centres_px.max(0) + place.diameter_px).astype(int)
    scale = min(1.0, IMAGE_MAX_PX / max(width, height))
    shape = (max(1, round(height * scale)), max(1, round(width * scale)), 3)
    return Thumbnail(np.full(shape, 255, dtype=np.uint8), scale)
