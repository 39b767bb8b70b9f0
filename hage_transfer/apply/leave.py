"""What a run leaves of every source: a classifier directory. Weights are the run's, all else is made here."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hage_transfer.apply import classifier as form
from hage_transfer.apply.calibration import fit_calibration
from hage_transfer.apply.card import classifier_card
from hage_transfer.apply.looked import COLUMNS
from hage_transfer.apply.operating_point import OperatingPoint
from hage_transfer.apply.training_cohort import Cohort, cohort_of
from hage_transfer.apply.training_table import training_table
from hage_transfer.apply.value_calibration import fit_values
from hage_transfer.bounded import read_json
from hage_transfer.compare.records import FINAL, MEAN, STD
from hage_transfer.compare.results import Results
from hage_transfer.compare.value_scoring import judged_units
from hage_transfer.config import PatchSetSettings, SlideSetSettings, config_sha256, file_sha256
from hage_transfer.data.feature_layouts import find_feature_files
from hage_transfer.data.labels import LabelTable
from hage_transfer.encode.sources import Origin, source_origins
from hage_transfer.errors import InputError, reason
from hage_transfer.mil.bag_headers import BagHeader, read_bag_header
from hage_transfer.mil.config import MilConfig
from hage_transfer.mil.own_class import MakeClassifier, code_sha256
from hage_transfer.models.checkpoint import encoder_sha256
from hage_transfer.models.sharing import own_files
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.running.atomic import atomic_folder, write_json, write_text
from hage_transfer.running.progress import Progress, stage, under
from hage_transfer.targets.base import by_unit
from hage_transfer.targets.make import target_of
from hage_transfer.tensor_files import copy_trained, save_tensors, trained_sha256

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

WHOLE_POINTS = ("youden", "sensitivity=0.9", "sensitivity=0.95", "specificity=0.9", "specificity=0.95")
"""Thresholds that the directory names; any other is computed from its out-of-fold scores when it is asked for."""

_OF_ONE_SLIDE = ("source", "config_sha256", "mpp_source")


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run whose classifiers are to be left.

    Attributes:
        folder: the run directory.
        config: of the run.
        labels: as trained on.
        frozen: the config's own features: a folder of bags, or a file of patches.
        results: of the run.
        own: the user's class of bag classifier, where it is of one.
    """

    folder: Path
    config: MilConfig | ProbeConfig
    labels: LabelTable
    frozen: Path
    results: Results
    own: MakeClassifier | None = None

    @property
    def task(self) -> str:
        """``mil`` or ``probe``."""
        return "mil" if isinstance(self.config, MilConfig) else "probe"


def leave_classifiers(run: FinishedRun, progress: Progress | None = None) -> None:
    """Writes ``classifier/<source>/`` of every source, whole or not at all; one that is there of this run is kept.

    A source of which no directory can be made (columns of two frozen encoders side by side) is told in the log.
    """
    root = run.folder / form.FOLDER
    repeats = run.config.train.repeats if isinstance(run.config, MilConfig) else 1
    cohorts: dict[Path, Cohort] = {}
    for name, trials in source_origins(run.config.sources, repeats=repeats).items():
        made_of = _made_of(run, name, trials)
        if _is_current(root / name, made_of):
            continue
        bases = {origin.features for parts in trials for origin in parts}
        if len(bases) > 1:
            log.warning("source %s: stands on features of several folders, so it leaves no classifier directory", name)
            continue
        base = _features_of(next(iter(bases)), run.frozen)
        stage(progress, f"classifier directory of {name}")
        try:
            if base not in cohorts:
                cohorts[base] = cohort_of(run.config, run.labels, base, under(progress, f"classifier of {name}"))
            _write(run, name, trials, base, cohorts[base], root / name, made_of)
        except InputError as error:
            log.warning("source %s: leaves no classifier directory: %s", name, reason(error))
    for folder in root.glob("*"):
        if folder.name not in run.config.sources:
            shutil.rmtree(folder)


def _features_of(given: Path | None, frozen: Path) -> Path:
    if given is None:
        return frozen
    inside = given / frozen.name
    return inside if given.is_dir() and inside.exists() else given


def _write(
    run: FinishedRun, name: str, trials: Sequence[tuple[Origin, ...]], base: Path, cohort: Cohort, out: Path, made: str
) -> None:
    with atomic_folder(out) as temporary:
        folders = _copy_encoders(trials, temporary)
        n_models = _copy_models(run, name, len(trials), temporary)
        said = _said(run)
        columns = form.score_names(said)
        table = training_table(
            run.folder / "predictions.csv", name, run.labels, cohort, columns, n_main=form.n_main(said)
        )
        table.to_csv(temporary / form.TRAINING_FILE, index=False, float_format="%.8g")
        tensors = cohort.tensors()
        if tensors:
            save_tensors(temporary / form.COHORT_FILE, tensors)
        facts = (
            _facts(run, name, base, cohort)
            | said
            | _calibrated(run, table)
            | {
                "trials": [
                    [None if one.encoder is None else folders[one.encoder] for one in parts] for parts in trials
                ],
                "models": n_models,
                "final": run.config.train.final,
                "made_of": made,
                "predictions_sha256": file_sha256(run.folder / "predictions.csv"),
            }
        )
        facts["files_sha256"] = {
            path.relative_to(temporary).as_posix(): file_sha256(path)
            for path in sorted(temporary.rglob("*"))
            if path.is_file()
        }
        write_text(temporary / form.CARD_FILE, classifier_card(facts))
        write_json(temporary / form.FACTS_FILE, facts)
    log.info("classifier directory of source %s: %s", name, out)


def _copy_encoders(trials: Sequence[tuple[Origin, ...]], out: Path) -> dict[Path, str]:
    """Every encoder directory once; its place in the classifier directory."""
    places: dict[Path, str] = {}
    for origin in (one for parts in trials for one in parts):
        if origin.encoder is not None and origin.encoder not in places:
            places[origin.encoder] = place = f"{form.ENCODERS}/{len(places)}"
            (out / place).mkdir(parents=True)
            for name in own_files(origin.encoder):
                shutil.copyfile(origin.encoder / name, out / place / name)
    return places


def _copy_models(run: FinishedRun, name: str, n_trials: int, out: Path) -> int:
    """The weights of every trial and fold, and those that were trained on all; how many of the folds there are."""
    shutil.copytree(run.folder / "models" / name, out / form.MODELS, copy_function=_copy_model)
    if run.task == "probe":
        return n_trials * len(list((run.folder / "splits").glob("splits_*.csv")))
    if run.config.train.final:
        shutil.copytree(run.folder / FINAL / "models" / name, out / FINAL, copy_function=_copy_model)
    return len(list((out / form.MODELS).glob("*/*.safetensors")))


def _copy_model(source: str, target: str) -> None:
    copy = copy_trained if source.endswith(".safetensors") else shutil.copyfile
    copy(Path(source), Path(target))


def _said(run: FinishedRun) -> dict[str, Any]:
    """What is told: classes, or a target and the columns that it was read from."""
    target = run.results.meta.get("target")
    if target is None:
        return {"classes": list(run.labels.classes), "positive": run.results.meta["positive"], "target": None}
    settings = run.config.target.model_dump(mode="json", exclude={"table"})
    return {"classes": [], "positive": None, "target": target, "target_settings": settings}


def _calibrated(run: FinishedRun, table: "pd.DataFrame") -> dict[str, Any]:
    """Calibration and thresholds by out-of-fold scores; of a target beyond classes there is no threshold."""
    labels, target = run.labels, target_of(run.results.meta.get("target"))
    if target is not None and labels.values is not None:
        scores = table[list(target.score_names)].to_numpy(dtype=np.float64)
        tested = np.isfinite(scores).all(axis=1)
        units = judged_units(labels)[tested]
        return {
            "calibration": fit_values(target, *by_unit(labels.values[tested], scores[tested], units)),
            "thresholds": {},
        }
    positive = run.results.meta["positive"]
    place = None if positive is None else labels.classes.index(positive)
    tested = table[table[f"probability_{labels.classes[0]}"].notna()]
    scores = tested[[f"probability_{one}" for one in labels.classes]].to_numpy(dtype=np.float64)
    places = np.searchsorted(np.array(labels.classes), tested["label"].to_numpy(dtype=str))
    points = {} if place is None else {p: _threshold(p, scores[:, place], places == place) for p in WHOLE_POINTS}
    return {"calibration": fit_calibration(scores, places, positive=place), "thresholds": points}


def _facts(run: FinishedRun, name: str, base: Path, cohort: Cohort) -> dict[str, Any]:
    labels, results = run.labels, run.results
    target = target_of(results.meta.get("target"))
    values = {} if target is None or labels.values is None else {"values": target.summary(labels.values)}
    header = _header(base)
    kind = run.config.model.kind if isinstance(run.config, MilConfig) else "linear"
    return {
        "schema_version": form.SCHEMA_VERSION,
        "task": run.task,
        "source": name,
        "kind": kind,
        "code_sha256": None if run.own is None else code_sha256(run.own),
        "reading": _reading(run.config, is_own=base == run.frozen),
        "features": {name: value for name, value in asdict(header.meta).items() if name not in _OF_ONE_SLIDE}
        | {"width": header.shape[1], "magnification": header.magnification},
        "licence": {"encoder": header.meta.encoder, "licence": header.meta.encoder_licence},
        "cohort": cohort.facts(labels) | values,
        "held_out": _held_out(results, name),
        "split": {"mode": results.meta["split"], "by": results.meta["folds_by"]},
    }


def _threshold(point: str, scores: np.ndarray, is_positive: np.ndarray) -> float:
    return OperatingPoint.of(point).threshold(scores, is_positive)


def _header(base: Path) -> BagHeader:
    files = find_feature_files(base) if base.is_dir() else {}
    return read_bag_header(next(iter(files.values())) if files else base)


def _reading(config: MilConfig | ProbeConfig, *, is_own: bool) -> dict[str, Any] | None:
    """How pixels become features; None where the run took feature files, which do not say how."""
    data = config.data
    if not is_own or not isinstance(data, SlideSetSettings | PatchSetSettings):
        return None
    encoder = config.encoder.model_dump(mode="json", exclude={"weights", "readers", "runtime"})
    if isinstance(data, SlideSetSettings):
        plain = data.model_dump(mode="json", exclude={"root", "labels", "layout"})
        plain["tissue"].pop("folder")
        return {"of": "slides", "data": plain, "encoder": encoder}
    what = "patches" if isinstance(config, ProbeConfig) else "images"
    return {"of": what, "data": {"tile_px": data.tile_px, "stride_px": data.stride_px}, "encoder": encoder}


def _held_out(results: Results, name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for record in results.select(source=name, trial=None, split="test"):
        if record.fold in (MEAN, STD) and record.value is not None:
            found.setdefault(record.metric, {})[record.fold] = record.value
    return {metric: values for metric, values in found.items() if MEAN in values}


def _made_of(run: FinishedRun, name: str, trials: Sequence[tuple[Origin, ...]]) -> str:
    """Changes with the weights, the encoders, the labels and the predictions that a directory is made of."""
    models = [*(run.folder / "models" / name).rglob("*.safetensors")]
    models += (run.folder / FINAL / "models" / name).rglob("*.safetensors")
    return config_sha256(
        {
            "schema": form.SCHEMA_VERSION,
            "looked": COLUMNS,
            "names_its_predictions": True,
            "models": {path.relative_to(run.folder).as_posix(): trained_sha256(path) for path in sorted(models)},
            "encoders": [[None if o.encoder is None else encoder_sha256(o.encoder) for o in parts] for parts in trials],
            "predictions": file_sha256(run.folder / "predictions.csv"),
            "groups": None if run.labels.groups is None else run.labels.groups.tolist(),
            "target": run.config.target.model_dump(mode="json", exclude={"table"}),
        }
    )


def _is_current(folder: Path, made_of: str) -> bool:
    try:
        return bool(read_json(folder / form.FACTS_FILE)["made_of"] == made_of)
    except (OSError, ValueError, LookupError, TypeError):
        return False
