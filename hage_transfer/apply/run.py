"""A classifier on new slides, images or patches: a folder that says what was done, `scores.csv`, `failures.csv`."""

import logging
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from hage_transfer.apply.as_run import write_as_run
from hage_transfer.apply.checks import tell_trust
from hage_transfer.apply.classifier import Classifier
from hage_transfer.apply.decide import Rules, decided
from hage_transfer.apply.inputs import How, find_inputs, names_at
from hage_transfer.apply.labelled import Cohort, labelled_cohort, refuse_labels
from hage_transfer.apply.operating_point import OperatingPoint
from hage_transfer.apply.score import read_scored, score_jobs
from hage_transfer.apply.scores import FACTS_FILE, SCORES_FILE, Scores
from hage_transfer.apply.validation import compare_pair, refuse_column, validate
from hage_transfer.apply.validation_page import forget_validation, write_validation
from hage_transfer.apply.valued import valued
from hage_transfer.apply.valued_cohort import ValueCohort, validate_values
from hage_transfer.apply.valued_page import write_values
from hage_transfer.apply.warned import trained_on
from hage_transfer.compare.results import Results
from hage_transfer.config import Settings
from hage_transfer.csv_table import csv_table
from hage_transfer.errors import ConfigError
from hage_transfer.running.atomic import atomic_path, write_json
from hage_transfer.running.items import Items
from hage_transfer.running.locks import leave, wait_for_lock
from hage_transfer.running.progress import Progress
from hage_transfer.running.run_directory import LOCKS, RunDirectory

log = logging.getLogger(__name__)


class ApplyConfig(Settings):
    """What decides an application: which classifier, on what."""

    classifier: str = Field(description="classifier directory")
    classifier_sha256: str = Field(description="of its classifier.json")
    given: str = Field(description="slides, images, patches or features")


@dataclass(frozen=True)
class Wanted:
    """What is to be made of the probabilities; none of it has a slide scored again.

    Attributes:
        point: operating point of the call.
        abstain: share of training units that would be left to a person; None: every unit is called.
        labels: table of true labels, which makes it an external validation; None: there are none.
        subgroups: columns of that table.
        against: other applications on the same units.
    """

    point: OperatingPoint
    abstain: float | None = None
    labels: Path | None = None
    subgroups: tuple[str, ...] = ()
    against: tuple[Path, ...] = ()


def application_config(classifier: Classifier, given: Path, out: Path) -> ApplyConfig:
    """What the folder of an application is opened with: that of another classifier or of other slides is refused.

    Raises:
        ConfigError: the folder is, or holds, the classifier (its run does) or what is given, or lies in the classifier.
    """
    folder = out.resolve()
    for what, needed in (("the classifier", classifier.folder), ("what is to be scored", given)):
        place = needed.resolve()
        if folder == place or folder in place.parents:
            raise ConfigError(f"out={out}: holds {what} ({needed}); give a folder of its own")
    if classifier.folder.resolve() in folder.parents:
        raise ConfigError(f"out={out}: lies in the classifier directory, which is copied whole; give another folder")
    return ApplyConfig(
        classifier=str(classifier.folder), classifier_sha256=classifier.sha256, given=str(given.resolve())
    )


def apply_classifier(
    classifier: Classifier,
    given: Path,
    *,
    out: RunDirectory,
    how: How,
    wanted: Wanted,
    progress: Progress | None = None,
) -> Scores:
    """Scores what is given; what an earlier, interrupted call finished is kept.

    Raises:
        InputError: nothing could be scored: input, features, encoder or options that do not fit the classifier.
        ItemsFailedError: some slides failed; they are in ``failures.csv``, ``done`` of the error has the scores of the
            rest.
    """
    rules = Rules.of(classifier, wanted.point, wanted.abstain)
    _refuse_truth(classifier, given, wanted)
    inputs = find_inputs(classifier, given, out.path, how, progress)
    tell_trust(classifier)
    jobs = score_jobs(classifier, inputs, out.path, how)
    items = Items(
        out.path,
        what="slides" if classifier.task == "mil" else "images",
        total=len(jobs) + len(inputs.failures),
        progress=progress,
    )
    for name, error in inputs.failures.items():
        items.fail(name, error)
    items.run(jobs, n_jobs=how.workers.jobs, engine=how.workers.engine, address=how.workers.address)
    done = [job for job in jobs if job.is_done]
    if not done:
        items.finish()
        raise ConfigError(f"{given}: nothing is encoded yet; run it again once other workers are done")
    scored = read_scored(done, classifier.n_main)
    table = decided(classifier, scored, rules) if classifier.target is None else valued(classifier, scored)
    names = table.iloc[:, 0].tolist()
    with wait_for_lock(out.path / LOCKS, SCORES_FILE):  # workers may end together
        forget_validation(out.path)  # of other scores
        with atomic_path(out.path / SCORES_FILE) as temporary:
            table.to_csv(temporary, index=False, float_format="%.6g")
        known = {
            "slides": str(given) if inputs.pixels else None,
            "trained_on": trained_on(classifier, names, how.table),
        }
        write_json(out.path / FACTS_FILE, _facts(classifier, rules, how) | known)
        if known["trained_on"]:
            log.warning("%s", known["trained_on"])
        scores = Scores.read(out.path)
        cohort = None if wanted.labels is None else _with_truth(scores, classifier, wanted.labels)
        if classifier.task == "mil":
            truth = cohort.truth() if isinstance(cohort, ValueCohort) else {}
            write_as_run(out.path, classifier, scored, inputs.files, how, truth=truth)
    leave(out.path / LOCKS)
    if cohort is not None:
        _validate(scores, classifier, wanted, cohort)
    items.finish(scores)
    return scores


def _refuse_truth(classifier: Classifier, given: Path, wanted: Wanted) -> None:
    """Refuses columns and labels that cannot be validated by, before hours of encoding."""
    if wanted.labels is None:
        return
    with csv_table(wanted.labels, absent="no such label table") as table:
        columns = [name for name in table.columns if name]
    for column in wanted.subgroups:
        refuse_column(column, columns)
    if classifier.target is None and classifier.task == "mil":
        refuse_labels(wanted.labels, names_at(classifier, given), classifier.classes)


def _with_truth(scores: Scores, classifier: Classifier, labels: Path) -> Cohort | ValueCohort:
    return labelled_cohort(scores, labels) if classifier.target is None else ValueCohort.read(scores, labels)


def _validate(scores: Scores, classifier: Classifier, wanted: Wanted, cohort: Cohort | ValueCohort) -> None:
    """Writes the external validation beside the scores."""
    labels, trained = wanted.labels or Path(), classifier.facts["cohort"]
    others = [Scores.read(folder) for folder in wanted.against]
    if isinstance(cohort, ValueCohort):
        found = validate_values(scores, cohort, labels, subgroups=wanted.subgroups, others=others, trained=trained)
        predictions = cohort.predictions(classifier.source)
        write_values(scores.folder, found, classifier.source, cohort.target, predictions)
        return
    results = validate(scores, cohort, subgroups=wanted.subgroups, trained=trained)
    pairs = []
    for other in others:
        names = classifier.source, f"{other.facts['source']} ({other.folder.name})"
        pairs += compare_pair(cohort, labelled_cohort(other, labels), names)
    whole = Results(results.records, {**results.meta, "pairs": pairs})
    write_validation(scores.folder, whole, classifier.source)


def _facts(classifier: Classifier, rules: Rules, how: How) -> dict[str, object]:
    return {
        "schema_version": 1,
        "classifier": str(classifier.folder),
        "classifier_sha256": classifier.sha256,
        "task": classifier.task,
        "source": classifier.source,
        "classes": list(classifier.classes),
        "positive": classifier.facts["positive"],
        "target": classifier.facts.get("target"),
        "target_settings": classifier.facts.get("target_settings"),
        "operating_point": str(rules.point) if rules.threshold is not None else "highest probability",
        "threshold": rules.threshold,
        "abstain": rules.abstain,
        "calibration": (classifier.facts["calibration"] or {}).get("method"),
        "models": "trained on all patients" if how.final else "of the folds",
    }


def default_out(classifier: Classifier, given: Path) -> Path:
    """Where an application goes that names no folder: ``runs/apply-<source>-<what was given>``."""
    return Path("runs") / f"apply-{classifier.source}-{given.resolve().stem or 'input'}"
