"""The encoder directory: weights of encoder and predictor, ``config.json`` and a model card, on disk or on the hub."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
from huggingface_hub.errors import HFValidationError, HTTPError, LocalEntryNotFoundError

from hage_transfer.bounded import BoundsError, read_json
from hage_transfer.config import file_sha256
from hage_transfer.errors import DataError, WeightsError
from hage_transfer.models.model_card import model_card
from hage_transfer.running.atomic import atomic_folder, write_json, write_text

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS_FILE, CONFIG_FILE, CARD_FILE = "model.safetensors", "config.json", "README.md"
PREDICTOR_FILE = "predictor.safetensors"
HASHES = "files_sha256"
SCHEMA_VERSION = 1
_SIZES = ("feature_dim", "embed_dim")
_HAGE, _ADAPTER = "hage", "lora"


def write_encoder(
    folder: Path,
    *,
    tensors: "Mapping[str, Tensor]",
    card: Mapping[str, Any],
    predictor: "Mapping[str, Tensor] | None" = None,
) -> None:
    """Writes an encoder directory that appears whole or not at all; an earlier one is replaced.

    Args:
        folder: the directory.
        tensors: of the encoder.
        card: becomes ``config.json`` and the model card.
        predictor: tensors of the expression predictor and its calibration; None writes an encoder alone.
    """
    with atomic_folder(folder) as temporary:
        hashes = {WEIGHTS_FILE: _save(tensors, temporary / WEIGHTS_FILE)}
        if predictor is not None:
            hashes[PREDICTOR_FILE] = _save(predictor, temporary / PREDICTOR_FILE)
        write_json(temporary / CONFIG_FILE, {"schema_version": SCHEMA_VERSION, **card, HASHES: hashes})
        write_text(temporary / CARD_FILE, model_card(card))


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
        wanted = [WEIGHTS_FILE, CONFIG_FILE, CARD_FILE, PREDICTOR_FILE]
        return download(str(name), wanted, what="encoder", maker="pretrain", revision=revision, token=token)
    if revision is not None:
        raise DataError(f"{folder}: is a folder and has no revision {revision}; that is for names on the hub")
    return folder


def read_encoder(folder: Path) -> "tuple[dict[str, Any], dict[str, Tensor]]":
    """Config and tensors of an encoder directory; errors as ``GeneInformedEncoder.from_pretrained``."""
    card = read_card(folder)
    try:
        return card, _read(folder / WEIGHTS_FILE, card)
    except FileNotFoundError:
        raise DataError(f"{folder}: is no encoder directory: {WEIGHTS_FILE} is missing") from None


def read_card(folder: Path) -> dict[str, Any]:
    """``config.json`` of an encoder directory alone; errors as ``GeneInformedEncoder.from_pretrained``."""
    path = folder / CONFIG_FILE
    try:
        card = read_json(path)
    except FileNotFoundError:
        raise DataError(f"{folder}: is no encoder directory: {CONFIG_FILE} is missing") from None
    except BoundsError as error:
        raise DataError(f"{path}: not valid JSON: {error}") from None
    if isinstance(card, dict) and form_of(card) == _ADAPTER:
        raise DataError(
            f"{folder}: holds an adapter of the image encoder {card.get('frozen_encoder')}, which reads images; encode "
            "with encoder.adapter set to it, and embed what that gives by the gene-informed encoder trained with it"
        )
    missing = [key for key in _sizes(card) if not isinstance(card, dict) or type(card.get(key)) is not int]
    if missing:
        raise DataError(f"{path}: {', '.join(missing)} missing; not written by `pretrain`")
    _check_card(card, path)
    return card


def read_predictor(folder: Path) -> "dict[str, Tensor]":
    """Tensors of the expression predictor of an encoder directory.

    Raises:
        DataError: the directory holds an encoder alone, or its predictor cannot be read.
    """
    path = folder / PREDICTOR_FILE
    try:
        return _read(path, read_card(folder))
    except FileNotFoundError:
        raise DataError(
            f"{folder}: holds no {PREDICTOR_FILE}, so it embeds but cannot predict expression (an earlier version "
            "wrote it); run `pretrain` again into a new out=, with the config.yaml of its run"
        ) from None


def encoder_sha256(folder: Path) -> str:
    """Hash of an encoder directory's weights."""
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        raise DataError(f"{folder}: is no encoder directory: {WEIGHTS_FILE} is missing; `pretrain` makes one")
    return file_sha256(weights)


def form_of(card: Mapping[str, Any]) -> str:
    """How the encoder of a card is built (``models.forms``); the first cards named no form."""
    return str(card.get("form", _HAGE))


def _sizes(card: Any) -> tuple[str, ...]:
    """Names of the sizes that a card must state."""
    return (*_SIZES, "n_heads") if not isinstance(card, dict) or form_of(card) == _HAGE else _SIZES


def _check_card(card: Mapping[str, Any], path: Path) -> None:
    """Refuses a later version's card and sizes that no encoder has; the first cards named no version."""
    version = card.get("schema_version", SCHEMA_VERSION)
    if type(version) is not int:
        raise DataError(f"{path}: schema_version {version!r} is no whole number; not written by `pretrain`")
    if version > SCHEMA_VERSION:
        raise DataError(f"{path}: schema_version {version} is newer than this program's {SCHEMA_VERSION}; upgrade")
    names = _sizes(card)
    if min(card[key] for key in names) < 1 or ("n_heads" in names and card["embed_dim"] % card["n_heads"]):
        sizes = ", ".join(f"{key} {card[key]}" for key in names)
        raise DataError(
            f"{path}: {sizes}: wanted sizes above 0, embed_dim a multiple of n_heads; copy or train the encoder again"
        )


def _save(tensors: "Mapping[str, Tensor]", path: Path) -> str:
    """Writes a file of tensors and gives its hash."""
    from hage_transfer.tensor_files import save_tensors  # torch: cards and hashes are read without it

    save_tensors(path, tensors)
    return file_sha256(path)


def _read(path: Path, card: Mapping[str, Any]) -> "dict[str, Tensor]":
    """Tensors of a file whose hash is the one that the card records; the first cards recorded none."""
    from hage_transfer.tensor_files import read_tensors

    tensors = read_tensors(path, remedy="train or copy it again")[1]
    hashes = card.get(HASHES)
    recorded = hashes.get(path.name) if isinstance(hashes, dict) else None
    if recorded is not None and file_sha256(path) != recorded:
        raise DataError(
            f"{path}: is not the file that {CONFIG_FILE} records (its hash is another), so it was damaged or replaced; "
            "copy the directory again"
        )
    return tensors


def refuse_no_repository(name: str, *, what: str, maker: str) -> None:
    """Refuses a name that no repository of the hub has; arguments and errors as ``download``."""
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise DataError(f"{name}: no such {what} directory; `{maker}` makes one")


def download(
    name: str, wanted: list[str], *, what: str, maker: str, revision: str | None = None, token: str | None = None
) -> Path:
    """The local copy of a hub repository's files; errors as ``find_encoder``.

    Args:
        name: ``organisation/name``.
        wanted: patterns of files.
        what: kind of directory, for messages.
        maker: function that makes one, likewise.
        revision: branch, tag or commit.
        token: of the hub.
    """
    refuse_no_repository(name, what=what, maker=maker)
    try:
        return Path(huggingface_hub.snapshot_download(name, revision=revision, token=token, allow_patterns=wanted))
    except (HTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"{name}{'' if revision is None else f' at {revision}'}: no such folder here, and not to be had from the "
            f"hub ({first_line}); give a directory, or a token that may read it (`hf auth login`, HF_TOKEN)"
        ) from None
