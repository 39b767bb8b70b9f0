"""Weights of frozen encoders: finding the file, hashing it, reading it. Never a pickle, never a silent mismatch."""

import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from hage_transfer.config import file_sha256
from hage_transfer.data.feature_layouts.tensor_file import TORCH_FAULTS
from hage_transfer.errors import WeightsError, some
from hage_transfer.running.file_stamp import size_and_time
from hage_transfer.tensor_files import misfits

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_REACH_SECONDS = 10


@dataclass(frozen=True)
class WeightsFile:
    """A weights file on this machine and its hash."""

    path: Path
    sha256: str


def local_weights(path: Path) -> WeightsFile:
    """The file that ``encoder.weights`` names.

    Raises:
        WeightsError: no such file.
    """
    if not path.is_file():
        raise WeightsError(f"encoder.weights = {path}: no such file")
    return _hashed(path)


def hub_weights(name: str, repository: str) -> WeightsFile:
    """The weights of a hub repository, from the local cache or downloaded with the user's own token.

    Raises:
        WeightsError: no access (offline, gated, unknown); the message says how to get it.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    cached = cached_weights(repository)
    if cached is not None:
        return _hashed(cached)
    _refuse_if_unreachable(name, repository)
    for file in HUB_FILES:
        try:
            path = Path(hf_hub_download(repository, file))
            return _hashed(path)
        except LocalEntryNotFoundError as error:
            raise missing_weights(name, repository, error) from None
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, OSError) as error:
            raise missing_weights(name, repository, error) from None
    raise missing_weights(name, repository, FileNotFoundError(f"it holds neither {' nor '.join(HUB_FILES)}"))


def _hashed(path: Path) -> WeightsFile:
    return WeightsFile(path, _sha256(path, *size_and_time(path)))


@lru_cache
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    """The hash, computed once per process while the file stays as it is: some files hold gigabytes."""
    return file_sha256(path)


def cached_weights(repository: str) -> Path | None:
    """The weights file in the local hub cache, or None; never asks the network."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repository, file) for file in HUB_FILES)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def hub_file(repository: str, file: str) -> Path | None:
    """A small file of a hub repository, from the local cache or downloaded; None where it cannot be had."""
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    found = try_to_load_from_cache(repository, file)
    if isinstance(found, str):
        return Path(found)
    if constants.HF_HUB_OFFLINE:
        return None
    try:
        return Path(hf_hub_download(repository, file))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError):
        return None


def _refuse_if_unreachable(name: str, repository: str) -> None:
    """One short request, since the hub's client tries for half a minute before it gives up."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return
    try:
        urllib.request.urlopen(
            urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=_REACH_SECONDS
        ).close()
    except urllib.error.HTTPError:
        return  # it answers
    except OSError as error:
        raise missing_weights(name, repository, error) from None


def missing_weights(name: str, repository: str, cause: Exception) -> WeightsError:
    """The one message about weights that the hub does not give."""
    from huggingface_hub import constants

    first_line = next(iter(str(cause).strip().splitlines()), type(cause).__name__).rstrip(".")
    offline = " (HF_HUB_OFFLINE is set)" if constants.HF_HUB_OFFLINE else ""
    return WeightsError(
        f"encoder {name}: the hub gives no weights of {repository}{offline}: {first_line}. "
        f"Ask for access at https://huggingface.co/{repository} and give your token (`hf auth login`, or HF_TOKEN), "
        "or pass a file that you have: set encoder.weights=/path/to/pytorch_model.bin"
    )


def read_state(path: Path) -> dict[str, Tensor]:
    """Reads a state dict from safetensors, or from a torch file with ``weights_only=True``.

    Raises:
        WeightsError: unreadable, or something other than tensors by name.
    """
    from pickle import UnpicklingError

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    faults: tuple[type[Exception], ...] = (SafetensorError, UnpicklingError, *TORCH_FAULTS)
    try:
        safe = path.suffix == ".safetensors"
        state = load_file(path) if safe else torch.load(path, map_location="cpu", weights_only=True)
    except faults as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        raise WeightsError(f"{path}: cannot be read as safetensors or torch weights: {first_line}") from None
    if isinstance(state, Mapping) and isinstance(state.get("state_dict"), Mapping):
        state = state["state_dict"]
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: holds no state dict (tensors by name)")
    broken = [key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise WeightsError(f"{path}: tensors {some(broken)} hold NaN or infinity; fetch the file again")
    return dict(state)


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], *, name: str, path: Path) -> None:
    """Loads ``state`` into ``module`` in float32 so that every tensor of both is used.

    A module on the meta device takes the tensors of ``state`` as its own.

    Raises:
        WeightsError: a tensor missing, left over, or of another shape; the first few are named.
    """
    faults = misfits(module.state_dict(), state, types=False, unknown="not in the architecture")
    if faults:
        raise WeightsError(f"{path}: not the weights of {name}; tensors {faults}")
    float_state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    on_meta = any(value.is_meta for value in module.state_dict().values())
    module.load_state_dict(float_state, strict=True, assign=on_meta)
