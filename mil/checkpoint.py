"""A trained bag classifier as a file: ``models/<source>/trial_<k>/fold_<fold>.safetensors`` of a MIL run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hage_transfer.errors import ConfigError, DataError
from hage_transfer.mil.kinds import check_kind, is_installed
from hage_transfer.mil.models import MILOutput, build_model
from hage_transfer.mil.own_class import MakeClassifier
from hage_transfer.running.atomic import atomic_path
from hage_transfer.running.devices import to_device
from hage_transfer.running.run_directory import MODELS_FOLDER
from hage_transfer.targets.make import target_of
from hage_transfer.tensor_files import (
    FACTS,
    build_fitting,
    read_tensors,
    refuse_not_finite,
    save_tensors,
    tensors_sha256,
)

SCHEMA_VERSION = 1
MEAN, STD = "scale.mean", "scale.std"


@dataclass(frozen=True, kw_only=True)
class FoldModel:
    """The classifier of one source, trial and fold, with the scaling that its features need.

    Attributes:
        model: in eval mode.
        mean: taken from every tile's features.
        std: by which they are then divided.
        classes: names, in the order of the logits: the classes, or a target's outputs.
        source: named feature source.
        trial: from 0, also where the source has one trial.
        fold: name; the slides of its test part were kept from training.
        meta: ``model`` (kind and sizes), ``encoder``, ``encoder_sha256``, ``best_epoch`` and what else is recorded.
    """

    model: nn.Module
    mean: Float[Tensor, " feature"]
    std: Float[Tensor, " feature"]
    classes: tuple[str, ...]
    source: str
    trial: int
    fold: str
    meta: Mapping[str, Any]

    @torch.inference_mode()
    def __call__(
        self, features: Float[Tensor, "tile feature"], coords: Int[Tensor, "tile 2"] | None = None
    ) -> MILOutput:
        """Classifies one bag of features as the source's files hold them: logits (1, class), attention (1, tile).

        ``coords`` (level-0 px) are for a model that asks where its tiles lie; the others leave them aside.

        Raises:
            DataError: features of another width, or none at all.
        """
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise DataError(
                f"features have shape {tuple(features.shape)}, the classifier of {self.source} takes (tiles, "
                f"{len(self.mean)}); give it features of the encoder {self.meta.get('encoder', 'it was trained on')}"
            )
        scaled = (to_device(features, self.mean.device).to(self.mean) - self.mean) / self.std
        mask = torch.ones(1, len(scaled), dtype=torch.bool, device=scaled.device)
        if getattr(self.model, "needs_coords", False) and coords is not None:
            return self.model(scaled[None], mask, coords[None].to(scaled.device))
        return self.model(scaled[None], mask)

    def scores(self, logits: Float[Tensor, "bag output"]) -> Float[np.ndarray, "bag score"]:
        """Class probabilities, or scores of the target, of what it put out."""
        outputs, target = logits.double().cpu(), target_of(self.meta.get("target"))
        if target is None:
            return outputs.softmax(dim=1).numpy()
        return target.scores(outputs.numpy(), tuple(self.meta["fitted"]))


def model_path(run: Path, *, source: str, trial: int, fold: str) -> Path:
    """Where a run keeps a model."""
    return run / MODELS_FOLDER / source / f"trial_{trial}" / f"fold_{fold}.safetensors"


def save_fold_model(path: Path, model: FoldModel) -> None:
    """Writes a model atomically."""
    tensors = {**model.model.state_dict(), MEAN: model.mean, STD: model.std}
    header = {
        "schema_version": SCHEMA_VERSION,
        **model.meta,
        "classes": list(model.classes),
        "source": model.source,
        "trial": model.trial,
        "fold": model.fold,
        "feature_dim": len(model.mean),
        "tensors_sha256": tensors_sha256(tensors),
    }
    with atomic_path(path) as temporary:
        save_tensors(temporary, tensors, header={FACTS: json.dumps(header, sort_keys=True)})


def read_fold_model(run: Path, *, source: str, trial: int, fold: str, own: MakeClassifier | None = None) -> FoldModel:
    """Reads a model of a run; ``own`` is the user's class, where it is of one.

    Raises:
        DataError: no such file, not one of these, of a later schema, or of a kind that is not known here.
        ConfigError: the user's class is missing, or is another.
    """
    return _read(model_path(run, source=source, trial=trial, fold=fold), own)


def fold_models(run: Path, *, source: str, own: MakeClassifier | None = None) -> list[FoldModel]:
    """All models of a source, by trial and fold in natural order.

    Raises:
        DataError: there is none, or as ``read_fold_model``.
    """
    found = [model for trial in (run / MODELS_FOLDER / source).glob("trial_*") for model in read_models(trial, own=own)]
    if not found:
        there = sorted(path.name for path in (run / MODELS_FOLDER).glob("*") if path.is_dir())
        raise DataError(
            f"{run / MODELS_FOLDER / source}: no models of this source; `mil` writes them"
            + (f", and this run holds {', '.join(there)}" if there else "")
        )
    return sorted(found, key=_order)


def read_models(folder: Path, *, own: MakeClassifier | None = None) -> list[FoldModel]:
    """Models of one trial's folder, by fold in natural order; errors as ``read_fold_model``."""
    return sorted((_read(path, own) for path in folder.glob("fold_*.safetensors")), key=_order)


def _order(model: FoldModel) -> tuple[int, int, str]:
    return model.trial, len(model.fold), model.fold


def _read(path: Path, own: MakeClassifier | None) -> FoldModel:
    if not path.is_file():
        raise DataError(f"{path}: no such model; `mil` writes it as a fold ends")
    text, tensors = read_tensors(path, remedy="train the fold again")
    try:
        header = json.loads(text.get(FACTS, "null"))
        return _restored(path, header, tensors, own)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path}: its header cannot be read ({error}); train the fold again") from None


def _restored(path: Path, header: Any, tensors: dict[str, Tensor], own: MakeClassifier | None) -> FoldModel:
    if not isinstance(header, dict) or "model" not in header or MEAN not in tensors or STD not in tensors:
        raise DataError(f"{path}: is not a bag classifier of `mil`: its header or its scale is missing")
    if header["schema_version"] > SCHEMA_VERSION:
        raise DataError(f"{path}: schema_version {header['schema_version']} is newer than {SCHEMA_VERSION}; upgrade")
    if header.get("tensors_sha256", "") not in ("", tensors_sha256(tensors)):
        raise DataError(f"{path}: its weights are not those that were written (another hash); copy or train it again")
    sizes = dict(header["model"])
    kind = sizes.pop("kind")
    try:
        check_kind(kind)
    except ValueError as error:
        raise DataError(f"{path}: is of kind {kind}: {error}") from None
    mean, std = tensors.pop(MEAN), tensors.pop(STD)
    refuse_not_finite({MEAN: mean, STD: std.nan_to_num(posinf=1.0, nan=torch.nan)}, where=str(path))  # inf: constant
    try:
        model = build_fitting(
            lambda: build_model(kind, len(mean), n_classes=len(header["classes"]), own=own, **sizes),
            tensors,
            where=str(path),
            can_sketch=own is None and not is_installed(kind),
        )
    except ConfigError as error:
        error.add_note(str(path))
        raise
    return FoldModel(
        model=model.eval().requires_grad_(False),
        mean=mean,
        std=std,
        classes=tuple(header["classes"]),
        source=header["source"],
        trial=int(header["trial"]),
        fold=header["fold"],
        meta=header,
    )
