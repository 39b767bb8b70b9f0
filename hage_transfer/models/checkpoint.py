"""The encoder directory: weights of encoder and predictor, ``config.json`` and a model card, on disk or on the hub."""

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.errors import HFValidationError, HTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hage_transfer.config import file_sha256
from hage_transfer.errors import DataError, WeightsError
from hage_transfer.models.model_card import model_card
from hage_transfer.running.atomic import TEMPORARY_MARK, write_json, write_text

WEIGHTS_FILE, CONFIG_FILE, CARD_FILE = "model.safetensors", "config.json", "README.md"
PREDICTOR_FILE = "predictor.safetensors"
SCHEMA_VERSION = 1
_SIZES = ("feature_dim", "embed_dim", "n_heads")


def write_encoder(
    folder: Path,
    *,
    tensors: Mapping[str, Tensor],
    card: Mapping[str, Any],
    predictor: Mapping[str, Tensor] | None = None,
) -> None:
    """Writes an encoder directory that appears whole or not at all; an earlier one is replaced.

    Args:
        folder: the directory.
        tensors: of the encoder.
        card: becomes ``config.json`` and the model card.
        predictor: tensors of the expression predictor and its calibration; None writes an encoder alone.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f"{TEMPORARY_MARK}{secrets.token_hex(6)}-{folder.name}")
    temporary.mkdir()
    try:
        _save(tensors, temporary / WEIGHTS_FILE)
        if predictor is not None:
            _save(predictor, temporary / PREDICTOR_FILE)
        write_json(temporary / CONFIG_FILE, {"schema_version": SCHEMA_VERSION, **card})
        write_text(temporary / CARD_FILE, model_card(card))
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def add_to_card(folder: Path, extra: Mapping[str, Any]) -> None:
    """Adds to an encoder directory's ``config.json`` and writes its model card again; done twice, it is as once."""
    card = {**read_card(folder), **extra}
    write_json(folder / CONFIG_FILE, card)
    write_text(folder / CARD_FILE, model_card(card))


def find_encoder(name: str | Path, *, revision: str | None = None, token: str | None = None) -> Path:
    """The folder of an encoder directory: as named, or the local copy of a hub repository of that name.

    Args:
        name: a folder, or ``organisation/name`` on the hub.
        revision: branch, tag or commit on the hub; None: its main branch.
        token: of the hub; None: the one of ``hf auth login`` or HF_TOKEN, if any.

    Raises:
        DataError: no such folder, and no name of a repository either; a folder with a revision.
        WeightsError: the hub has it not, or cannot be reached.
    """
    folder = Path(name)
    if not folder.is_dir():
        return _download(str(name), revision=revision, token=token)
    if revision is not None:
        raise DataError(f"{folder}: is a folder and has no revision {revision}; that is for names on the hub")
    return folder


def read_encoder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Config and tensors of an encoder directory; errors as ``GeneInformedEncoder.from_pretrained``."""
    card = read_card(folder)
    try:
        return card, load_file(folder / WEIGHTS_FILE)
    except FileNotFoundError:
        raise DataError(f"{folder}: is no encoder directory: {WEIGHTS_FILE} is missing") from None
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{folder / WEIGHTS_FILE}: cannot be read as safetensors ({error}); train or copy it again"
        ) from None


def read_card(folder: Path) -> dict[str, Any]:
    """``config.json`` of an encoder directory alone; errors as ``GeneInformedEncoder.from_pretrained``."""
    path = folder / CONFIG_FILE
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{folder}: is no encoder directory: {CONFIG_FILE} is missing") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not valid JSON: {error}") from None
    missing = [key for key in _SIZES if not isinstance(card, dict) or not isinstance(card.get(key), int)]
    if missing:
        raise DataError(f"{path}: {', '.join(missing)} missing; not written by `hage pretrain`")
    _check_card(card, path)
    return card


def read_predictor(folder: Path) -> dict[str, Tensor]:
    """Tensors of the expression predictor of an encoder directory.

    Raises:
        DataError: the directory holds an encoder alone, or its predictor cannot be read.
    """
    path = folder / PREDICTOR_FILE
    try:
        return load_file(path)
    except FileNotFoundError:
        raise DataError(
            f"{folder}: holds no {PREDICTOR_FILE}, so it embeds but cannot predict expression (an earlier version "
            "wrote it); run `hage pretrain` again into a new --out, with the config.yaml of its run"
        ) from None
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: cannot be read as safetensors ({error}); train or copy it again") from None


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Loads tensors strictly, as an error that names the directory where they do not fit or are no numbers."""
    broken = [name for name, tensor in tensors.items() if tensor.isnan().any()]
    if broken:
        raise DataError(f"{where}: {', '.join(broken[:3])} hold NaN; copy or train the encoder again")
    try:
        module.load_state_dict(dict(tensors), strict=True)
    except RuntimeError as error:
        raise DataError(f"{where}: weights do not fit config.json: {' '.join(str(error).split())}") from None


def encoder_sha256(folder: Path) -> str:
    """Hash of an encoder directory's weights."""
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        raise DataError(f"{folder}: is no encoder directory: {WEIGHTS_FILE} is missing; `hage pretrain` makes one")
    return file_sha256(weights)


def _check_card(card: Mapping[str, Any], path: Path) -> None:
    """Refuses a later version's card and sizes that no encoder has; the first cards named no version."""
    version = card.get("schema_version", SCHEMA_VERSION)
    if type(version) is not int:
        raise DataError(f"{path}: schema_version {version!r} is no whole number; not written by `hage pretrain`")
    if version > SCHEMA_VERSION:
        raise DataError(f"{path}: schema_version {version} is newer than this program's {SCHEMA_VERSION}; upgrade")
    if min(card[key] for key in _SIZES) < 1 or card["embed_dim"] % card["n_heads"]:
        sizes = ", ".join(f"{key} {card[key]}" for key in _SIZES)
        raise DataError(
            f"{path}: {sizes}: wanted sizes above 0, embed_dim a multiple of n_heads; copy or train the encoder again"
        )


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())


def _download(name: str, *, revision: str | None, token: str | None) -> Path:
    looks_like_hub = name.count("/") == 1 and not name.startswith((".", "/", "~"))
    if not looks_like_hub:
        raise DataError(f"{name}: no such encoder directory; `hage pretrain` makes one")
    try:
        wanted = [WEIGHTS_FILE, CONFIG_FILE, CARD_FILE, PREDICTOR_FILE]
        return Path(huggingface_hub.snapshot_download(name, revision=revision, token=token, allow_patterns=wanted))
    except (HTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"{name}{'' if revision is None else f' at {revision}'}: no such folder here, and not to be had from the "
            f"hub ({first_line}); give an encoder directory, or a token that may read it (`hf auth login`, HF_TOKEN)"
        ) from None
