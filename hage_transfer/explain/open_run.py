"""A run that can be explained, or why not; torch is not needed to say so."""

from pathlib import Path

from hage_transfer.bounded import read_json
from hage_transfer.config import load_config
from hage_transfer.errors import DataError
from hage_transfer.mil.config import MilConfig
from hage_transfer.running.run_directory import CONFIG_FILE, MODELS_FOLDER, RESULTS_FILE


def open_mil_run(run: Path) -> MilConfig:
    """The config of a finished MIL run that kept its models.

    Raises:
        DataError: no such folder, no run, a run of another task, an unfinished one, or one without models.
        ConfigError: a config that does not fit the present form.
    """
    if not run.is_dir():
        raise DataError(f"{run}: no such folder; give the run directory of `mil`")
    if not (run / CONFIG_FILE).is_file():
        raise DataError(f"{run}: is no run directory ({CONFIG_FILE} is missing); `mil` makes one")
    task = _task(run)
    if task != "mil":
        raise DataError(f"{run}: is a run of `{task}`; heatmaps explain runs of `mil`")
    if not (run / MODELS_FOLDER).is_dir():
        raise DataError(
            f"{run}: keeps no models ({MODELS_FOLDER}/ is missing), since an earlier version made it; run `mil` again "
            f"with its {CONFIG_FILE} and a new out= (the features are kept)"
        )
    return load_config(MilConfig, run / CONFIG_FILE)


def _task(run: Path) -> str:
    path = run / RESULTS_FILE
    if not path.is_file():
        raise DataError(f"{run}: has no {RESULTS_FILE}; run `mil` to its end first")
    try:
        records = read_json(path)["records"]
        return str(records[0]["task"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"{path}: cannot be read as results ({error!r}); run `mil` again") from None
