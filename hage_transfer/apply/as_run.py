"""An application laid out as a MIL run, so that what explains and shows runs does so for new slides: ``as_run/``."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hage_transfer.apply.classifier import MODELS, Classifier
from hage_transfer.apply.decide import Scored
from hage_transfer.apply.inputs import How
from hage_transfer.apply.scores import AS_RUN
from hage_transfer.compare.records import FINAL, Record
from hage_transfer.compare.results import Results
from hage_transfer.config import dump_config, make_config
from hage_transfer.data.labels import read_labels
from hage_transfer.encode.bags import has_labels
from hage_transfer.mil.config import MilConfig
from hage_transfer.running.atomic import write_csv, write_text
from hage_transfer.running.run_directory import CONFIG_FILE, RESULTS_FILE
from hage_transfer.slide_names import match_names

UNLABELLED = "unlabelled"
Truth = Mapping[str, Mapping[str, Any]]


def write_as_run(
    out: Path, classifier: Classifier, scored: Scored, files: Mapping[str, Path], how: How, *, truth: Truth
) -> None:
    """Writes the folder: config, weights, and every model's probability of every slide as a prediction.

    Args:
        out: of the application.
        classifier: of bags.
        scored: slides, by every model.
        files: feature file of each.
        how: they were scored.
        truth: columns of a slide, ``label`` first, of a target beyond classes that the caller's table has; else {}.
    """
    run = out / AS_RUN
    shutil.rmtree(run / MODELS, ignore_errors=True)
    shutil.copytree(classifier.folder / (FINAL if how.final else MODELS), run / MODELS / classifier.source)
    labels, groups = _labels(scored.names, how.table)
    labels |= {name: str(of_slide["label"]) for name, of_slide in truth.items()}
    more = list(dict.fromkeys(column for of_slide in truth.values() for column in of_slide))[1:]
    table = run / "labels.csv"
    rows = [{"slide": name, "label": labels[name], "group": groups[name]} for name in scored.names]
    write_csv(table, ["slide", "label", "group"], rows)
    folds = [model.fold for model in classifier.models_of(0, final=how.final)]  # type: ignore[union-attr]
    shown = list(classifier.score_names)
    write_csv(
        run / "predictions.csv",
        ["source", "trial", "slide", "fold", "label", *more, *([] if classifier.target else ["predicted"]), *shown],
        [
            {
                "source": classifier.source,
                "trial": trial,
                "slide": name,
                "fold": fold,
                "label": labels[name],
                **{column: truth.get(name, {}).get(column, "") for column in more},
                **({} if classifier.target else {"predicted": classifier.classes[int(of_model[unit].argmax())]}),
                **dict(zip(shown, of_model[unit].round(9).tolist(), strict=True)),
            }
            for trial, of_trial in enumerate(scored.probabilities)
            for fold, of_model in zip(folds, of_trial, strict=True)
            for unit, name in enumerate(scored.names)
        ],
    )
    folder = next(iter(files.values())).parent
    write_text(run / CONFIG_FILE, dump_config(_config(classifier, folder, table)))
    metric = "auc" if classifier.target is None else classifier.target.metrics[0]
    nothing = Record(
        task="mil", source=classifier.source, split="test", fold="0", trial=None, metric=metric, value=None
    )
    Results([nothing], {"target": classifier.facts.get("target")}).save(run / RESULTS_FILE)


def _labels(names: Sequence[str], table: Path | None) -> tuple[dict[str, str], dict[str, str]]:
    """True labels and patients where the caller's table has them."""
    labels, groups = dict.fromkeys(names, UNLABELLED), {name: name for name in names}
    if table is not None:
        named = has_labels(table)
        found = read_labels(table, labels_needed=named)
        place = {key: row for row, key in enumerate(found.keys.tolist())}
        for name, key in match_names(names, found.keys.tolist()).items():
            labels[name] = str(found.labels[place[key]]) if named else UNLABELLED
            groups[name] = name if found.groups is None else str(found.groups[place[key]])
    return labels, groups


def _config(classifier: Classifier, folder: Path, table: Path) -> MilConfig:
    trials: list[list[str | None]] = classifier.facts["trials"]
    columns = list(zip(*trials, strict=True))
    parts: dict[str, dict[str, Any]] = {}
    for name, column in zip(_names(classifier.source, len(columns)), columns, strict=True):
        steps = [str(classifier.folder.resolve() / part) for part in column if part is not None]
        parts[name] = {"encoder": steps} if steps else {}
    if len(columns) > 1:
        parts[classifier.source] = {"concat": list(parts)}
    tree = {
        "data": {"layout": "features", "root": folder.resolve(), "labels": table.resolve()},
        "train": {"repeats": len(trials)},
        "model": {"kind": classifier.facts["kind"]},
        "sources": parts,
        "target": classifier.facts.get("target_settings") or {},
    }
    return make_config(MilConfig, tree)


def _names(source: str, n_parts: int) -> list[str]:
    return [source] if n_parts == 1 else [f"{source}.{part}" for part in range(n_parts)]
