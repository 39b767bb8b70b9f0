"""Trained linear probes as a file: ``models/<source>/trial_<k>.safetensors`` of a probe run, all folds in one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hage_transfer.compare.records import FINAL
from hage_transfer.errors import DataError
from hage_transfer.probes.linear import LinearProbes
from hage_transfer.running.atomic import atomic_path
from hage_transfer.targets.make import target_of
from hage_transfer.tensor_files import FACTS, read_tensors, refuse_not_finite, save_tensors, tensors_sha256

SCHEMA_VERSION = 1
_NAMES = ("weights", "biases", "shift")


@dataclass(frozen=True, kw_only=True)
class SavedProbes:
    """The probes of one source and trial, a head a fold.

    Attributes:
        probes: of raw features.
        heads: the fold that each kept back; ``final``: trained on every row.
        classes: names of the outputs: the classes, in the order of the logits, or a target's.
        meta: what else the header records: ``work``, the job that they came from; of a target beyond classes
            ``target``, its facts, and ``fitted``, what each head took of its rows.
    """

    probes: LinearProbes
    heads: tuple[str, ...]
    classes: tuple[str, ...]
    meta: Mapping[str, Any]

    def only(self, *, final: bool) -> "SavedProbes":
        """The heads of the folds alone, or the one that was trained on every row alone."""
        chosen = [place for place, head in enumerate(self.heads) if (head == FINAL) == final]
        probes = LinearProbes(self.probes.weights[chosen], self.probes.biases[chosen], self.probes.shift)
        meta = dict(self.meta)
        if "fitted" in meta:
            meta["fitted"] = [meta["fitted"][place] for place in chosen]
        return replace(self, probes=probes, heads=tuple(self.heads[place] for place in chosen), meta=meta)

    def scores(self, rows: Float[np.ndarray, "row feature"]) -> Float[np.ndarray, "head row score"]:
        """Class probabilities (or scores of the target) of every row by every head.

        Raises:
            DataError: rows of another width.
        """
        if rows.ndim != 2 or rows.shape[1] != len(self.probes.shift):
            raise DataError(f"features have shape {rows.shape}, the probe takes (rows, {len(self.probes.shift)})")
        every = np.ones((len(self.heads), len(rows)), dtype=bool)
        target = target_of(self.meta.get("target"))
        if target is None:
            return self.probes.probabilities(rows, every)
        outputs = self.probes.outputs(rows, every).astype(np.float64)
        return np.stack([target.scores(one, tuple(own)) for one, own in zip(outputs, self.meta["fitted"], strict=True)])


def save_probes(path: Path, saved: SavedProbes) -> None:
    """Writes probes atomically."""
    tensors = {name: getattr(saved.probes, name) for name in _NAMES}
    header = {
        "schema_version": SCHEMA_VERSION,
        **saved.meta,
        "heads": list(saved.heads),
        "classes": list(saved.classes),
        "tensors_sha256": tensors_sha256(tensors),
    }
    with atomic_path(path) as temporary:
        save_tensors(temporary, tensors, header={FACTS: json.dumps(header, sort_keys=True)})


def read_probes(path: Path) -> SavedProbes:
    """Reads what ``save_probes`` wrote.

    Raises:
        DataError: no such file, not one of these, of a later schema, or weights that are damaged or no numbers.
    """
    try:
        text, tensors = read_tensors(path, remedy="run the probe again")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; `probe` writes it as a job ends") from None
    try:
        header = json.loads(text.get(FACTS, "null"))
        heads, classes = tuple(map(str, header["heads"])), tuple(map(str, header["classes"]))
        version, sha256 = int(header["schema_version"]), header["tensors_sha256"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(f"{path}: its header cannot be read ({error}); run the probe again") from None
    if version > SCHEMA_VERSION:
        raise DataError(f"{path}: schema_version {version} is newer than {SCHEMA_VERSION}; upgrade")
    width = tensors["shift"].numel() if "shift" in tensors else 0
    wanted = {"weights": (len(heads), len(classes), width), "biases": (len(heads), len(classes)), "shift": (width,)}
    met = {name: (tuple(tensor.shape), str(tensor.dtype)) for name, tensor in tensors.items()}
    if met != {name: (shape, "torch.float32") for name, shape in wanted.items()} or not width:
        raise DataError(f"{path}: its tensors are {met}, wanted float32 of {wanted}; run the probe again")
    refuse_not_finite(tensors, where=str(path))
    if sha256 != tensors_sha256(tensors):
        raise DataError(f"{path}: its weights are not those that were written (another hash); copy it again")
    return SavedProbes(probes=LinearProbes(**tensors), heads=heads, classes=classes, meta=header)
