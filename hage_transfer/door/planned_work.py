"""What a config asks to be done, in units of work: slides and tiles, spots times epochs, trainings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hage_transfer.compare.source_settings import SourceSettings
from hage_transfer.config import EncoderSettings, FeatureSetSettings, Settings
from hage_transfer.door.plan_counts import Counts
from hage_transfer.door.rates import Work
from hage_transfer.mil.config import MilConfig
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.probes.config import ProbeConfig


@dataclass(frozen=True, kw_only=True)
class Part:
    """Jobs of one kind.

    Attributes:
        name: of the job, and of its rates where ``rate`` names no others.
        jobs: so many.
        work: of each, where trainings run as long as they may.
        least: where they stop as soon as they may; empty: the same.
        spreads: whether several workers share them.
        rate: name of the rates.
        share: of what these give.
    """

    name: str
    jobs: int
    work: Work
    least: Work = field(default_factory=dict)
    spreads: bool = True
    rate: str = ""
    share: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A command.

    Attributes:
        name: of the command, and of its rates.
        config: of the command.
        parts: one after the other.
        kept: amounts that disk goes by.
        held: amounts that memory goes by.
        at: settings that rates must be of.
        doing: in words.
    """

    name: str
    config: Settings
    parts: tuple[Part, ...]
    kept: Work
    held: Work
    at: Mapping[str, Any]
    doing: str


def stages_of(config: Settings, counts: Counts, *, of: str = "") -> Iterator[Stage]:
    """The stages of a config of ``pretrain``, ``probe`` or ``mil``, in their order; errors as ``Counts``.

    Args:
        config: of the task.
        counts: amounts.
        of: what the words of each stage begin with.
    """
    for stage in _stages(config, counts):
        yield replace(stage, doing=of + stage.doing)


def _stages(config: Settings, counts: Counts) -> Iterator[Stage]:
    if isinstance(config, PretrainConfig):
        yield _encode_sections(config, counts)
        yield _pretrain(config, counts)
    elif isinstance(config, ProbeConfig):
        patches, frozen = counts.enough("patches", config.split.folds), _needs_frozen(config.sources)
        if frozen:
            work = {"patch": float(patches)}
            part = Part(name="encode", jobs=1, work=work, spreads=False)
            yield _encoding("encode patches", config, config.encoder, part, work, f"{patches:,} patches")
        yield from _embed(config, counts, files=1, rows=patches)
        yield _probe(config, counts, patches)
    elif isinstance(config, MilConfig):
        slides, tiles = counts.enough("slides", config.split.folds), counts.get("tiles")
        if _needs_frozen(config.sources) and not isinstance(config.data, FeatureSetSettings):
            work = {"slide": 1.0, "tile": float(tiles)}
            part = Part(name="encode", jobs=slides, work=work)
            whole = {"slide": float(slides), "tile": float(slides * tiles)}
            yield _encoding(
                "encode slides", config, config.encoder, part, whole, f"{slides:,} slides of {tiles:,} tiles"
            )
        yield from _embed(config, counts, files=slides, rows=slides * tiles)
        yield _mil(config, counts, slides, tiles)


def trials_of(config: ProbeConfig | MilConfig, counts: Counts) -> dict[str, int]:
    """Trials of each source."""
    trials: dict[str, int] = {}
    for name, source in config.sources.items():
        if not source.concat:
            trials[name] = counts.encoders(name, source) if source.encoder is not None else 1
    for name, source in config.sources.items():
        if source.concat:
            trials[name] = max(trials[part] for part in source.concat)
    repeats = config.train.repeats if isinstance(config, MilConfig) else 1
    return {name: max(trials[name], repeats) for name in config.sources}


def _needs_frozen(sources: Mapping[str, SourceSettings]) -> bool:
    return any(source.features is None and not source.concat for source in sources.values())


def _encoding(name: str, config: Settings, encoder: EncoderSettings, part: Part, work: Work, doing: str) -> Stage:
    start = Part(name="start", jobs=1, work={"start": 1.0}, spreads=False)
    at = {key: getattr(encoder, key) for key in ("name", "precision", "views", "surround")}
    return Stage(
        name=name,
        config=config,
        parts=(start, part),
        kept=work,
        held={"start": 1.0},
        at=at,
        doing=f"{doing} by {encoder.name}",
    )


def _encode_sections(config: PretrainConfig, counts: Counts) -> Stage:
    sections, spots = counts.get("sections"), counts.get("spots")
    work = {"section": float(sections), "spot": float(sections * spots)}
    part = Part(name="encode", jobs=1, work=work, spreads=False)
    return _encoding("encode st", config, config.encoder, part, work, f"{sections:,} sections of {spots:,} spots")


def _pretrain(config: PretrainConfig, counts: Counts) -> Stage:
    from hage_transfer.pretrain.contenders import contenders  # torch

    entrants = contenders(config)
    sections, spots, folds = counts.get("sections"), counts.get("spots"), counts.folds(config)
    all_spots, held_out = float(sections * spots), float(sections * spots) / counts.units(config)
    training = (all_spots - held_out) * (1 - config.split.validation)
    train, parts = config.train, []
    for one in entrants:
        work = {"job": 1.0, "spot": all_spots, "spot_epoch": training * train.epochs}
        soonest = work | {"spot_epoch": training * min(train.patience + 1, train.epochs)}
        parts.append(Part(name=one.source, jobs=folds * one.trials, work=work, least=soonest))
    trained = sum(one.trials for one in entrants)
    scores = {"job": 1.0, "spot": all_spots, "trial_spot": trained * held_out}
    controls = {"job": 1.0, "spot": all_spots}
    parts.append(Part(name="scores", jobs=folds, work=scores))
    if "hage" in config.methods and config.controls != "none":
        parts.append(Part(name="controls", jobs=folds, work=controls))
    start = {"start": 1.0, "spot": all_spots}
    return Stage(
        name="pretrain",
        config=config,
        parts=(Part(name="start", jobs=1, work=start, spreads=False), *parts),
        kept={
            "run": 1.0,
            "trial": float(folds * trained),
            "trial_spot": folds * trained * held_out,
            "fold": float(folds),
        },
        held={"start": 1.0, "spot": all_spots},
        at={
            "genes": counts.get("genes"),
            "width": counts.get("width"),
            "embed_dim": config.model.embed_dim,
            "batch_size": train.batch_size,
            "precision": train.precision,
        },
        doing=f"{len(entrants)} systems x {folds} folds x {config.trials} trials, {train.epochs} epochs at most",
    )


def _embed(config: ProbeConfig | MilConfig, counts: Counts, *, files: int, rows: int) -> Iterator[Stage]:
    trials = {
        name: counts.encoders(name, source) for name, source in config.sources.items() if source.encoder is not None
    }
    if trials:
        n = sum(trials.values())
        yield Stage(
            name="embed",
            config=config,
            parts=(
                Part(name="start", jobs=1, work={"start": 1.0}, spreads=False),
                Part(name="embed", jobs=n, work={"file": float(files), "row": float(rows)}, spreads=False),
            ),
            kept={"file": float(n * files), "row": float(n * rows)},
            held={"start": 1.0, "row": rows / files},
            at={"width": counts.get("width"), "embed_dim": counts.embed_dim},
            doing=f"{n} encoders x {rows:,} rows",
        )


def _probe(config: ProbeConfig, counts: Counts, patches: int) -> Stage:
    n = sum(trials_of(config, counts).values())
    rows = float(patches)
    parts = [
        Part(name=one, jobs=n, work={"job": 1.0, "row": rows} | ({"row_row": rows**2} if one == "knn" else {}))
        for one in ("linear", *config.cross_checks.classifiers)
    ]
    return Stage(
        name="probe",
        config=config,
        parts=(
            Part(name="start", jobs=1, work={"start": 1.0, "row": rows, "trial_row": n * rows}, spreads=False),
            *parts,
        ),
        kept={"run": 1.0, "trial": float(n), "trial_row": n * rows},
        held={"start": 1.0, "row": rows},
        at={"width": counts.get("width"), "folds": config.split.folds * config.split.repeats},
        doing=f"{n} sources and trials x {len(parts)} classifiers, {config.split.folds} folds together",
    )


def _mil(config: MilConfig, counts: Counts, slides: int, tiles: int) -> Stage:
    n, train = sum(trials_of(config, counts).values()), config.train
    work = mil_work(config, slides, tiles, train.epochs)
    stops = train.validation > 0
    soonest = min(max(train.min_epochs, train.patience + 1), train.epochs) if stops else train.epochs
    rows, folds = float(slides * tiles), config.split.folds * config.split.repeats
    training = Part(name="train", jobs=n, work=work, least=mil_work(config, slides, tiles, soonest))
    final = replace(training, name="final", rate="train", share=1 / max(folds - 1, 1))  # as `mil` reckons its time left
    return Stage(
        name="mil",
        config=config,
        parts=(
            Part(name="start", jobs=1, work={"start": 1.0, "tile": n * rows, "slide": float(slides)}, spreads=False),
            training,
            *([final] if train.final else []),
        ),
        kept={"run": 1.0, "trial": float(n)},
        held={"start": 1.0, "tile": min(rows, config.memory_gib * 2**30 / (4 * counts.get("width")))},
        at={
            "width": counts.get("width"),
            "kind": config.model.kind,
            "hidden_dim": config.model.hidden_dim,
            "folds": folds,
            "precision": train.precision,
        },
        doing=f"{n} sources and trials, {config.split.folds} folds together, {soonest} to {train.epochs} epochs",
    )


def mil_work(config: MilConfig, slides: int, tiles: int, epochs: int) -> dict[str, float]:
    """Of one training: visits of slides, and their tiles; validation looks at whole slides and learns nothing."""
    visited = min(tiles, config.train.tiles_per_visit or tiles)
    whole = config.train.validation / 3 * tiles  # a forward pass, of a third of a step's products
    return {
        "job": 1.0,
        "slide_epoch": float(slides * epochs),
        "tile_epoch": float(slides * epochs * (visited + whole)),
        "tile": float(slides * tiles),
    }
