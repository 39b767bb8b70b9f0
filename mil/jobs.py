"""The jobs of a MIL run: one source and trial, all folds together."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hage_transfer.bounded import read_json
from hage_transfer.data.labels import LabelTable
from hage_transfer.errors import DataError
from hage_transfer.mil.bags import BagSet
from hage_transfer.mil.config import MilConfig
from hage_transfer.mil.folds import MilFold
from hage_transfer.mil.own_class import MakeClassifier, code_sha256
from hage_transfer.running.atomic import write_json
from hage_transfer.running.memory import keep_freed_memory
from hage_transfer.running.run_directory import GENES_FILE, HEATMAPS_FOLDER, MODELS_FOLDER, SLIDES_FILE
from hage_transfer.running.threads import torch_threads
from hage_transfer.targets.base import Target

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MilJob:
    """What one job needs.

    Attributes:
        source: named feature source.
        trial: from 0.
        bags: its features.
        labels: of the bags.
        folds: all of them.
        config: model and optimisation.
        seed: of the trial.
        positive: place of the positive class; None with more than two.
        target: what is learnt in place of classes.
        device: torch device of the training.
        out: the run directory, which the models are written into.
        done: file of the probabilities.
        own: the user's class of bag classifier, where the kind is one.
    """

    source: str
    trial: int
    bags: BagSet
    labels: LabelTable
    folds: tuple[MilFold, ...]
    config: MilConfig
    seed: int
    positive: int | None
    device: str
    out: Path
    done: Path
    own: MakeClassifier | None = None
    target: Target | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the network puts out."""
        return self.labels.classes if self.target is None else self.target.outputs


@dataclass(frozen=True)
class FoldResult:
    """What a job found of one fold.

    Attributes:
        epochs: how many were run.
        best_epoch: whose weights were tested, from 0.
        probabilities: of the test slides, in the fold's order.
    """

    epochs: int
    best_epoch: int
    probabilities: Float[np.ndarray, "test class"]


def work_sha256(
    bags: BagSet,
    labels: LabelTable,
    folds: Sequence[MilFold],
    own: MakeClassifier | None = None,
    target: Target | None = None,
) -> str:
    """Names a job's file by what went into it: other features, labels, folds or code of a class are another file."""
    digest = hashlib.sha256(bags.sha256.encode())
    digest.update("\n".join([*labels.keys.tolist(), *labels.labels.tolist()]).encode())
    digest.update(bags.n_tiles.astype(np.int64).tobytes())
    for fold in folds:
        for rows in (fold.train, fold.validation, fold.test):
            digest.update(len(rows).to_bytes(8, "little") + rows.astype(np.int64).tobytes())
    if target is not None and labels.values is not None:
        digest.update(json.dumps(target.facts()).encode() + labels.values.tobytes())
    if own is not None:
        digest.update(code_sha256(own).encode())
    return digest.hexdigest()[:16]


def run_mil_job(work: MilJob) -> None:
    """Trains all folds, writes their models and then their test probabilities.

    The number of threads is the config's: the numbers then do not depend on how many jobs share the machine.

    Raises:
        DataError: features that cannot be read, or training that ended in NaN.
    """
    from hage_transfer.mil.train import FoldBags, train_folds

    keep_freed_memory(everything=True)
    progress = work.done.with_suffix(".progress.safetensors")
    with torch_threads(work.config.train.threads):
        bags = replace(work.bags)  # its own memory of features, given back when the job ends
        trained = train_folds(
            bags,
            work.labels.class_indices,
            [FoldBags(fold.train, fold.validation) for fold in work.folds],
            n_classes=len(work.outputs),
            model=work.config.model,
            options=work.config.train,
            seed=work.seed,
            device=work.device,
            positive=work.positive,
            own=work.own,
            progress_path=progress,
            target=work.target,
            values=work.labels.values,
        )
        probabilities = trained.probabilities(bags, [fold.test for fold in work.folds])
    broken = [
        fold.name for fold, of_fold in zip(work.folds, probabilities, strict=True) if not np.isfinite(of_fold).all()
    ]
    if broken:
        progress.unlink(missing_ok=True)
        raise DataError(
            f"training diverged (NaN probabilities in fold {', '.join(broken)}); lower train.learning_rate, or set "
            "train.standardise=true"
        )
    _save_models(work, trained)
    found = {
        fold.name: {"epochs": epochs, "best_epoch": best, "probabilities": of_fold.tolist()}
        for fold, epochs, best, of_fold in zip(
            work.folds, trained.epochs, trained.best_epochs, probabilities, strict=True
        )
    }
    write_json(work.done, found)
    progress.unlink(missing_ok=True)


def redo_without_models(done: Path, run: Path, *, source: str, trial: int, folds: Sequence[str]) -> None:
    """Has a job done again whose file is damaged, or whose models are gone or of other labels, features or folds."""
    from hage_transfer.mil.checkpoint import model_path
    from hage_transfer.tensor_files import work_of

    if done.exists():
        try:
            read_job(done)
        except DataError as error:
            log.warning("%s; done again", error)
            done.unlink()
    paths = [model_path(run, source=source, trial=trial, fold=fold) for fold in folds]
    if done.exists() and any(work_of(path) != done.stem for path in paths):
        log.warning("%s: its models are not there any more; trained again", done)
        done.unlink()
    if not done.exists():
        forget_heatmaps(run, source=source)


def forget_heatmaps(run: Path, *, source: str) -> None:
    """Removes the tables by which heatmaps of models that are there no more would be shown beside new results.

    Slides' own folders stay: `hage heatmap` knows what they were made of, and keeps those that still hold.
    """
    found = [path for name in (SLIDES_FILE, GENES_FILE) if (path := run / HEATMAPS_FOLDER / source / name).is_file()]
    for path in found:
        path.unlink()
    if found:
        log.warning("%s: of models that are trained anew; run `explain` again", found[0].parent)


def remove_others(run: Path, *, jobs: Sequence[tuple[str, int]], folds: Sequence[str]) -> None:
    """Removes models and split files that an earlier start left, of sources and folds that the run has no more."""
    from hage_transfer.mil.checkpoint import model_path

    kept = {model_path(run, source=source, trial=trial, fold=fold) for source, trial in jobs for fold in folds}
    kept |= {run / "splits" / f"splits_{fold}.csv" for fold in folds}
    for path in [*(run / MODELS_FOLDER).glob("*/trial_*/fold_*.safetensors"), *(run / "splits").glob("splits_*.csv")]:
        if path not in kept:
            path.unlink()
            if path.suffix == ".safetensors":
                forget_heatmaps(run, source=path.parents[1].name)


def read_job(path: Path) -> dict[str, FoldResult]:
    """What a job wrote, by fold.

    Raises:
        DataError: it cannot be read.
    """
    try:
        tree: dict[str, Any] = read_json(path)
        return {
            fold: FoldResult(
                int(one["epochs"]), int(one["best_epoch"]), np.array(one["probabilities"], dtype=np.float64)
            )
            for fold, one in tree.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:  # bytes that are no text or JSON too
        raise DataError(f"{path}: damaged ({error})") from None


def _save_models(work: MilJob, trained: Any) -> None:
    from hage_transfer.mil.checkpoint import FoldModel, model_path, save_fold_model

    meta = {
        "model": work.config.model.sizes(positive=work.positive),
        "encoder": work.bags.meta.encoder,
        "encoder_sha256": work.bags.meta.encoder_sha256,
        "frozen_encoder": work.bags.meta.frozen_encoder,
    }
    if work.config.train.precision != "float32":
        meta["training_precision"] = work.config.train.precision
    for number, fold in enumerate(work.folds):
        model = FoldModel(
            model=trained.model(number),
            mean=trained.stack.mean[number],
            std=trained.stack.std[number],
            classes=work.outputs,
            source=work.source,
            trial=work.trial,
            fold=fold.name,
            meta={
                **meta,
                **({} if work.target is None else {"target": work.target.facts()}),
                "fitted": trained.criterion.fitted(number),
                "best_epoch": trained.best_epochs[number],
                "work": work.done.stem,
            },
        )
        path = model_path(work.out, source=work.source, trial=work.trial, fold=fold.name)
        save_fold_model(path, model)
