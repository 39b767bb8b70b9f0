"""What a stage left in a folder, read as the stage gave it back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hage_transfer.apply.scores import SCORES_FILE, Scores
from hage_transfer.door.feature_set import SUBFOLDER, FeatureSet
from hage_transfer.door.given import PathLike
from hage_transfer.door.run_results import RunResults
from hage_transfer.running.run_directory import RESULTS_FILE

READERS: dict[str, Callable[[Path], Any]] = {RESULTS_FILE: RunResults.read, SCORES_FILE: Scores.read}
"""By the file that says what a folder holds."""


def read_results(run: PathLike) -> Any:
    """Reads what a stage left in a folder: results of a run, features, predictions, explanations, scores.

    Args:
        run: the folder, or a run's ``results.json``.

    Raises:
        DataError: nothing of a stage there, or it cannot be read.

    >>> import tempfile
    >>> from hage_transfer.compare.results import Record, Results
    >>> folder = Path(tempfile.mkdtemp())
    >>> record = Record(task="mil", source="frozen", split="test", fold="0", trial=None, metric="auc", value=0.9)
    >>> Results([record]).save(folder / "results.json")
    >>> float(read_results(folder).table().loc["frozen", ("auc", "mean")])
    0.9
    """
    path = Path(run)
    if path.name == RESULTS_FILE and not path.is_dir():
        path = path.parent
    for name, read in READERS.items():
        if (path / name).is_file():
            return read(path)
    if path.suffix == ".h5" or any(path.glob("*.h5")) or any((path / SUBFOLDER).glob("*.h5")):
        return FeatureSet(path)
    return RunResults.read(path)  # says what is missing
