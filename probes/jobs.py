"""The jobs of a probe run: one classifier on one source and trial, all folds together."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int

from hage_transfer.data.feature_file import read_meta
from hage_transfer.data.labels import LabelTable
from hage_transfer.errors import DataError
from hage_transfer.probes.config import CrossCheckSettings, ProbeTrainSettings
from hage_transfer.running.atomic import atomic_path
from hage_transfer.running.file_stamp import written
from hage_transfer.running.threads import torch_threads

if TYPE_CHECKING:
    from hage_transfer.probes.rows import LabelledFeatures

log = logging.getLogger(__name__)

LINEAR = "linear"
_RECIPE = {"knn": "of standardised features", "class_mean": "of standardised features"}
"""What changed in a classifier since its first version: what was done before is done again."""


@dataclass(frozen=True, kw_only=True)
class ProbeJob:
    """What one job needs.

    Attributes:
        classifier: ``linear``, or a cross-check.
        paths: feature files whose columns stand side by side.
        keys: of the rows.
        labels: class of each row.
        n_classes: of the set.
        training: where each head trains; the heads of a cross-check are the folds.
        wanted: rows whose probabilities are wanted of each head.
        variants: which variant each head belongs to; within one, heads want different rows.
        train: of the linear probe.
        cross_checks: of the others.
        memory_gib: features that are larger are streamed.
        seed: of the order of rows.
        device: torch device of the products.
        done: file of the probabilities, (variant, row, class); NaN where a row is not wanted.
    """

    classifier: str
    paths: tuple[Path, ...]
    keys: np.ndarray
    labels: Int[np.ndarray, " row"]
    n_classes: int
    training: Bool[np.ndarray, "head row"]
    wanted: Bool[np.ndarray, "head row"]
    variants: tuple[int, ...]
    train: ProbeTrainSettings
    cross_checks: CrossCheckSettings
    memory_gib: float
    seed: int
    device: str
    done: Path


def run_probe_job(work: ProbeJob) -> None:
    """Trains all heads on one source and writes the probabilities of the rows that they did not train on.

    One thread (and one that reads ahead): the numbers then do not depend on how many jobs share the machine.

    Raises:
        DataError: features that cannot be read, or training that ended in NaN.
    """
    from hage_transfer.probes.rows import open_rows

    with torch_threads(1), open_rows(work.paths, work.keys, memory_gib=work.memory_gib) as features:
        of_heads = _probabilities(work, features)
    shape = max(work.variants) + 1, len(work.keys), work.n_classes
    found = np.full(shape, np.nan, dtype=np.float32)
    broken = next(
        (head for head in range(len(of_heads)) if not np.isfinite(of_heads[head, work.wanted[head]]).all()), None
    )
    if broken is not None:
        raise DataError(
            f"{work.classifier} on {work.paths[0]}: training diverged (NaN probabilities of head {broken}); lower "
            "train.learning_rate, or set train.standardise=true"
        )
    for head, variant in enumerate(work.variants):
        found[variant, work.wanted[head]] = of_heads[head, work.wanted[head]]
    with atomic_path(work.done) as temporary, temporary.open("wb") as handle:
        np.save(handle, found, allow_pickle=False)


def read_job(path: Path) -> Float[np.ndarray, "variant row class"]:
    """What a job wrote."""
    return np.load(path, allow_pickle=False)


def remove_damaged(path: Path) -> None:
    """Removes what a job wrote where it cannot be read any more, so that the job is done again."""
    if not path.exists():
        return
    try:
        np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        log.warning("%s: damaged (%s), done again", path, error)
        path.unlink()


def work_sha256(
    classifier: str, paths: Sequence[Path], labels: LabelTable, training: np.ndarray, wanted: np.ndarray
) -> str:
    """Names a job's file by what went into it, so that other features, labels or folds are another file.

    Raises:
        DataError: a feature file that is missing or not one.
    """
    digest = hashlib.sha256(_RECIPE.get(classifier, "").encode())
    for path in paths:
        digest.update(json.dumps(asdict(read_meta(path)), sort_keys=True).encode())
        digest.update(written(path).encode())
    digest.update("\n".join([*labels.keys.tolist(), *labels.labels.tolist()]).encode())
    for mask in (training, wanted):
        digest.update(np.packbits(mask).tobytes())
    return digest.hexdigest()[:16]


def _probabilities(work: ProbeJob, features: "LabelledFeatures") -> Float[np.ndarray, "head row class"]:
    from hage_transfer.probes.class_mean import class_mean_probabilities
    from hage_transfer.probes.linear import train_probes
    from hage_transfer.probes.logistic import train_logistic
    from hage_transfer.probes.neighbours import neighbour_probabilities

    rows, wanted, options = (features, work.labels, work.training), work.wanted, work.cross_checks
    n_classes, device = work.n_classes, work.device
    if work.classifier == LINEAR:
        train: dict[str, Any] = work.train.model_dump()
        fitted = train_probes(*rows, n_classes=n_classes, seed=work.seed, device=device, **train)
        return fitted.probabilities(features, wanted)
    if work.classifier == "logistic":
        fitted = train_logistic(
            *rows,
            n_classes=n_classes,
            penalty=options.logistic_penalty,
            max_iterations=options.logistic_iterations,
            device=device,
        )
        return fitted.probabilities(features, wanted)
    if work.classifier == "knn":
        return neighbour_probabilities(*rows, wanted, n_classes=n_classes, k=options.k, device=device)
    return class_mean_probabilities(*rows, wanted, n_classes=n_classes, device=device)
