"""Weights on disk: safetensors that a colleague can read, and tensors that are what a model wants and all numbers."""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from hage_transfer.damage import reading
from hage_transfer.errors import DataError, some
from hage_transfer.running.atomic import refused

_NAMED = 3
FACTS = "hage"
"""Name in the header of what trained classifiers say of themselves, as JSON."""
Model = TypeVar("Model", bound=nn.Module)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], *, header: Mapping[str, str] | None = None) -> None:
    """Writes tensors as safetensors, with the mode that any new file of this user has.

    Args:
        path: the file; whoever writes it atomically gives a temporary one.
        tensors: by name, on any device.
        header: text by name.

    Raises:
        OSError: the disk does not take it.
    """
    path.touch()
    mode = path.stat().st_mode  # safetensors leaves a file that its owner alone may read
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(plain, path, metadata=dict(header) if header else None)
    except SafetensorError:
        raise refused(path) or OSError(errno.EIO, os.strerror(errno.EIO), str(path)) from None
    path.chmod(mode)


def read_tensors(path: Path, *, remedy: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Header and tensors of a safetensors file.

    Raises:
        FileNotFoundError: there is none.
        DataError: damaged; the message ends with ``remedy``.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    what = "cannot be read as safetensors"
    with reading(path, what, SafetensorError, remedy=remedy), safe_open(path, framework="pt") as file:
        header = dict(file.metadata() or {})
        return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  a handle, not a dict


def work_of(path: Path) -> str | None:
    """The job that a file's classifiers came from, as their ``FACTS`` say; None where there are no readable ones."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get(FACTS, "null"))
    except (SafetensorError, OSError, ValueError, RecursionError):
        return None
    return facts.get("work") if isinstance(facts, dict) else None


def copy_trained(source: Path, target: Path) -> None:
    """Copies trained classifiers without the job that they came from, whose name tells when its inputs were written.

    Raises:
        DataError: damaged.
    """
    header, tensors, _ = _trained(source)
    save_tensors(target, tensors, header=header)


def trained_sha256(path: Path) -> str:
    """Hash of what ``copy_trained`` copies.

    Raises:
        DataError: damaged.
    """
    return _trained(path)[2]


def _trained(path: Path) -> tuple[dict[str, str], dict[str, Tensor], str]:
    header, tensors = read_tensors(path, remedy="run it again")
    with reading(path, "its header cannot be read", remedy="run it again"):
        facts = {name: value for name, value in json.loads(header[FACTS]).items() if name != "work"}
    header[FACTS] = json.dumps(facts, sort_keys=True)
    sha256 = hashlib.sha256(json.dumps([header, tensors_sha256(tensors)], sort_keys=True).encode()).hexdigest()
    return header, tensors, sha256


def refuse_not_finite(tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Refuses weights that are NaN or infinite: they would become predictions.

    Raises:
        DataError: see above; the first tensors are named.
    """
    broken = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        named = ", ".join(broken[:_NAMED])
        raise DataError(f"{where}: {named} hold NaN or infinity; copy or train it again")


def build_fitting(
    build: Callable[[], Model], tensors: Mapping[str, Tensor], *, where: str, can_sketch: bool = True
) -> Model:
    """A model with the tensors of a file, which are checked against it before it takes any memory.

    Args:
        build: makes the model, with the sizes that its config states.
        tensors: of its whole state.
        where: the file or directory, for messages.
        can_sketch: False: it is a user's own class, which is made once, for real.

    Raises:
        DataError: sizes of which no model can be made; tensors that are missing, left over, of another shape or type,
            or no numbers.
    """
    try:
        with torch.device("meta") if can_sketch else nullcontext():
            sketch = build()
    except (ValueError, RuntimeError, TypeError, LookupError, AttributeError, OverflowError, MemoryError) as error:
        why = " ".join(str(error).split())[:200]
        raise DataError(f"{where}: no model can be made of its config ({why}); copy or train it again") from None
    faults = misfits(sketch.state_dict(), tensors)
    if faults:
        raise DataError(f"{where}: weights do not fit config.json: {faults}; copy or train it again")
    refuse_not_finite(tensors, where=where)
    model = build() if can_sketch else sketch
    model.load_state_dict(dict(tensors), strict=True)
    return model


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Hash of names, types, shapes and values, whatever their order."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def misfits(
    wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], *, types: bool = True, unknown: str = "left over"
) -> str:
    """Which of some tensors are not what a model wants, the first few of each kind by name; empty where all fit.

    Args:
        wanted: of the model.
        tensors: of a file.
        types: whether types are compared, besides names and shapes.
        unknown: what tensors are that the model has not, in words.
    """
    both = [name for name in wanted if name in tensors]

    def unlike(attribute: Callable[[Tensor], object]) -> list[str]:
        pairs = [(name, attribute(tensors[name]), attribute(wanted[name])) for name in both]
        return [f"{name} {met} (wanted {due})" for name, met, due in pairs if met != due]

    kinds = {
        "missing": [name for name in wanted if name not in tensors],
        unknown: [name for name in tensors if name not in wanted],
        "of another shape": unlike(lambda tensor: tuple(tensor.shape)),
        "of another type": unlike(lambda tensor: tensor.dtype) if types else [],
    }
    return "; ".join(f"{len(names)} {what}: {some(names, _NAMED)}" for what, names in kinds.items() if names)
