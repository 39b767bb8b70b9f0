"""Encoder directories on the hub: what may leave, what leaves, and what to do where the hub says no."""

import logging
from pathlib import Path
from typing import Any, Literal

import huggingface_hub
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from hage_transfer.errors import SharingError
from hage_transfer.models.checkpoint import (
    CARD_FILE,
    CONFIG_FILE,
    PREDICTOR_FILE,
    WEIGHTS_FILE,
    read_card,
    read_encoder,
)
from hage_transfer.models.model_card import forbids_derivatives, is_known_licence, name_of

log = logging.getLogger(__name__)

_NEEDED = (WEIGHTS_FILE, CONFIG_FILE, CARD_FILE)
_REFUSED = (401, 403)


def push_encoder(
    folder: Path, repo_id: str, *, token: str | None = None, private: bool = True, allow_derivative: bool = False
) -> str:
    """Uploads an encoder directory to the hub: its own files and nothing else that lies beside them.

    Args:
        folder: an encoder directory.
        repo_id: ``organisation/name``; made where it is not there.
        token: of the hub, with write access; None: the one of ``hf auth login`` or HF_TOKEN.
        private: whether only the organisation sees it. An existing public repository is then refused.
        allow_derivative: the user has the right to pass on a model of a frozen encoder whose licence forbids
            derivatives or is not known.

    Returns:
        The repository's address.

    Raises:
        DataError: no encoder directory.
        SharingError: the licence forbids it; no token; no access; the hub cannot be reached. Nothing was uploaded,
            or, where the connection broke off, no commit was made.
    """
    names = check_upload(folder, repo_id, allow_derivative=allow_derivative)
    message = f"Gene-informed encoder on {name_of(read_card(folder))}"
    return push_files(folder, names, repo_id, token=token, private=private, message=message)


def push_files(
    folder: Path, names: list[str], repo_id: str, *, token: str | None = None, private: bool = True, message: str
) -> str:
    """Uploads some files of a folder to the hub; arguments, result and errors as ``push_encoder``."""
    token = token or huggingface_hub.get_token()
    if token is None:
        raise SharingError(
            f"{repo_id}: no token of the hub; make one with write access at https://huggingface.co/settings/tokens, "
            "then `hf auth login`, or set HF_TOKEN"
        )
    api = huggingface_hub.HfApi(token=token)
    try:
        address = str(api.create_repo(repo_id, private=private, exist_ok=True))
        if private and not api.repo_info(repo_id).private:
            raise SharingError(
                f"{repo_id} is there already and public, and this upload was to be private; give another name, or say "
                "that it may be public (public=True)"
            )
        api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            allow_patterns=names,
            commit_message=message,
        )
    except (HTTPError, HFValidationError, LocalTokenNotFoundError, OSError) as error:
        raise _explained(repo_id, error) from None
    log.info("%s: %s uploaded", address, ", ".join(names))
    return address


def check_upload(folder: Path, repo_id: str, *, allow_derivative: bool) -> list[str]:
    """The files that would leave, where nothing that can be known here stands against it; asks no network.

    Raises:
        DataError: no encoder directory, or its weights are damaged.
        SharingError: a file is missing; no name of a repository; the licence forbids it.
    """
    names = own_files(folder)
    card, _ = read_encoder(folder)
    check_licence(card, folder=folder, allow_derivative=allow_derivative)
    check_repository(repo_id)
    return names


def check_repository(repo_id: str) -> None:
    """Refuses what is no name of a repository.

    Raises:
        SharingError: see above.
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise _explained(repo_id, error) from None


def own_files(folder: Path) -> list[str]:
    """The files that make an encoder directory, those of them that are there; whatever else lies in it is not named.

    Raises:
        SharingError: one that every encoder directory has is missing.
    """
    for name in _NEEDED:
        if not (folder / name).is_file():
            raise SharingError(f"{folder}: is no whole encoder directory: {name} is missing; `pretrain` makes one")
    return [*_NEEDED, *([PREDICTOR_FILE] if (folder / PREDICTOR_FILE).is_file() else [])]


def check_licence(
    card: dict[str, Any], *, folder: Path, allow_derivative: bool, act: Literal["uploaded", "applied"] = "uploaded"
) -> None:
    """Stops where the frozen encoder's licence forbids passing on what was made with it.

    Args:
        card: with the frozen encoder's name and licence.
        folder: that holds the card.
        allow_derivative: the user has the right to it.
        act: what is stopped.

    Raises:
        SharingError: it does, or it is not known, and ``allow_derivative`` is not set.
    """
    licence = str(card.get("frozen_encoder_licence") or "unknown")
    if allow_derivative:
        return
    remedy = f"if you have the right to {'share' if act == 'uploaded' else 'use'} it, say so: licence_allows=True"
    if forbids_derivatives(licence):
        raise SharingError(
            f"{folder}: was trained on features of {name_of(card)}, whose licence {licence} forbids passing "
            f"derivatives on; nothing was {act}. Ask its authors; {remedy}"
        )
    if not is_known_licence(licence):
        raise SharingError(
            f"{folder}: the licence of its frozen encoder {name_of(card)} is not recorded; nothing was {act}. Find "
            f"it out; {remedy}"
        )


def _explained(repo_id: str, error: Exception) -> SharingError:
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    code = error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else None
    if isinstance(error, HFValidationError):
        remedy = "a name on the hub is ORGANISATION/NAME, of letters, digits, -, _ and ."
    elif isinstance(error, GatedRepoError | RepositoryNotFoundError) or code in _REFUSED:
        remedy = f"the token may not write there: it needs write access to {repo_id.split('/')[0]} (`hf auth whoami`)"
    elif isinstance(error, HfHubHTTPError):
        remedy = "the hub refused it; run it again later"
    else:
        remedy = "the hub cannot be reached; check the network, then run it again"
    return SharingError(f"{repo_id}: not uploaded: {first_line}; {remedy}")
