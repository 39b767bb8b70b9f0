"""Linear probes on labelled patches."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hage_transfer.config import Changes
from hage_transfer.door.encoders import Encoder, encoder_of
from hage_transfer.door.given import ConfigLike, PathLike, Table, merged, path_or_bool
from hage_transfer.door.recipes import recipe_stem, resolve_config
from hage_transfer.door.refused import refuse_settings
from hage_transfer.door.run_results import PartOfRun, RunResults
from hage_transfer.door.sources import sources_of
from hage_transfer.door.tables import given_table
from hage_transfer.encode.control_sources import with_controls
from hage_transfer.encode.sources import candidates, check_sources, needs_frozen
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.running.progress import Progress, shown
from hage_transfer.running.run_directory import RunDirectory
from hage_transfer.running.shards import Shard


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
    shard: str | None = None,
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
        shard: ``i/n``: this call's part of the trainings, beside others of a job array, as a ``PartOfRun``; a call
            without one then gathers what all have done.
        jobs: at a time.
        overwrite: delete an earlier run there first.
        progress: called with (done, total, name) as jobs end.

    Raises:
        InputError: config, features, labels or encoders that are wrong; the message says which.
        ItemsFailedError: some probes failed; they are in ``failures.csv``.
    """
    folder = Path("runs") / f"probe-{recipe_stem(config, 'run')}" if out is None else Path(out)
    mine = None if shard is None else Shard.parse(shard, overwrite=overwrite)
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
    made = None if table.text is None else table.path
    refuse_settings(settings, device=device, images=needs_frozen(settings.sources), own=own, made=made)
    sources_too = with_controls(settings.sources, settings.controls, by_default=True)
    check_sources(sources_too)
    encoders = candidates(settings.sources) if select else []
    RunDirectory.check(folder, settings, overwrite=overwrite)
    title = "probe" if mine is None else f"probe {mine}"
    with shown(title, progress) as tell:
        from hage_transfer.door.probe_run import run_probe  # torch: what is wrong so far was refused without it

        part = run_probe(
            settings,
            folder,
            table,
            sources=sources_too,
            encoders=encoders,
            own=own,
            device=device,
            shard=mine,
            jobs=jobs,
            overwrite=overwrite,
            progress=tell,
        )
    if part is not None:
        return PartOfRun.of(part)
    return RunResults.read(folder)
