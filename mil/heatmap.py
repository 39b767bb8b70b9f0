"""Why a slide was called: the attention of the models that tested it, and what they say of each tile alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import stats

from hage_transfer.compare.out_of_fold import check_prediction_rows
from hage_transfer.compare.results import Results
from hage_transfer.csv_table import csv_table
from hage_transfer.errors import DataError
from hage_transfer.mil.checkpoint import FoldModel
from hage_transfer.mil.models import TilewiseMIL
from hage_transfer.running.devices import to_device
from hage_transfer.running.run_directory import RESULTS_FILE
from hage_transfer.targets.make import target_of
from hage_transfer.targets.shown import Shown, shown_numbers, shown_values

_TILES_AT_A_TIME = 4096
_TOLERANCE = 2e-3
"""Between a probability or score computed anew and that in predictions.csv: other devices round otherwise."""
NEARLY_EVEN = 0.98
EVEN, ONE_TILE = "mean", "max"
"""Kinds of pooling whose attention says little: the same for every tile; all on one."""


@dataclass(frozen=True)
class HeldOutSlide:
    """A slide as predictions.csv has it, for one source.

    Attributes:
        name: the slide's.
        label: its true class, or what the table says of a target.
        probabilities: (fold, trial) to the probability of each class, or to the scores of a target; several folds where
            test folds overlap.
    """

    name: str
    label: str
    probabilities: Mapping[tuple[str, int], Float[np.ndarray, " class"]]

    @property
    def folds(self) -> tuple[str, ...]:
        """Folds that tested it."""
        return tuple(dict.fromkeys(fold for fold, _ in self.probabilities))


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A slide and the mean over the models that tested it.

    Attributes:
        slide: as tested.
        classes: names, in the order of every class axis: of a target, those of ``shown``.
        probabilities: of the slide, mean over models; of a target, the numbers of ``shown``, as in the next but one.
        attention: of each tile, mean over models; sums to 1. Models with an attention for every class give that of the
            class that they predict together.
        tile_probabilities: of each tile as if it were the whole slide, mean over models; None where a model does not
            look at tiles one by one, so that this says nothing.
        agreement: Spearman correlation of attention between models, mean over pairs; NaN with one model, or where
            attention is even.
        kind: of the models (`abmil`, ...).
        shown: numbers of a target, in place of probabilities of classes; empty for classes.
    """

    slide: HeldOutSlide
    classes: tuple[str, ...]
    probabilities: Float[np.ndarray, " class"]
    attention: Float[np.ndarray, " tile"]
    tile_probabilities: Float[np.ndarray, "tile class"] | None
    agreement: float
    kind: str
    shown: tuple[Shown, ...] = ()

    @property
    def call(self) -> str:
        """What the models say of the slide."""
        if not self.shown:
            return f"called {self.predicted}, p {self.probability:.2f}"
        pairs = zip(self.shown, self.probabilities, strict=True)
        return ", ".join(f"{one.unit} {value:.3g}" for one, value in pairs)

    @property
    def tile_columns(self) -> dict[str, Float[np.ndarray, " tile"]]:
        """What each tile alone scores, by column; empty where this is not known."""
        if self.tile_probabilities is None:
            return {}
        names = [one.name for one in self.shown] or [f"probability_{name}" for name in self.classes]
        return dict(zip(names, self.tile_probabilities.T, strict=True))

    @property
    def predicted(self) -> str:
        """Class of highest probability."""
        return self.classes[int(self.probabilities.argmax())]

    @property
    def probability(self) -> float:
        """Of the predicted class."""
        return float(self.probabilities.max())

    @property
    def percentile(self) -> Float[np.ndarray, " tile"]:
        """Of attention within the slide: 100 (rank - 1/2) / tiles, ties averaged."""
        return 100 * (stats.rankdata(self.attention) - 0.5) / len(self.attention)

    @property
    def entropy(self) -> float:
        """Of attention, as a share of ln(tiles): 1 is even, 0 is one tile; 1 for a slide of one tile."""
        if len(self.attention) < 2:
            return 1.0
        kept = self.attention[self.attention > 0]
        return float(-(kept * np.log(kept)).sum() / np.log(len(self.attention)))

    def cautions(self, deciding: Bool[np.ndarray, " tile"]) -> list[str]:
        """What a reader must know before taking the attention for a reason.

        Args:
            deciding: tiles that count as deciding.
        """
        found = []
        if self.kind == EVEN:
            found.append("mean pooling: every tile has the same attention, so no tile decided")
        elif self.kind == ONE_TILE:
            found.append("max pooling: each model attends to one tile, and all others are equal")
        elif self.entropy > NEARLY_EVEN:
            found.append(f"attention is nearly even (entropy {self.entropy:.3f} of 1): its pattern decided little")
        if self.agreement < 0.5:
            found.append(f"models disagree where to look (mean rank correlation {self.agreement:.2f})")
        if self.shown:
            named = " and ".join(one.name for one in self.shown)
            return found + ([] if self.tile_columns else [f"the models score no tile on its own: no map of {named}"])
        alone = self._alone(deciding)
        if alone is not None and alone < 1 / len(self.classes):
            found.append(f"deciding tiles alone speak against the call (mean p of {self.predicted} {alone:.2f})")
        if self.slide.label in self.classes and self.predicted != self.slide.label:  # new slides may have no label
            found.append(f"the call is wrong: this explains an error (label {self.slide.label})")
        return found

    def _alone(self, deciding: Bool[np.ndarray, " tile"]) -> float | None:
        """Mean probability of the predicted class over the deciding tiles, each taken for the whole slide."""
        if self.tile_probabilities is None or not deciding.any():
            return None
        return float(self.tile_probabilities[deciding, self.classes.index(self.predicted)].mean())


def read_held_out(run: Path, source: str) -> dict[str, HeldOutSlide]:
    """Every slide that a source's models tested, in the order of the table.

    Raises:
        DataError: ``predictions.csv`` is missing, not whole or not of `hage mil`, or has nothing of this source.
    """
    path = run / "predictions.csv"
    found: dict[str, tuple[str, dict[tuple[str, int], np.ndarray]]] = {}
    with csv_table(path, absent="no such file; run `mil` to its end first") as table:
        results = Results.load(run / RESULTS_FILE) if (run / RESULTS_FILE).is_file() else None
        target = None if results is None else target_of(results.meta.get("target"))
        classes = [name for name in table.columns if name.startswith("probability_")]
        classes = classes if target is None else list(target.score_names)
        missing = [
            name for name in ("source", "trial", "slide", "fold", "label", *classes) if name not in table.columns
        ]
        if missing or not classes:
            raise DataError(f"{path}: no column {', '.join(missing) or 'probability_<class>'}; not written by `mil`")
        n_rows = 0
        for line, row in table.rows:
            n_rows += 1
            if row["source"] == source:
                _, tested = found.setdefault(row["slide"], (row["label"], {}))
                trial, probabilities = _numbers(path, line, row, classes)
                tested[row["fold"], trial] = probabilities
    if results is not None:
        check_prediction_rows(path, n_rows, results.meta)
    if not found:
        raise DataError(f"{path}: has no prediction of source {source}; run `mil` to its end first")
    return {name: HeldOutSlide(name, label, tested) for name, (label, tested) in found.items()}


def _numbers(
    path: Path, line: int, row: Mapping[str, str], classes: Sequence[str]
) -> tuple[int, Float[np.ndarray, " class"]]:
    try:
        trial, probabilities = int(row["trial"] or 0), np.array([float(row[name]) for name in classes])
    except ValueError as error:
        raise DataError(f"{path}: line {line}: {error}; run `mil` again with overwrite=True") from None
    if not np.isfinite(probabilities).all():
        raise DataError(f"{path}: line {line}: a probability is no number; run `mil` again with overwrite=True")
    return trial, probabilities


def explain(
    slide: HeldOutSlide,
    models: Mapping[tuple[str, int], FoldModel],
    features: Mapping[int, Float[np.ndarray, "tile feature"]],
    coords: Int[np.ndarray, "tile 2"] | None = None,
    *,
    column: str = "value",
) -> Explanation:
    """Runs the models that tested a slide on its tiles.

    Args:
        slide: as tested.
        models: of every fold that tested it and every trial.
        features: of its tiles, by trial.
        coords: where they lie, level-0 px, for models that ask.
        column: of the table, that the models of a number predict.

    Raises:
        DataError: a probability is not the one that the run wrote, so features or models are others since.
    """
    attention, probabilities, of_tiles = [], [], []
    tilewise = all(isinstance(model.model, TilewiseMIL) for model in models.values())
    first = next(iter(models.values()))
    target = target_of(first.meta.get("target"))
    for key, written in slide.probabilities.items():
        model = models[key]
        rows = torch.from_numpy(features[key[1]])
        with torch.inference_mode():
            output = model(rows, None if coords is None else torch.from_numpy(coords))
        now = model.scores(output.logits)[0]
        is_number = target is not None and target.kind == "regression"
        scale = model.meta["fitted"][1] if is_number else np.maximum(1, np.abs(written))
        apart = np.abs(now - written) / scale
        if apart.max() > _TOLERANCE:
            raise DataError(
                f"{slide.name}: trial {key[1]} of fold {key[0]} now gives {now[apart.argmax()]:.4g}, predictions.csv "
                f"says {written[apart.argmax()]:.4g}: its features or models are others since; run `mil` again"
            )
        probabilities.append(_shown(model, now[None])[0])
        of_model = output.attention if target is not None or output.of_classes is None else output.of_classes[0]
        attention.append(of_model.double().cpu().numpy())
        if tilewise:
            of_tiles.append(_shown(model, _tile_scores(model, rows)))
    shown = () if target is None else shown_numbers(target, column=column)
    together = np.mean(probabilities, axis=0)
    attention = [of_model[together.argmax() if len(of_model) > 1 else 0] for of_model in attention]
    mean = np.mean(attention, axis=0)
    return Explanation(
        slide=slide,
        classes=tuple(one.name for one in shown) or tuple(first.classes),
        probabilities=together,
        attention=mean / mean.sum(),
        tile_probabilities=np.mean(of_tiles, axis=0) if tilewise else None,
        agreement=_agreement(attention),
        kind=str(first.meta["model"]["kind"]),
        shown=shown,
    )


def _shown(model: FoldModel, scores: Float[np.ndarray, "bag score"]) -> Float[np.ndarray, "bag number"]:
    """What of a model's scores may be averaged over models, and shown."""
    target = target_of(model.meta.get("target"))
    return scores if target is None else shown_values(target, scores)


@torch.inference_mode()
def _tile_scores(model: FoldModel, rows: torch.Tensor) -> Float[np.ndarray, "tile score"]:
    """Each tile as a bag of its own."""
    device = model.mean.device
    parts = []
    for start in range(0, len(rows), _TILES_AT_A_TIME):
        some = (to_device(rows[start : start + _TILES_AT_A_TIME], device) - model.mean) / model.std
        mask = torch.ones(len(some), 1, dtype=torch.bool, device=device)
        parts.append(model.scores(model.model(some.unsqueeze(1), mask).logits))
    return np.concatenate(parts)


def _agreement(attention: Sequence[Float[np.ndarray, " tile"]]) -> float:
    """Mean Spearman correlation over pairs of models; NaN where there is none."""
    ranks = [stats.rankdata(one) for one in attention]
    pairs = [np.corrcoef(a, b)[0, 1] for a, b in combinations(ranks, 2) if np.ptp(a) > 0 and np.ptp(b) > 0]
    return float(np.mean(pairs)) if pairs else float("nan")
