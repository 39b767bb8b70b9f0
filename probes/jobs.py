"""The jobs of a probe run: one classifier on one source and trial, all folds together."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
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
from hage_transfer.targets.base import Target

if TYPE_CHECKING:
    from hage_transfer.probes.linear import LinearProbes
    from hage_transfer.probes.rows import LabelledFeatures

log = logging.getLogger(__name__)

LINEAR = "linear"
"""The paper's classifier."""
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
        classes: of the set; what folds are stratified by, of a target beyond classes.
        training: where each head trains; the heads of a cross-check are the folds.
        wanted: rows whose probabilities are wanted of each head.
        variants: which variant each head belongs to; within one, heads want different rows.
        train: of the linear probe.
        cross_checks: of the others.
        memory_gib: features that are larger are streamed.
        seed: of the order of rows.
        device: torch device of the products.
        done: file of the probabilities, (variant, row, class); NaN where a row is not wanted.
        models: file of the heads that are kept, in place and by name; None: a cross-check, which keeps none.
        kept: name of each head that is kept, by its place.
        target: what is learnt in place of classes.
        values: that it is of.
    """

    classifier: str
    paths: tuple[Path, ...]
    keys: np.ndarray
    labels: Int[np.ndarray, " row"]
    classes: tuple[str, ...]
    training: Bool[np.ndarray, "head row"]
    wanted: Bool[np.ndarray, "head row"]
    variants: tuple[int, ...]
    train: ProbeTrainSettings
    cross_checks: CrossCheckSettings
    memory_gib: float
    seed: int
    device: str
    done: Path
    models: Path | None = None
    kept: Mapping[int, str] = field(default_factory=dict)
    target: Target | None = None
    values: Float[np.ndarray, "row value"] | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """What a head puts out."""
        return self.classes if self.target is None else self.target.outputs


def run_probe_job(work: ProbeJob) -> None:
    """Trains all heads on one source and writes the probabilities of the rows that they did not train on.

    One thread (and one that reads ahead): the numbers then do not depend on how many jobs share the machine.

    Raises:
        DataError: features that cannot be read, or training that ended in NaN.
    """
    from hage_transfer.probes.rows import open_rows

    with torch_threads(1), open_rows(work.paths, work.keys, memory_gib=work.memory_gib) as features:
        of_heads = _probabilities(work, features)
    shape = max(work.variants) + 1, len(work.keys), of_heads.shape[2]
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


def probes_path(run: Path, *, source: str, trial: int) -> Path:
    """Where a run keeps the probes of a source and trial."""
    return run / "models" / source / f"trial_{trial}.safetensors"


def redo_without_models(work: ProbeJob) -> None:
    """Has a job done again whose file is damaged, or whose models are gone or of other work."""
    from hage_transfer.tensor_files import work_of

    remove_damaged(work.done)
    if work.models is not None and work.done.exists() and work_of(work.models) != work.done.stem:
        log.warning("%s: its models are not there any more; trained again", work.done)
        work.done.unlink()


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
    classifier: str,
    paths: Sequence[Path],
    labels: LabelTable,
    training: np.ndarray,
    wanted: np.ndarray,
    target: Target | None = None,
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
    if target is not None and labels.values is not None:
        digest.update(json.dumps(target.facts()).encode() + labels.values.tobytes())
    return digest.hexdigest()[:16]


def _probabilities(work: ProbeJob, features: "LabelledFeatures") -> Float[np.ndarray, "head row class"]:
    from hage_transfer.probes.class_mean import class_mean_probabilities
    from hage_transfer.probes.linear import train_probes
    from hage_transfer.probes.logistic import train_logistic
    from hage_transfer.probes.neighbours import neighbour_probabilities

    rows, wanted, options = (features, work.labels, work.training), work.wanted, work.cross_checks
    n_classes, device = len(work.classes), work.device
    if work.classifier == LINEAR:
        train: dict[str, Any] = work.train.model_dump(exclude={"final", "min_steps"})
        if work.target is None:
            fitted = train_probes(*rows, n_classes=n_classes, seed=work.seed, device=device, **train)
            _keep(work, fitted)
            return fitted.probabilities(features, wanted)
        return _scores(work, work.target, features, train)
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


def _scores(
    work: ProbeJob, target: Target, features: "LabelledFeatures", train: dict[str, Any]
) -> Float[np.ndarray, "head row score"]:
    """Of a target beyond classes; NaN where a row is not wanted."""
    from hage_transfer.probes.linear import train_probes
    from hage_transfer.targets.fitting import FoldTargets

    assert work.values is not None
    places = [np.flatnonzero(rows) for rows in work.training]
    targets = FoldTargets(target, work.values, places, device=work.device)
    train["epochs"] = max(train["epochs"], -(-work.train.min_steps // -(-features.n_rows // train["batch_size"])))
    fitted = train_probes(
        features,
        work.labels,
        work.training,
        n_classes=len(work.outputs),
        seed=work.seed,
        device=work.device,
        target=targets,
        **train,
    )
    if target.looks_around:
        of_training = fitted.outputs(features, work.training)
        targets.settle(lambda head: (places[head], of_training[head, places[head]]))
    _keep(work, fitted, {"target": target.facts(), "fitted": [targets.fitted(head) for head in work.kept]})
    outputs = fitted.outputs(features, work.wanted)
    return np.stack([targets.scores(head, of_head) for head, of_head in enumerate(outputs)])


def _keep(work: ProbeJob, fitted: "LinearProbes", meta: Mapping[str, Any] | None = None) -> None:
    """Writes the heads that are kept; those that diverged are refused by what reads the probabilities."""
    from hage_transfer.probes.checkpoint import SavedProbes, save_probes
    from hage_transfer.probes.linear import LinearProbes

    if work.models is not None:
        places = list(work.kept)
        chosen = LinearProbes(fitted.weights[places], fitted.biases[places], fitted.shift)
        heads = tuple(work.kept.values())
        facts = {"work": work.done.stem, **(meta or {})}
        save_probes(work.models, SavedProbes(probes=chosen, heads=heads, classes=work.outputs, meta=facts))
