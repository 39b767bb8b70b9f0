"""Pretraining on ST sections."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hage_transfer.config import Changes, read_yaml
from hage_transfer.door.given import ConfigLike, PathLike, merged
from hage_transfer.door.recipes import find_recipe, recipe_stem, resolve_config
from hage_transfer.door.refused import refuse_settings
from hage_transfer.door.run_results import PartOfRun, RunResults
from hage_transfer.door.tables import given_genes
from hage_transfer.errors import ConfigError, DataError
from hage_transfer.pretrain.config import METHOD_NAMES, PretrainConfig
from hage_transfer.running.job import Engine
from hage_transfer.running.progress import Progress, open_run, shown
from hage_transfer.running.run_directory import RunDirectory
from hage_transfer.running.shards import Shard, open_part

if TYPE_CHECKING:
    from hage_transfer.pretrain.methods.base import Method

_CONTROLS = {True: "all", False: "none", None: None}


def pretrain(
    config: ConfigLike,
    *,
    root: PathLike | None = None,
    features: PathLike | None = None,
    methods: str | Sequence[Any] | None = None,
    gene_embeddings: Any = None,
    variants: PathLike | Mapping[str, Mapping[str, Any]] | None = None,
    controls: bool | None = None,
    changes: Changes | None = None,
    out: PathLike | None = None,
    seed: int | None = None,
    device: str = "auto",
    shard: str | None = None,
    jobs: int = 1,
    engine: Engine = "processes",
    address: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> RunResults:
    """Trains HAGE on ST sections, leaving out each patient (or section) in turn, beside its baselines.

    What an earlier, interrupted run finished on the same inputs is kept. Arguments that are left out are the config's.

    Args:
        config: a recipe's name, a path, a mapping of keys, or the typed config.
        root: folder of the data set.
        features: folder of the sections' feature files.
        methods: compared systems, ``all`` or their names; among these, objects of your own with a ``name`` and a
            ``fit``, whose hash the config keeps: a run does not go on with another.
        gene_embeddings: a Gene2Vec file, the name of an installed entry, a mapping of genes to vectors, a DataFrame
            with a row a gene, or (symbols, vectors); objects are kept in the run under the hash of their vectors.
        variants: of HAGE by name: a mapping, or a file (or recipe) of one.
        controls: encoders that a gain must stand beside: True: all, HAGE trained on shuffled expression too; False:
            none; None: the config's (those that train no network).
        changes: of the config's keys, nested or dotted.
        out: run directory; None: ``runs/<name of the config>``.
        seed: of the trials.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        shard: ``i/n``: this call's part of the trials, beside others of a job array; a call without one then scores
            the folds and gathers what all have done.
        jobs: at a time.
        engine: where they run.
        address: of a Ray cluster.
        overwrite: delete an earlier run there first.
        progress: called with (done, total, name) as jobs end.

    Returns:
        The table of all methods; ``encoders`` are the encoder directories, one a held-out unit and trial. With a
        ``shard`` a ``PartOfRun``, which has no numbers yet.

    Raises:
        InputError: the data, the features or the config are wrong.
        ItemsFailedError: some jobs failed; they are in ``failures.csv`` and the others' work is kept.
    """
    folder = Path("runs") / recipe_stem(config, "pretrain") if out is None else Path(out)
    mine = None if shard is None else Shard.parse(shard, overwrite=overwrite)
    names, own = _methods(methods)
    genes, table = given_genes(gene_embeddings, folder)
    given = {
        "data.root": root,
        "features": features,
        "seed": seed,
        "methods": names,
        "controls": _CONTROLS[controls],
    }
    settings = resolve_config(PretrainConfig, config, *merged(changes, given), genes, *_variants(variants))
    refuse_settings(settings, device=device, own=True, made=None if table.text is None else table.path)
    if not any(settings.features.glob("*.h5")):
        raise DataError(
            f"features = {settings.features}: holds no feature file of a section; `encode_sections` with the same "
            "config makes them"
        )
    RunDirectory.check(folder, settings, overwrite=overwrite)
    with shown("pretrain" if mine is None else f"pretrain {mine}", progress) as tell:
        from hage_transfer.pretrain import run as pretrain_run  # torch: what is wrong so far was refused without it
        from hage_transfer.pretrain.contenders import contenders
        from hage_transfer.pretrain.inputs import read_inputs
        from hage_transfer.running.devices import resolve_device
        from hage_transfer.running.precision import check_precision

        contenders(settings, own)
        resolved = resolve_device(device)
        for one in (settings, *map(settings.variant, settings.variants)):
            check_precision(one.train.precision, resolved, key="train.precision")
        if engine == "ray" and ":" in resolved:
            raise ConfigError(f"device {device} with engine ray: Ray gives each job a GPU of its own; give device cuda")
        inputs = read_inputs(settings, tell, scratch=folder)  # before anything is written or, with overwrite, deleted
        if mine is not None:
            with open_part(folder, settings, mine) as part:
                table.write()
                pretrain_run.pretrain_part(
                    settings,
                    inputs,
                    part,
                    device=resolved,
                    n_jobs=jobs,
                    engine=engine,
                    address=address,
                    own=own,
                    progress=tell,
                )
            return PartOfRun.of(part)
        with open_run(folder, settings, overwrite=overwrite) as run:
            table.write()
            pretrain_run.pretrain(
                settings,
                inputs,
                run,
                device=resolved,
                n_jobs=jobs,
                engine=engine,
                address=address,
                own=own,
                progress=tell,
            )
    return RunResults.read(run.path)


def _methods(methods: str | Sequence[Any] | None) -> "tuple[list[str] | None, dict[str, Method]]":
    """What the config says of the systems, and those that are the user's own objects by their names there."""
    if methods is None:
        return None, {}
    if methods == "all":
        return list(METHOD_NAMES), {}
    listed = methods.split(",") if isinstance(methods, str) else methods
    if any(not isinstance(one, str) for one in listed):
        from hage_transfer.pretrain.methods.own import own_method  # torch
    own = dict(own_method(one) for one in listed if not isinstance(one, str))
    names = iter(own)
    found = [one.strip() if isinstance(one, str) else next(names) for one in listed]
    if not any(found):
        raise ConfigError(f"methods {methods!r}: names none; wanted `all`, or some of {', '.join(METHOD_NAMES)}")
    return [name for name in found if name], own


def _variants(variants: PathLike | Mapping[str, Mapping[str, Any]] | None) -> list[Changes]:
    """Variants as a change of the config; those that it names itself go."""
    if variants is None:
        return []
    where, tree = "variants", variants if isinstance(variants, Mapping) else {}
    if not isinstance(variants, Mapping):
        where = str(find_recipe(variants))
        tree = read_yaml(Path(where))
    if not tree:
        raise ConfigError(f"{where}: names no variant; wanted lines like `no_ha: {{loss.clip_global: 0}}`")
    for name, changes in tree.items():
        if not isinstance(changes, Mapping) or not changes:
            raise ConfigError(
                f"{where}: {name} is {changes!r}, wanted a mapping of keys, for example {{loss.clip_global: 0}}"
            )
    return [{"variants": None}, {"variants": tree}]
