"""Which encoders predict which item, and with which options."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hage_transfer.errors import DataError, nearest
from hage_transfer.models.checkpoint import read_card
from hage_transfer.models.ensemble import ExpressionEnsemble
from hage_transfer.predict.items import PredictItem

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """Options of the command; ``named``: the user named the sections, so that none is left out quietly."""

    genes: tuple[str, ...]
    n_maps: int
    attention: bool
    regions: str
    seed: int
    allow_trained: bool
    named: bool


@dataclass(frozen=True)
class PredictTask:
    """An item and the encoders that predict it; ``trained_on``: they trained on it, and the user allowed that."""

    item: PredictItem
    folders: tuple[Path, ...]
    trained_on: bool


class EnsembleLoader:
    """The ensemble of the last folders asked for; sections of one fold follow one another."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._last: tuple[tuple[Path, ...], ExpressionEnsemble] | None = None

    def load(self, folders: tuple[Path, ...]) -> ExpressionEnsemble:
        """The ensemble of these directories; errors as ``ExpressionEnsemble.from_folders``."""
        if self._last is None or self._last[0] != folders:
            self._last = None  # the earlier ones go before the next come
            self._last = (folders, ExpressionEnsemble.from_folders(folders, device=self._device))
        return self._last[1]


def assign_encoders(
    items: Sequence[PredictItem], folders: Sequence[Path], settings: PredictSettings
) -> list[PredictTask]:
    """Gives each item the encoders that did not train on it.

    Raises:
        DataError: every encoder trained on an item that the user named, or on all items.
    """
    cards = {folder: read_card(folder) for folder in folders}
    trained = {folder: set(card.get("train_sections", [])) for folder, card in cards.items()}
    patients = {folder: set(card.get("train_patients", [])) for folder, card in cards.items()}
    tasks, left_out = [], []
    for item in items:
        unseen = tuple(folder for folder in folders if item.name not in trained[folder])
        if unseen:
            tasks.append(PredictTask(item, unseen, trained_on=False))
        elif settings.allow_trained:
            tasks.append(PredictTask(item, tuple(folders), trained_on=True))
        else:
            left_out.append(item.name)
    if left_out and (settings.named or not tasks):
        raise DataError(
            f"{', '.join(left_out)}: every encoder given trained on it, so its scores would be too good; "
            "give encoders of a fold that holds it out, or allow_trained=True to have it marked so"
        )
    if left_out:
        log.warning("left out, since every encoder given trained on them: %s", ", ".join(left_out))
    for task in tasks:
        if task.trained_on:
            log.warning("%s: the encoders TRAINED on it; its scores are no measure of prediction", task.item.name)
            continue
        known = {task.item.name, task.item.patient} & set().union(*(patients[folder] for folder in task.folders))
        if known:
            log.warning(
                "%s: its encoders were trained on sections of patient %s; scores say nothing of new patients",
                task.item.name,
                ", ".join(sorted(known)),
            )
    return tasks


def check_genes(genes: Sequence[str], ensemble: ExpressionEnsemble) -> None:
    """Refuses genes that the ensemble does not predict.

    Raises:
        DataError: naming the nearest ones.
    """
    for gene in genes:
        if gene not in ensemble.genes:
            near = nearest(gene, ensemble.genes, 3)
            raise DataError(
                f"genes={gene}: not in the panel of {len(ensemble.genes)} genes of {ensemble.folders[0]}; "
                f"nearest: {', '.join(near)}"
            )
