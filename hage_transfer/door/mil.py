"""Bag classifiers on whole slides."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from hage_transfer.config import Changes, FeatureSetSettings, PatchSetSettings
from hage_transfer.door.encoders import Encoder, encoder_of
from hage_transfer.door.given import ConfigLike, PathLike, Table, merged, path_or_bool
from hage_transfer.door.recipes import recipe_stem, resolve_config
from hage_transfer.door.refused import refuse_settings
from hage_transfer.door.run_results import PartOfRun, RunResults
from hage_transfer.door.sources import sources_of
from hage_transfer.door.tables import given_table
from hage_transfer.encode.control_sources import with_controls
from hage_transfer.encode.sources import check_sources, needs_frozen
from hage_transfer.mil.config import MilConfig
from hage_transfer.mil.own_class import MakeClassifier, check_own, own_kind
from hage_transfer.running.progress import Progress, shown
from hage_transfer.running.run_directory import RunDirectory
from hage_transfer.running.shards import Shard

if TYPE_CHECKING:
    from hage_transfer.mil.plan import MilPlan


def mil(
    config: ConfigLike,
    *,
    root: PathLike | None = None,
    labels: Table | None = None,
    features: PathLike | None = None,
    sources: Mapping[str, Any] | None = None,
    model: str | Mapping[str, Any] | Callable[..., Any] | None = None,
    encoder: Encoder | None = None,
    changes: Changes | None = None,
    out: PathLike | None = None,
    seed: int | None = None,
    null: int | None = None,
    controls: bool | PathLike | None = None,
    device: str = "auto",
    shard: str | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RunResults:
    """Compares slide feature sources by a bag classifier on the same folds and seeds.

    Encodes what is not encoded, embeds, trains and tests; what an earlier, interrupted run finished is kept. What can
    be wrong with labels, folds and sources is found before anything is written to ``out``. Arguments that are left out
    are the config's.

    Args:
        config: a recipe's name, a path, a mapping of keys, or the typed config.
        root: folder of the slides.
        labels: `slide,label[,group][,mpp]`, a csv or its rows.
        features: folder of the frozen features.
        sources: by name, what is compared: keys of a config (``{}``: the frozen features, ``{"encoder": ...}``:
            embeddings by one directory or several, a trial each), or features that are there.
        model: the bag classifier: its name (``abmil``, ``torchmil:DSMIL``), keys of a config, or a class of
            ``nn.Module`` that is made of (width, number of classes) and takes a bag's tiles to logits and attention.
        encoder: the frozen encoder, by name, keys of a config, or an object.
        changes: of the config's keys, nested or dotted.
        out: run directory; None: ``runs/mil-<name of the config>``.
        seed: of weights and of the order of bags.
        null: copies of the frozen features that carry the same information, on the same folds: how often the verdict
            errs on this set, and the smallest difference that it can show.
        controls: encoders that no gene taught, as sources: True: those of the pretraining run that the first encoder
            lies in, or the folder of a run; False: none; None: none.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        shard: ``i/n``: this call's part of the trainings, beside others of a job array, as a ``PartOfRun``; a call
            without one then gathers what all have done.
        jobs: at a time.
        overwrite: delete an earlier run there first.
        progress: called with (done, total, name) as jobs end.

    Raises:
        InputError: config, features, labels or encoders that are wrong; the message says which.
        ItemsFailedError: some trainings failed; they are in ``failures.csv``.
    """
    folder = Path("runs") / f"mil-{recipe_stem(config, 'run')}" if out is None else Path(out)
    mine = None if shard is None else Shard.parse(shard, overwrite=overwrite)
    table = given_table(labels, folder, "labels")
    named, own = encoder_of(encoder)
    classifier = _own_classifier(model)
    if model is not None:
        named["model"] = model if isinstance(model, Mapping) else {"kind": own_kind(model) if classifier else model}
    given = {
        "data.root": root,
        "data.labels": table.path,
        "features": features,
        "seed": seed,
        "null": null,
        "controls": path_or_bool(controls),
    }
    settings = resolve_config(MilConfig, config, *merged(changes, given), named, *sources_of(sources))
    made = None if table.text is None else table.path
    refuse_settings(settings, device=device, images=needs_frozen(settings.sources), own=own, made=made)
    sources_too = with_controls(settings.sources, settings.controls, by_default=False)
    check_sources(sources_too)
    check_own(settings.model.kind, classifier)
    RunDirectory.check(folder, settings, overwrite=overwrite)
    if isinstance(labels, pd.DataFrame) and settings.target.kind == "classes":
        from hage_transfer.door.readers import read_labels

        read_labels(labels)  # before it is written
    title = "mil" if mine is None else f"mil {mine}"
    with shown(title, progress) as tell:
        plan = _plan(settings) if table.text is None else None  # rows are a file once nothing else is refused
        from hage_transfer.door.mil_run import run_mil  # torch: what is wrong so far was refused without it

        part = run_mil(
            settings,
            folder,
            table,
            plan=plan,
            sources=sources_too,
            own=own,
            classifier=classifier,
            device=device,
            shard=mine,
            jobs=jobs,
            overwrite=overwrite,
            progress=tell,
        )
    if part is not None:
        return PartOfRun.of(part)
    return replace(RunResults.read(folder), model=classifier)


def _plan(config: MilConfig) -> "MilPlan | None":
    """Folds of the label table, and bags that are there; None for images, whose table is made as they are found."""
    if isinstance(config.data, PatchSetSettings):
        return None
    from hage_transfer.mil.plan import plan_mil  # scikit-learn
    from hage_transfer.targets.read import read_target

    plan = plan_mil(config, *read_target(config.data.labels, config.target))
    is_there = isinstance(config.data, FeatureSetSettings) and needs_frozen(config.sources)
    return plan.starting_from(config.data.root) if is_there else plan


def _own_classifier(model: Any) -> MakeClassifier | None:
    """The user's class, where ``model`` is one."""
    return None if model is None or isinstance(model, str | Mapping) else model
