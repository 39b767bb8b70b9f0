"""Several trials' expression models as one: the mean of their predictions over the genes that all of them know."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int

from hage_transfer.compare.genes import mean_over_defined
from hage_transfer.config import file_sha256
from hage_transfer.data.feature_file import FeatureMeta
from hage_transfer.data.spot_context import spot_context
from hage_transfer.errors import DataError
from hage_transfer.models.checkpoint import PREDICTOR_FILE, encoder_sha256
from hage_transfer.models.embedding import check_fits
from hage_transfer.models.expression_model import ExpressionModel

_ROWS_AT_A_TIME = 4096
_SAME = {
    "preset": "normalisation preset",
    "frozen_encoder": "frozen encoder",
    "frozen_encoder_sha256": "frozen weights",
    "context": "context of a spot",
}


@dataclass(frozen=True)
class Expression:
    """Predicted expression of some spots or tiles.

    Attributes:
        calibrated: mean over trials of each one's calibrated prediction, in the preset's unit.
        raw: mean over trials of what the networks put out, of no scale.
    """

    calibrated: Float32[np.ndarray, "spot gene"]
    raw: Float32[np.ndarray, "spot gene"]


class ExpressionEnsemble:
    """Expression models that are averaged.

    Attributes:
        folders: their encoder directories.
        models: loaded, in eval mode, in the order of ``folders``.
        genes: symbols that every panel holds, in the first one's order.
        preset: normalisation that their targets had.
    """

    def __init__(self, folders: Sequence[Path], models: Sequence[ExpressionModel]) -> None:
        self.folders, self.models = tuple(folders), tuple(models)
        for key, what in _SAME.items():
            values = [json.dumps(model.card.get(key)) for model in models]
            for folder, value in zip(folders, values, strict=True):
                if value != values[0]:
                    raise DataError(
                        f"{folders[0]} and {folder} differ in {what} ({values[0]}, {value}); average trials of one run"
                    )
        common = set.intersection(*(set(model.genes) for model in models))
        self.genes = tuple(gene for gene in models[0].genes if gene in common)
        if not self.genes:
            raise DataError(f"{folders[0]} and the others share no gene; average trials of one panel")
        self.preset = str(models[0].card.get("preset", "unknown"))

    @classmethod
    def from_folders(cls, folders: Sequence[Path], *, device: str = "cpu") -> "ExpressionEnsemble":
        """Loads every directory; errors as ``ExpressionModel.from_pretrained``.

        Raises:
            DataError: besides, directories of different presets or frozen encoders, or without a common gene.
        """
        return cls(folders, [ExpressionModel.from_pretrained(folder).to(device) for folder in folders])

    @property
    def validation_pcc(self) -> Float[np.ndarray, " gene"]:
        """Each gene's validation PCC, mean over the trials in which it is defined; NaN where in none."""
        return mean_over_defined([self.own(model, model.lines.validation_pcc) for model in self.models])

    def check_fits(self, meta: FeatureMeta, width: int) -> None:
        """Refuses features that a model was not trained on; errors as ``embed_features``.

        Args:
            meta: of the features.
            width: of the features as the frozen encoder puts them out, without context.
        """
        width *= 2 if self._context.get("neighbours") else 1
        for folder, model in zip(self.folders, self.models, strict=True):
            check_fits(meta, width, model.encoder, folder=folder)

    def in_context(
        self, features: Float[np.ndarray, "spot feature"], centres_px: Float[np.ndarray, "spot 2"]
    ) -> Float32[np.ndarray, "spot context"]:
        """Features of one section's spots (or slide's tiles) with the context that the models were trained with."""
        return spot_context(features, centres_px, **self._context)

    def predict(self, features: Float[np.ndarray, "spot feature"]) -> Expression:
        """The mean over trials of features ``in_context``; holds no array (spot, gene) besides the two."""
        shape = (len(features), len(self.genes))
        calibrated, raw = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for start in range(0, len(features), _ROWS_AT_A_TIME):
            part = slice(start, start + _ROWS_AT_A_TIME)
            for model in self.models:
                one = model.predict(features[part], calibrated=False)
                raw[part] += self.own(model, one) / len(self.models)
                calibrated[part] += self.own(model, model.calibrate(one)) / len(self.models)
        return Expression(calibrated, raw)

    def own(self, model: ExpressionModel, values: np.ndarray) -> np.ndarray:
        """The columns of ``values`` (its last axis: the model's panel) that are the ensemble's genes."""
        return values if model.genes == self.genes else values[..., self._columns(model)]

    def hashes(self) -> tuple[list[str], list[str]]:
        """Hashes of the encoders' weights and of the predictors', directory by directory."""
        encoders = [encoder_sha256(folder) for folder in self.folders]
        return encoders, [file_sha256(folder / PREDICTOR_FILE) for folder in self.folders]

    @property
    def _context(self) -> dict[str, Any]:
        return dict(self.models[0].card.get("context") or {})

    def _columns(self, model: ExpressionModel) -> Int[np.ndarray, " gene"]:
        place = {gene: column for column, gene in enumerate(model.genes)}
        return np.array([place[gene] for gene in self.genes])
