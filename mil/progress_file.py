"""Where the training of a job is: weights, Adam, best weights and position, in one file that a killed run resumes from.

Nothing random is in it, since every draw follows from seed, epoch and slide.
"""

import json
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from hage_transfer.mil.fold_stack import FoldStack
from hage_transfer.running.atomic import atomic_path
from hage_transfer.tensor_files import save_tensors

log = logging.getLogger(__name__)
_SHARE = 0.02
_HEADER, _DRAWS = "hage", "by slide, steps as a whole"


@dataclass
class FoldProgress:
    """Early stopping of one fold.

    Attributes:
        epochs: that it has trained.
        best_loss: lowest validation loss.
        best_epoch: of that loss, from 0; -1 before there is one.
        is_done: whether it has stopped.
        best: weights of that epoch; empty before there is one.
    """

    epochs: int = 0
    best_loss: float | None = None
    best_epoch: int = -1
    is_done: bool = False
    best: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Progress:
    """Where all folds are: the epoch, and how many of its bags have been seen."""

    folds: list[FoldProgress]
    epoch: int = 0
    position: int = 0


class ProgressFile:
    """Writes progress every so often, so that the writing takes at most a fiftieth of the time.

    Args:
        path: of the file; None: nothing is kept.
        every_s: least seconds between two writes.
    """

    def __init__(self, path: Path | None, *, every_s: float) -> None:
        self.path, self._every_s = path, every_s
        self._next = time.monotonic() + every_s

    def save_if_due(self, progress: Progress, stack: FoldStack) -> None:
        """Writes where training is, if it is time."""
        if self.path is None or time.monotonic() < self._next:
            return
        start = time.monotonic()
        tensors: dict[str, Tensor] = {}
        for fold, one in enumerate(progress.folds):
            tensors |= _flat(f"{fold}/weight", stack.weights_of(fold))
            tensors |= _flat(f"{fold}/best", one.best)
            tensors |= _flat(f"{fold}/pending", stack.pending[fold])
            if stack.memory.shape[1]:
                tensors |= _flat(f"{fold}/memory", {"last": stack.memory[fold]})
            for name, moments in stack.moments_of(fold).items():
                tensors |= _flat(f"{fold}/adam/{name}", moments)
        places = [{k: v for k, v in vars(one).items() if k != "best"} for one in progress.folds]
        header: dict[str, Any] = {"draws": _DRAWS, "epoch": progress.epoch, "position": progress.position}
        header |= {"folds": places, "scales": [scaler.state_dict() for scaler in stack.scalers]}
        with atomic_path(self.path) as temporary:
            save_tensors(temporary, tensors, header={_HEADER: json.dumps(header)})
        now = time.monotonic()
        self._next = now + max(self._every_s, (now - start) / _SHARE)

    def restore(self, stack: FoldStack) -> Progress:
        """Puts what was saved into the stack and says where it was; the beginning where nothing was."""
        progress = Progress([FoldProgress() for _ in stack.models])
        if self.path is None or not self.path.is_file():
            return progress
        try:
            with safe_open(self.path, framework="pt") as file:
                header: dict[str, Any] = json.loads(file.metadata()[_HEADER])
                tensors = {
                    name: file.get_tensor(name).to(stack.mean.device)
                    for name in file.keys()  # noqa: SIM118  a handle, not a dict
                }
        except (SafetensorError, OSError) as error:
            log.warning("%s: cannot be read (%s); the training begins anew", self.path, error)
            return progress
        if header.get("draws") != _DRAWS:
            log.warning("%s: of an earlier version, which took its bags otherwise; the training begins anew", self.path)
            return progress
        tree = _nested(tensors)
        for fold, place in enumerate(header["folds"]):
            saved = tree[str(fold)]
            stack.set_weights(fold, saved["weight"])
            stack.pending[fold] = saved.get("pending", {})
            stack.set_moments(fold, saved.get("adam", {}))
            if "memory" in saved:
                stack.memory[fold] = saved["memory"]["last"]
            progress.folds[fold] = FoldProgress(**place, best=saved.get("best", {}))
        for scaler, scale in zip(stack.scalers, header.get("scales", []), strict=False):
            scaler.load_state_dict(scale)
        progress.epoch, progress.position = header["epoch"], header["position"]
        log.info("%s: resumes in epoch %d after %d bags", self.path.stem, progress.epoch + 1, progress.position)
        return progress

    def remove(self) -> None:
        """Removes the file, once what it leads to is written."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _flat(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": value.detach().cpu().clone().contiguous() for name, value in tensors.items()}


def _nested(tensors: dict[str, Tensor]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in tensors.items():
        *parents, last = name.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return tree
