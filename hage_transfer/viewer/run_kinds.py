"""Telling what a folder is, and reading it: a MIL run, heatmaps, encoded slides, tissue, or predictions."""

from pathlib import Path

from hage_transfer.errors import DataError
from hage_transfer.running.run_directory import CONFIG_FILE
from hage_transfer.viewer.contents import Contents
from hage_transfer.viewer.mil_run import is_heatmap_folder, read_heatmap_folder, read_mil_run
from hage_transfer.viewer.prediction_folder import read_predictions
from hage_transfer.viewer.slide_files import check_folder
from hage_transfer.viewer.slide_folder import read_encoded, read_surveyed

_WANTED = "wanted a run of `mil`, a folder of `explain`, `encode_slides`, `tissue` or `predict`"


def read_contents(run: Path, *, slides: Path | None) -> Contents:
    """What ``run`` holds.

    Args:
        run: a folder that one of our commands wrote.
        slides: folder of the slides, where they are not (or no longer) where the run found them.

    Raises:
        DataError: not such a folder, or a file in it is damaged.
    """
    if not run.is_dir():
        raise DataError(f"{run}: {'is a file' if run.exists() else 'no such folder'}; {_WANTED}")
    check_folder(slides)
    run = run.resolve()
    if (run / "predictions.csv").is_file() and (run / CONFIG_FILE).is_file():
        return read_mil_run(run, slides=slides)
    if (run / "tissue.csv").is_file():
        return read_surveyed(run, slides=slides)
    if (run / "predict.json").is_file():
        return read_predictions(run, slides=slides)
    if (run / "features").is_dir() and ((run / "status.csv").is_file() or (run / "geojson").is_dir()):
        return read_encoded(run, slides=slides)
    if is_heatmap_folder(run):
        return read_heatmap_folder(run, slides=slides)
    if (run / CONFIG_FILE).is_file():
        raise DataError(f"{run}: a run without slides, or not finished; {_WANTED}")
    raise DataError(f"{run}: not a run with slides; {_WANTED}")
