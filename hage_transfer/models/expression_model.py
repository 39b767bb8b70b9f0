"""From frozen features to predicted expression: encoder, predictor and calibration of one encoder directory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from hage_transfer.errors import DataError
from hage_transfer.models import checkpoint
from hage_transfer.models.expression import build_predictor
from hage_transfer.models.gene_informed import GeneInformedEncoder
from hage_transfer.models.linear_start import LinearStart
from hage_transfer.running.devices import to_device
from hage_transfer.tensor_files import build_fitting, refuse_not_finite

_ROWS_AT_A_TIME = 4096
_WEIGHTS, _FITTED, _START = "predictor.", "calibration.", "start."


@dataclass(frozen=True)
class GeneLines:
    """What a trial knows of each gene of its panel besides its weights, all (gene,).

    Attributes:
        slope: of the line that puts a raw prediction on the scale of expression; 0 or more.
        intercept: of that line, in the preset's unit.
        validation_pcc: PCC over the validation spots of each training section, mean over sections; NaN where a gene
            is constant in all of them.
    """

    slope: Float[np.ndarray, " gene"]
    intercept: Float[np.ndarray, " gene"]
    validation_pcc: Float[np.ndarray, " gene"]


class ExpressionModel(nn.Module):
    """y = f_Pred(f_GE(x)), HAGE section 2.1, with a calibrating line per gene.

    Eq. 2 ignores scale and shift, so what the network puts out has neither; the line, fitted on the training
    sections' spots, gives both and leaves each gene's correlation as it is.

    Args:
        encoder: the gene-informed encoder.
        predictor: embeddings (batch, embed) to raw expression (batch, gene).
        genes: symbols, in the order of the predictor's output.
        lines: slope, intercept and validation PCC of each gene.
        kind: how the predictor is built, `mlp` or `gene_conditioned`.
        start: what the prediction began at, and the predictor adds to; None: nothing.
    """

    def __init__(
        self,
        encoder: GeneInformedEncoder,
        predictor: nn.Module,
        *,
        genes: Sequence[str],
        lines: GeneLines,
        kind: str = "mlp",
        start: LinearStart | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.predictor, self.start = encoder, predictor, start
        self.genes, self.lines, self.kind = tuple(genes), lines, kind

    @property
    def card(self) -> dict[str, Any]:
        """What ``config.json`` of the encoder directory said."""
        return self.encoder.card

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch gene"]:
        """Raw predictions, whose scale per gene is arbitrary."""
        predicted = self.predictor(self.encoder(features))
        return predicted if self.start is None else self.start(features, predicted)

    @torch.inference_mode()
    def predict(
        self, features: Float[np.ndarray, "spot feature"] | Float[Tensor, "spot feature"], *, calibrated: bool = True
    ) -> Float32[np.ndarray, "spot gene"]:
        """Predicted expression of every row, 4,096 at a time.

        Args:
            features: of the frozen encoder that the model was trained on.
            calibrated: on the scale of the preset (``card["preset"]``); False: as the network puts it out.

        Raises:
            DataError: rows of another width.
        """
        if features.ndim != 2 or features.shape[1] != self.encoder.feature_dim:
            raise DataError(
                f"features are (spot, {self.encoder.feature_dim}), these have shape {tuple(features.shape)}"
            )
        expression = np.empty((len(features), len(self.genes)), dtype=np.float32)
        training = self.training
        self.eval()
        for start in range(0, len(features), _ROWS_AT_A_TIME):
            rows = self.to_device(features[start : start + _ROWS_AT_A_TIME])
            raw = self(rows).cpu().numpy()
            expression[start : start + _ROWS_AT_A_TIME] = self.calibrate(raw) if calibrated else raw
        self.train(training)
        return expression

    def to_device(
        self, features: Float[np.ndarray, "batch feature"] | Float[Tensor, "batch feature"]
    ) -> Float32[Tensor, "batch feature"]:
        """A few rows as float32 where the model is; an array is copied, since it may be mapped from a file."""
        device = self.encoder.feature_mean.device
        if isinstance(features, Tensor):
            return features.to(device, torch.float32)
        return to_device(torch.from_numpy(np.array(features, dtype=np.float32)), device)

    def calibrate(self, raw: Float[np.ndarray, "spot gene"]) -> Float32[np.ndarray, "spot gene"]:
        """Raw predictions on the scale of the preset."""
        return (self.lines.intercept + self.lines.slope * raw.astype(np.float64)).astype(np.float32)

    def save_pretrained(self, folder: Path, *, card: Mapping[str, Any]) -> None:
        """Writes the encoder directory with the predictor beside the encoder, whole or not at all."""
        encoder = self.encoder
        fitted = {
            f"{_FITTED}{name}": torch.from_numpy(np.asarray(getattr(self.lines, name), dtype=np.float64))
            for name in ("slope", "intercept", "validation_pcc")
        }
        weights = {f"{_WEIGHTS}{name}": value for name, value in self.predictor.state_dict().items()}
        start = {} if self.start is None else self.start.state_dict()
        started = {f"{_START}{name}": value for name, value in start.items()}
        checkpoint.write_encoder(
            folder,
            tensors=encoder.state_dict(),
            predictor={**weights, **fitted, **started},
            card={**encoder.identity(), **card, "panel": list(self.genes), "predictor": {"kind": self.kind}},
        )

    @classmethod
    def from_pretrained(cls, name: str | Path, *, revision: str | None = None, token: str | None = None) -> Self:
        """Loads an encoder directory that holds a predictor, or a hub repository of that form.

        Arguments are those of ``GeneInformedEncoder.from_pretrained``.

        Raises:
            DataError: no encoder directory, none with a predictor, or weights that do not fit ``config.json``.
            WeightsError: ``name`` is no folder and the hub has it not, or cannot be reached.
        """
        folder = checkpoint.find_encoder(name, revision=revision, token=token)
        encoder = GeneInformedEncoder.from_pretrained(folder)
        tensors = checkpoint.read_predictor(folder)
        genes, kind = _panel_and_kind(encoder.card, where=str(name))
        weights = _part(tensors, _WEIGHTS)
        predictor = build_fitting(
            lambda: build_predictor(
                kind, embed_dim=encoder.embed_dim, n_genes=len(genes), gene_vectors=weights.get("gene_vectors")
            ),
            weights,
            where=str(name),
        )
        lines = _part(tensors, _FITTED)
        may_be_nan = "validation_pcc"  # of a gene that is constant on the validation spots
        refuse_not_finite({key: value for key, value in lines.items() if key != may_be_nan}, where=str(name))
        fitted = {key: value.numpy() for key, value in lines.items()}
        wrong = [key for key in GeneLines.__dataclass_fields__ if fitted.get(key, np.empty(0)).shape != (len(genes),)]
        if wrong:
            raise DataError(f"{name}: {checkpoint.PREDICTOR_FILE} lacks {', '.join(wrong)} of {len(genes)} genes")
        start, begun = None, _part(tensors, _START)
        if begun:
            start = build_fitting(lambda: LinearStart.build(begun), begun, where=str(name))
            if (start.mean.shape, start.gate.shape) != ((encoder.feature_dim,), (len(genes),)):
                raise DataError(
                    f"{name}: {checkpoint.PREDICTOR_FILE} starts from other features or genes; copy it again"
                )
        return cls(encoder, predictor, genes=genes, lines=GeneLines(**fitted), kind=kind, start=start).eval()


def _panel_and_kind(card: Mapping[str, Any], *, where: str) -> tuple[list[str], Any]:
    """Genes and kind of predictor that a card names."""
    genes, settings = card.get("panel"), card.get("predictor")
    kind = settings.get("kind") if isinstance(settings, dict) else None
    if not isinstance(genes, list) or not genes or not all(isinstance(gene, str) for gene in genes) or not kind:
        raise DataError(f"{where}: config.json names no panel or no predictor.kind; train it again")
    return genes, kind


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
