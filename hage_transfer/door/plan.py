"""`plan`: hours, disk and memory of a study before it is begun, from rates that were measured."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pandas as pd

from hage_transfer.config import Changes
from hage_transfer.door.compare_config import CompareConfig
from hage_transfer.door.given import ConfigLike, PathLike
from hage_transfer.door.plan_counts import Counts, Given
from hage_transfer.door.planned_work import Stage, stages_of
from hage_transfer.door.rates import Rates, StageRates, cost
from hage_transfer.door.recipes import resolve_config_of_any_task
from hage_transfer.door.refused import refuse_device
from hage_transfer.errors import ConfigError
from hage_transfer.running.progress import Progress, shown, stage
from hage_transfer.running.workload import time_of

_GIB = 2**30
MOST, MOST_WORKERS = 10**9, 10**5


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """What a stage will take; None where no rate was measured.

    Attributes:
        name: of the command.
        doing: how much of what.
        hours: by the clock, where trainings run as long as they may.
        least_hours: where they stop as soon as they may.
        core_hours: of CPU cores, as ``hours``.
        disk_gib: left on disk.
        memory_gib: largest of one process.
        based_on: what the rates were taken from; why there are none.
    """

    name: str
    doing: str
    hours: float | None = None
    least_hours: float | None = None
    core_hours: float | None = None
    disk_gib: float | None = None
    memory_gib: float | None = None
    based_on: str = ""


@dataclass(frozen=True)
class Plan:
    """What a study will take.

    Attributes:
        stages: in their order.
        workers: GPUs, or jobs at a time, that share each stage's work.
        device: that the rates were measured on, in words; empty where none were.
        notes: what to know of these numbers.
    """

    stages: tuple[PlannedStage, ...]
    workers: str
    device: str
    notes: tuple[str, ...]
    COLUMNS: ClassVar = ("stage", "work", "hours", "core-hours", "disk GiB", "memory GiB")

    def frame(self) -> pd.DataFrame:
        """A row a stage."""
        return pd.DataFrame([vars(one) for one in self.stages])

    @property
    def hours(self) -> float | None:
        """Of all stages one after the other; None where one was not measured."""
        return self.whole.hours

    def rows(self) -> list[tuple[str, ...]]:
        """Stage, work, hours, core-hours, disk and memory in words; where there are several, all of them last."""
        return [
            (
                one.name,
                one.doing,
                _range(one.least_hours, one.hours),
                _said(one.core_hours),
                _said(one.disk_gib),
                _said(one.memory_gib),
            )
            for one in (*self.stages, *([self.whole] if len(self.stages) > 1 else []))
        ]

    @property
    def whole(self) -> PlannedStage:
        """All stages one after the other: sums, of memory the largest; None where one of them is not known."""
        return PlannedStage(
            name="all",
            doing="one after the other",
            hours=_together(sum, [one.hours for one in self.stages]),
            least_hours=_together(sum, [one.least_hours for one in self.stages]),
            core_hours=_together(sum, [one.core_hours for one in self.stages]),
            disk_gib=_together(sum, [one.disk_gib for one in self.stages]),
            memory_gib=_together(max, [one.memory_gib for one in self.stages]),
        )

    def __repr__(self) -> str:
        table = pd.DataFrame(self.rows(), columns=self.COLUMNS).to_string(index=False)
        return "\n".join([table, *self.notes])

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{note}</li>" for note in self.notes)
        return f"{pd.DataFrame(self.rows(), columns=self.COLUMNS).to_html(index=False)}<ul>{notes}</ul>"


def plan(
    config: ConfigLike,
    *,
    slides: int | None = None,
    tiles: int | None = None,
    patches: int | None = None,
    sections: int | None = None,
    spots: int | None = None,
    patients: int | None = None,
    genes: int | None = None,
    width: int | None = None,
    n_encoders: int | None = None,
    gpus: int | None = None,
    jobs: int = 1,
    rates: PathLike | None = None,
    measure: bool = False,
    device: str = "auto",
    changes: Changes | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Hours, disk and memory of each stage of a config, from rates that were measured; nothing is run or written of it.

    Amounts that are left out are read from data, features or labels that are there already.

    Args:
        config: of ``pretrain``, ``probe``, ``mil`` or ``compare_systems``, in any form.
        slides: of the study.
        tiles: of a slide, on average.
        patches: of the set.
        sections: of spatial transcriptomics.
        spots: of a section, on average.
        patients: of the sections.
        genes: of the panel.
        width: numbers that the frozen encoder puts out.
        n_encoders: encoder directories of each source whose own are not there yet.
        gpus: that share the work of each stage, as tasks of a job array do; rates must be of a GPU.
        jobs: trainings at a time, where there is no GPU.
        rates: file of rates; with ``measure`` it is written.
        measure: measure rates here, by each stage's own command on small synthetic data (minutes).
        device: that is measured.
        changes: of the config's keys, nested or dotted.
        progress: called as stages are measured.

    Raises:
        InputError: a config, an amount or a file of rates that is wrong or missing; the message says which.
    """
    amounts: dict[str, int | None] = {
        "slides": slides,
        "tiles": tiles,
        "patches": patches,
        "sections": sections,
        "spots": spots,
        "patients": patients,
        "genes": genes,
        "width": width,
        "n_encoders": n_encoders,
    }
    for name, value in {**amounts, "gpus": gpus, "jobs": jobs}.items():
        most = MOST_WORKERS if name in ("gpus", "jobs") else MOST
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most):
            raise ConfigError(f"{name}={value!r}: wanted a whole number of 1 to {most:,}")
    refuse_device(device)
    if device != "auto" and not measure:
        raise ConfigError(f"device={device}: is what measure=True measures; rates say themselves what they are of")
    file = None if rates is None else Path(rates)
    known = None if file is None or measure else Rates.read(file)
    given = Given(amounts)
    found = list(stages_of_config(config, changes or {}, given))
    if unasked := given.unasked:
        raise ConfigError(
            f"{', '.join(unasked)}: nothing of this config goes by that (n_encoders counts the encoder directories of "
            "a source whose pattern matches none yet); leave it out"
        )
    if measure:
        from hage_transfer.door.measure import measure as measured
        from hage_transfer.running.devices import resolve_device

        if gpus is not None and not resolve_device(device).startswith("cuda"):
            raise ConfigError(f"gpus={gpus} with measure=True: this machine has no GPU to measure; give rates= of one")

        with shown("measure", progress) as tell:
            known = measured(found, device=device, told=lambda name: stage(tell, name))
        if file is not None:
            known.save(file)
    if gpus is not None and known is not None and known.kind != "cuda":
        raise ConfigError(
            f"gpus={gpus}: these rates are of a CPU ({known.device}) and say nothing of GPUs; measure on a machine "
            "that has one, with rates= to keep the file, and give that file here"
        )
    workers = gpus or jobs
    planned = [planned_stage(one, known, workers) for one in found]
    words = f"{workers} GPUs" if known is not None and known.kind == "cuda" else f"{workers} jobs at a time"
    return Plan(tuple(planned), words, "" if known is None else known.device, tuple(_notes(planned, known, found)))


def stages_of_config(config: ConfigLike, changes: Changes, amounts: Mapping[str, int | None]) -> Iterator[Stage]:
    """The stages of a config of any task, with amounts given; errors as ``plan``."""
    settings = resolve_config_of_any_task(config, changes)
    if not isinstance(settings, CompareConfig):
        yield from stages_of(settings, Counts(settings, amounts))
        return
    from hage_transfer.door.compare_work import stages_of_comparison

    yield from stages_of_comparison(settings, amounts)


def planned_stage(stage: Stage, rates: Rates | None, workers: int) -> PlannedStage:
    """What a stage takes at some rates; what these do not say stays None."""
    bare = PlannedStage(name=stage.name, doing=stage.doing)
    if rates is None:
        return replace(bare, based_on="not measured: give measure=True or rates=")
    found = rates.stages.get(stage.name, StageRates(why_not="it is not among the rates"))
    unlike = found.unlike(stage.at)
    if found.why_not or unlike:
        return replace(bare, based_on=f"not measured: {found.why_not or 'rates are of ' + ', '.join(unlike)}")
    absent = sorted({one.rate or one.name for one in stage.parts if one.name != "start"} - set(found.parts))
    if absent:
        return replace(bare, based_on=f"not measured: {', '.join(absent)}")
    for one in stage.parts:
        if one.name != "start" and not found.parts[one.rate or one.name].seconds.keys() & one.work.keys():
            return replace(bare, based_on=f"not measured: {one.name} goes by {', '.join(one.work)}, its rates do not")
    hours, least = (_hours(stage, found, workers, soonest=soonest) for soonest in (False, True))
    of_cores = any(part.core_seconds for part in found.parts.values())
    return replace(
        bare,
        hours=hours,
        least_hours=least,
        core_hours=_hours(stage, found, 1, soonest=False, of_cores=True) if of_cores else None,
        disk_gib=cost(found.disk_bytes, stage.kept) / _GIB if found.disk_bytes else None,
        memory_gib=cost(found.peak_bytes, stage.held) / _GIB if found.peak_bytes else None,
        based_on=f"{found.basis or 'the file of rates'}; {_off(found.error)}",
    )


def _hours(stage: Stage, rates: StageRates, workers: int, *, soonest: bool, of_cores: bool = False) -> float:
    """As the program itself tells the time left of a list of jobs, list after list."""
    lists: list[tuple[bool, list[tuple[int, float]]]] = []
    trained: list[tuple[int, float]] | None = None  # trainings that may stop early share one list
    for part in stage.parts:
        found = rates.parts.get(part.rate or part.name)
        if found is None:
            continue  # a start that is not told
        work = part.least if soonest and part.least else part.work
        jobs = [(part.jobs, part.share * cost(found.core_seconds if of_cores else found.seconds, work))]
        if part.least and trained is not None and not part.rate:
            trained += jobs
            continue
        lists.append((part.spreads, jobs))
        if part.least:
            trained = jobs
    return sum(time_of(jobs, n_jobs=workers if spreads else 1) for spreads, jobs in lists) / 3600


def _notes(planned: list[PlannedStage], rates: Rates | None, stages: list[Stage]) -> Iterator[str]:
    if rates is None:
        yield "no hours: nothing was measured; measure=True measures here, rates= reads what was measured elsewhere"
        return
    yield f"rates of {rates.device}{f', {rates.measured}' if rates.measured else ''}"
    for one in planned:
        yield f"{one.name}: {one.based_on}"
    if any(part.least for stage in stages for part in stage.parts):
        yield "where two hours stand, trainings may stop early: the first is the soonest, the second all epochs"
    yield "disks, networks and other work on the machine are not known here; real runs: see Benchmarks"


def _together(of: Callable[[list[float]], float], found: list[float | None]) -> float | None:
    known = [one for one in found if one is not None]
    return of(known) if known and len(known) == len(found) else None


def _off(error: float | None) -> str:
    return (
        "how far runs lie from these rates is not known" if error is None else f"runs lie up to {error:.0%} from these"
    )


def _said(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def _range(least: float | None, most: float | None) -> str:
    few, many = _said(least), _said(most)
    return many if few == many else f"{few} to {many}"
