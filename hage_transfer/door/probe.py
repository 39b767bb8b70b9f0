"""Linear probes on labelled patches."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hage_transfer.apply.leave import FinishedRun, leave_classifiers
from hage_transfer.config import Changes
from hage_transfer.data.labels import LABELS_FILE, read_labels
from hage_transfer.door.encoders import Encoder, encoder_of
from hage_transfer.door.given import ConfigLike, PathLike, Table, merged, path_or_bool
from hage_transfer.door.recipes import recipe_stem, resolve_config
from hage_transfer.door.run_results import RunResults
from hage_transfer.door.sources import sources_of
from hage_transfer.door.tables import given_table
from hage_transfer.encode.control_sources import with_controls
from hage_transfer.encode.sections_and_patches import FEATURES_FILE, encode_patches
from hage_transfer.encode.selection import select as write_selection
from hage_transfer.encode.sources import candidates, check_sources, needs_frozen, resolve_sources, side_by_side
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.probes.evaluate import evaluate_probes
from hage_transfer.probes.folds import read_parts
from hage_transfer.probes.plan import plan_probe
from hage_transfer.running.devices import resolve_device
from hage_transfer.running.progress import Progress, open_run, shown
from hage_transfer.running.run_directory import RunDirectory


def probe(
    config: ConfigLike,
    *,
    root: PathLike | None = None,
    manifest: Table | None = None,
    features: PathLike | None = None,
    sources: Mapping[str, Any] | None = None,
    encoder: Encoder | None = None,
    changes: Changes | None = None,
    out: PathLike | None = None,
    seed: int | None = None,
    null: int | None = None,
    controls: bool | PathLike | None = None,
    select: bool = False,
    device: str = "auto",
    jobs: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RunResults:
    """Compares patch feature sources by the linear probe on the same folds and seeds.

    Encodes what is not encoded, embeds, trains and tests; what an earlier, interrupted run finished is kept. What can
    be wrong with labels, folds and sources is found before anything is written to ``out``. Arguments that are left out
    are the config's.

    Args:
        config: a recipe's name, a path, a mapping of keys, or the typed config.
        root: folder of the images.
        manifest: `path,label[,group]`, a csv or its rows.
        features: folder of the frozen features.
        sources: by name, what is compared: keys of a config (``{}``: the frozen features, ``{"encoder": ...}``:
            embeddings by one directory or several, a trial each), or features that are there.
        encoder: the frozen encoder, by name, keys of a config, or an object.
        changes: of the config's keys, nested or dotted.
        out: run directory; None: ``runs/probe-<name of the config>``.
        seed: of the order of rows.
        null: copies of the frozen features that carry the same information, on the same folds: how often the verdict
            errs on this set, and the smallest difference that it can show.
        controls: encoders that no gene taught, as sources: True: those of the pretraining run that the first encoder
            lies in, or the folder of a run; False: none; None: those that are there.
        select: write which encoder did best to ``selected.json``, which ``mil`` takes.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        jobs: at a time.
        overwrite: delete an earlier run there first.
        progress: called with (done, total, name) as jobs end.

    Raises:
        InputError: config, features, labels or encoders that are wrong; the message says which.
        ItemsFailedError: some probes failed; they are in ``failures.csv``.
    """
    folder = Path("runs") / f"probe-{recipe_stem(config, 'run')}" if out is None else Path(out)
    table = given_table(manifest, folder, "manifest")
    named, own = encoder_of(encoder)
    given = {
        "data.root": root,
        "data.manifest": table.path,
        "features": features,
        "seed": seed,
        "null": null,
        "controls": path_or_bool(controls),
    }
    settings = resolve_config(ProbeConfig, config, *merged(changes, given), named, *sources_of(sources))
    resolved = resolve_device(device)
    sources_too = with_controls(settings.sources, settings.controls, by_default=True)
    check_sources(sources_too)
    encoders = candidates(settings.sources) if select else []
    RunDirectory.check(folder, settings, overwrite=overwrite)
    if settings.split.parts is not None:
        read_parts(settings.split.parts)
    table.write()
    if needs_frozen(settings.sources):
        target = settings.target  # values of a label table that encoding writes are checked as soon as it is there
        is_late = target.kind != "classes" and target.table is None and settings.data.manifest is None
        encode_patches(
            settings,
            own=own,
            device=resolved,
            overwrite=False,
            check=None if is_late else lambda labels: plan_probe(settings, labels),
            progress=progress,
        )
    labels = read_labels(settings.features / LABELS_FILE, labels_needed=settings.target.kind == "classes")
    plan = plan_probe(settings, labels)
    with open_run(folder, settings, overwrite=overwrite) as run, shown("probe", progress) as tell:
        table.write()
        frozen = settings.features / FEATURES_FILE
        paths = resolve_sources(sources_too, frozen=frozen, out=folder, device=resolved, progress=tell)
        trials = side_by_side(sources_too, paths)
        results = evaluate_probes(plan, trials, run=run, device=resolved, n_jobs=jobs, progress=tell)
        leave_classifiers(
            FinishedRun(folder=folder, config=settings, labels=plan.labels, frozen=frozen, results=results)
        )
    if select:
        metric = settings.select_by if plan.target is None else plan.target.metrics[0]
        write_selection(results, encoders, metric=metric, run=folder)
    return RunResults.read(folder)
