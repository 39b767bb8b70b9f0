"""Classifier directories on the hub, under the licence rule of encoder directories."""

from pathlib import Path

from hage_transfer.apply.checks import licence_card
from hage_transfer.apply.classifier import CARD_FILE, FACTS_FILE, Classifier, read_facts, what_of
from hage_transfer.errors import SharingError
from hage_transfer.models.sharing import check_licence, check_repository, push_files


def check_classifier_upload(folder: Path, repo_id: str, *, allow_derivative: bool) -> list[str]:
    """The files that would leave, where nothing that can be known here stands against it; asks no network.

    Raises:
        DataError: no whole classifier directory.
        SharingError: the licence forbids it; no name of a repository.
    """
    facts = read_facts(folder)
    Classifier.check_files(folder, facts)
    if not (folder / CARD_FILE).is_file():
        raise SharingError(f"{folder}: {CARD_FILE} is missing; run `{facts['task']}` again")
    check_licence(licence_card(facts), folder=folder, allow_derivative=allow_derivative)
    check_repository(repo_id)
    return [FACTS_FILE, CARD_FILE, *facts["files_sha256"]]


def push_classifier(folder: Path, repo_id: str, *, private: bool, allow_derivative: bool) -> str:
    """Uploads a classifier directory; result and errors as ``push_encoder``."""
    names = check_classifier_upload(folder, repo_id, allow_derivative=allow_derivative)
    facts = read_facts(folder)
    message = f"Classifier of {what_of(facts)} on {facts['features']['encoder']}"
    return push_files(folder, names, repo_id, private=private, message=message)
