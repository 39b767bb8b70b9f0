"""What a reader must know before believing a number: doubts of the runs, and doubts about the runs."""

import re
from collections.abc import Sequence
from statistics import mean

from hage_transfer.errors import some
from hage_transfer.report.runs import Run, Unfinished

_BEATS = re.compile(
    r"^(?P<who>\S+) beats HAGE on (?P<metric>\S+): (?P<theirs>[\d.]+) against (?P<own>[\d.]+) \((?P<how>.*)\)$"
)
_METRICS = {"pcc_all": "PCC over all genes", "mse": "MSE", "mae": "MAE"}
_MANY = 3
_NUMBER = re.compile(r"\d+(\.\d+)?")
_OWN_NUMBERS = "HAGE ("


def notes_of(runs: Sequence[Run], unfinished: Sequence[Unfinished] = ()) -> list[str]:
    """All of them, in the order of the runs."""
    made = (_beaten, _constants, _groups, _undefined, _failed, _mixed_encoders, _others)
    found = _merged([(run.name, note) for make in made for run in runs for note in make(run)])
    return [*_made_up(runs), *(_unfinished(one) for one in unfinished), *found, *_commits(runs)]


def _made_up(runs: Sequence[Run]) -> list[str]:
    names = [run.name for run in runs if run.is_synthetic]
    return [f"{'; '.join(names)}: painted by `hage demo`; these numbers say nothing of real tissue"] if names else []


def _merged(notes: Sequence[tuple[str, str]]) -> list[str]:
    """One line for notes that differ in their numbers alone, beside the names of the runs that have them."""
    alike: dict[str, list[tuple[str, str]]] = {}
    for name, note in notes:
        key = f"{name}{note}" if note.startswith(_OWN_NUMBERS) else _NUMBER.sub("#", note)
        alike.setdefault(key, []).append((name, note))
    lines = []
    for found in alike.values():
        first, note = found[0]
        others = ", ".join(name for name, _ in found[1:])
        lines.append(f"{first}: {note}" + (f"; likewise {others}" if others else ""))
    return lines


def _others(run: Run) -> list[str]:
    """The run's own warnings but those of ``_beaten``."""
    return [warning for warning in run.warnings() if not _BEATS.match(warning)]


def _beaten(run: Run) -> list[str]:
    """What beats HAGE in the run's own warnings, a line for each metric."""
    beaten: dict[tuple[str, str, str], list[tuple[float, str]]] = {}
    for match in filter(None, map(_BEATS.match, run.warnings())):
        if float(match["theirs"]) == float(match["own"]):  # to the digit that is kept
            continue
        key = (match["metric"], match["own"], match["how"])
        beaten.setdefault(key, []).append((float(match["theirs"]), match["who"]))
    lines = []
    for (metric, own, how), found in beaten.items():
        found.sort(reverse=metric.startswith("pcc"))
        digits = told_apart(float(own), *(value for value, _ in found))
        others = some([f"{who} {value:.{digits}f}" for value, who in found], _MANY)
        lines.append(f"HAGE ({float(own):.{digits}f}, {how}) is beaten on {_METRICS.get(metric, metric)} by {others}")
    return lines


def told_apart(first: float, *others: float) -> int:
    """Decimals, from 3 on, by which the first number differs from each of the others as they are shown."""
    return next((n for n in range(3, 7) if all(f"{first:.{n}f}" != f"{other:.{n}f}" for other in others)), 3)


def _constants(run: Run) -> list[str]:
    """Sources whose accuracy is no better than always naming the commonest class of the test rows."""
    counts = run.meta.get("test_class_counts") or run.meta.get("class_counts")
    if not isinstance(counts, dict) or not counts:
        return []
    share = max(counts.values()) / sum(counts.values())
    found = []
    for source in run.sources:
        values = list(run.fold_values(source, "accuracy").values())
        if values and mean(values) <= share:
            digits = told_apart(share, mean(values))
            own = "equal" if mean(values) == share else f"{mean(values):.{digits}f}"
            found.append(
                f"always naming the commonest class is right in {share:.{digits}f}; {source} is no better ({own})"
            )
    return found


def _groups(run: Run) -> list[str]:
    meta = run.meta
    rows, groups = meta.get("rows"), meta.get("groups")
    if meta.get("folds_by") != "row" or not isinstance(groups, int) or groups < 2 or groups == rows:
        return []
    return [
        f"folds split its {groups} groups (patients, slides), so rows of one group train and test; "
        "split.by_group=true keeps them apart"
    ]


def _undefined(run: Run) -> list[str]:
    """Folds in which AUC is not defined, which the mean over folds then lacks."""
    undefined = {r.fold for r in run.results.select(metric="auc", split="test", section=None, value=None)}
    if not undefined:
        return []
    names = ", ".join(sorted(undefined))
    return [f"AUC is not defined in fold {names} (a class is missing among its test rows), which its means leave out"]


def _failed(run: Run) -> list[str]:
    failures = run.failures()
    if not failures:
        return []
    item, reason = next(iter(failures.items()))
    return [f"{len(failures)} items failed and are left out, the first: {item} ({reason})"]


def _mixed_encoders(run: Run) -> list[str]:
    """A gene-informed source whose frozen encoder is not the one of the frozen source: then two things differ."""
    features = run.meta.get("features")
    if not isinstance(features, dict) or not features.get("frozen"):
        return []
    frozen = {str(one.get("encoder")) for one in features["frozen"]}
    found = []
    for source, trials in features.items():
        beneath = {str(one.get("frozen_encoder")) for one in trials if one.get("frozen_encoder")}
        if beneath and beneath != frozen:
            found.append(
                f"{source} stands on {', '.join(sorted(beneath))}, the frozen source is "
                f"{', '.join(sorted(frozen))}: their difference is not what genes add"
            )
    return found


def _commits(runs: Sequence[Run]) -> list[str]:
    commits = {str(run.environment["commit"]) for run in runs if run.environment.get("commit")}
    if len(commits) < 2:
        return []
    return [f"the runs were made by {len(commits)} different commits of this program, listed below"]


def _unfinished(one: Unfinished) -> str:
    text = f"{one.path.resolve().name}: has no results yet, so nothing of it is on this page"
    if one.reason:
        return f"{text}; it ended with: {one.reason}"
    if one.failures:
        item, reason = next(iter(one.failures.items()))
        return f"{text}; {len(one.failures)} items failed, the first: {item} ({reason})"
    return f"{text}; run its command again to do what is left"
