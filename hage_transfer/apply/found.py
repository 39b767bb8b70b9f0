"""Which classifier directory a caller means: a directory, a run of several sources, or a hub repository."""

from pathlib import Path

from hage_transfer.apply.classifier import CARD_FILE, COHORT_FILE, FACTS_FILE, FOLDER, TRAINING_FILE, Classifier
from hage_transfer.errors import ConfigError, DataError, nearest
from hage_transfer.mil.own_class import MakeClassifier
from hage_transfer.models.checkpoint import download
from hage_transfer.running.run_directory import RESULTS_FILE


def find_classifier(name: str, *, source: str | None = None, own: MakeClassifier | None = None) -> Classifier:
    """The classifier of a directory, of a run's source, or of a repository on the hub.

    Args:
        name: of any of these.
        source: of a run; None: its only one.
        own: the user's class of bag classifier, where it is of one.

    Raises:
        DataError: none there, or it is damaged.
        ConfigError: a run of several sources, without the one that is meant; a user's class that is missing.
        WeightsError: not to be had from the hub.
    """
    folder = Path(name)
    if not folder.is_dir():
        files = [FACTS_FILE, CARD_FILE, COHORT_FILE, TRAINING_FILE, "*.safetensors", "*.json", "*.md"]
        folder = download(name, files, what="classifier", maker="mil")
    if (folder / FACTS_FILE).is_file() or not ((folder / FOLDER).is_dir() or (folder / RESULTS_FILE).is_file()):
        found = Classifier.read(folder, own=own)
        if source not in (None, found.source):
            raise ConfigError(f"source={source}: {folder} is of source {found.source}; leave it out")
        return found
    there = sorted(path.name for path in (folder / FOLDER).glob("*") if (path / FACTS_FILE).is_file())
    if not there:
        raise DataError(f"{folder}: a run without classifier directories (an earlier version's?); run it again")
    if source is None and len(there) > 1:
        raise ConfigError(f"{folder}: holds classifiers of {', '.join(there)}; say which with source=...")
    chosen = there[0] if source is None else source
    if chosen not in there:
        raise ConfigError(f"source={source}: no classifier of it in {folder}; nearest: {nearest(chosen, there)[0]}")
    return Classifier.read(folder / FOLDER / chosen, own=own)
