"""Rates of this machine: each stage's own command on small synthetic data, in a process of its own."""

import datetime
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from hage_transfer.door.planned_work import Stage
from hage_transfer.door.rates import PartRates, Rates, StageRates, Work, cost, fit
from hage_transfer.errors import HageError, reason

log = logging.getLogger(__name__)
Times = list[tuple[str, float, float]]
"""Name of a job, its seconds by the clock and of cores."""


class Watch:
    """Runs of a stage: what each was of, how long its jobs took, what it left and held.

    Attributes:
        folder: where runs write.
    """

    def __init__(self, folder: Path, *, before_s: float = 0.0) -> None:
        """Takes the folder, and what a fresh process took until it was there: Python's start and the first imports."""
        self.folder = folder
        self._before_s = before_s
        self._parts: dict[str, list[tuple[Work, float, float]]] = {}
        self._start: list[tuple[Work, float, float]] = []
        self._kept: list[tuple[Work, float]] = []
        self._held: list[tuple[Work, float]] = []
        self._pictures = 0.0

    def run(
        self,
        call: Callable[..., Any],
        work: dict[str, Work],
        *,
        part_of: Callable[[str], str] = lambda name: "",
        once: Work | None = None,
        kept: Work,
        held: Work,
        pictures: int = 0,
    ) -> float:
        """Runs a call into a fresh folder and keeps what it cost; its seconds.

        Args:
            call: given ``out`` and ``progress``.
            work: of one job, by part.
            part_of: the part that a job of this name is of; the first of a run is not timed alone, since reading lies
                before it.
            once: work besides that of its jobs; None: the whole run is one job of its one part.
            kept: amounts that disk goes by.
            held: amounts that memory goes by.
            pictures: slides whose pictures lie beside the feature files, of a size that has a bound; 0: all counts.
        """
        out = self.folder / f"out{len(self._kept)}"
        _forget_peak()
        marks: Times = [("", time.perf_counter(), time.process_time())]
        call(out=out, progress=lambda done, total, name: marks.append((name, time.perf_counter(), time.process_time())))
        end = (time.perf_counter(), time.process_time())
        whole = end[0] - marks[0][1], end[1] - marks[0][2]
        if once is None:
            ((part, of_job),) = work.items()
            self._parts.setdefault(part, []).append((of_job, *whole))
        else:
            rest = list(whole)
            seen: dict[str, tuple[float, float]] = {}
            for before, (name, *at) in pairwise(marks[1:]):
                part = part_of(name)
                took = at[0] - before[1], at[1] - before[2]
                if part in work and part_of(before[0]) in work:
                    self._parts.setdefault(part, []).append((work[part], *took))
                    seen[part] = took
                    rest = [rest[0] - took[0], rest[1] - took[1]]
            first = next((part_of(name) for name, *_ in marks[1:] if part_of(name) in work), "")
            took = seen.get(first, (0.0, 0.0))
            self._start.append((once, max(rest[0] - took[0], 1e-3), max(rest[1] - took[1], 1e-3)))
        sizes = {one: one.stat().st_size for one in out.rglob("*") if one.is_file()}
        beside = sum(size for one, size in sizes.items() if pictures and one.suffix != ".h5")
        self._pictures = max(self._pictures, beside / max(pictures, 1))
        self._kept.append((kept, float(sum(sizes.values()) - beside)))
        self._held.append((held, float(_peak_bytes())))
        return whole[0]

    def rates(self, basis: str) -> StageRates:
        """What the runs came to. The first one's excess over the others is the start: imports, loading, reading."""
        jobs = dict(self._parts)
        main, each = ("start", "start") if self._start else (next(iter(jobs)), "run")
        samples = jobs | ({"start": self._start} if self._start else {})
        parts: dict[str, list[dict[str, float]]] = {}
        errors: list[float] = []
        for name, found in samples.items():
            warm = found[1:] if name == main and len(found) > 1 else found
            seconds, error = fit([(work, wall) for work, wall, _ in warm])
            cores, _ = fit([(work, cpu) for work, _, cpu in warm])
            parts[name] = [seconds, cores]
            errors += [] if error is None else [error]
        begun_with, *took = samples[main][0]
        begun = [
            self._before_s
            + max(all_of_it - cost({term: one for term, one in rates.items() if term != each}, begun_with), 0.0)
            for all_of_it, rates in zip(took, parts[main], strict=True)
        ]
        for rates in parts[main]:
            rates.pop(each, None)
        parts["start"] = [{**rates, "start": s} for rates, s in zip(parts.get("start", ({}, {})), begun, strict=True)]
        return StageRates(
            parts={name: PartRates(seconds=wall, core_seconds=cores) for name, (wall, cores) in parts.items()},
            disk_bytes=self._disk(),
            peak_bytes=self._peak(),
            basis=basis,
            error=max(errors, default=None),
        )

    def _disk(self) -> dict[str, float]:
        rates = fit(self._kept)[0]
        return rates if not self._pictures else rates | {"slide": rates.get("slide", 0.0) + self._pictures}

    def _peak(self) -> dict[str, float]:
        """Of what grows with nothing the largest; a process holds what its largest run needed."""
        if all(set(amounts) == {"start"} for amounts, _ in self._held):
            return {"start": max(peak for _, peak in self._held)}
        return fit(self._held)[0]


def measure(stages: Sequence[Stage], *, device: str, told: Callable[[str], None] = lambda name: None) -> Rates:
    """Measures what a plan needs; a stage that cannot be run here says why.

    Args:
        stages: of the plan.
        device: torch device.
        told: called with each stage's name as it begins.
    """
    from loky import ProcessPoolExecutor

    from hage_transfer.running.devices import resolve_device

    resolved, found = resolve_device(device), {}
    for stage in stages:
        told(stage.name)
        with ProcessPoolExecutor(max_workers=1) as pool:  # its own, so that its peak is the stage's
            found[stage.name] = pool.submit(_measured, stage, resolved).result()
    kind = "cuda" if resolved.startswith("cuda") else "cpu"
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    load = f"load {os.getloadavg()[0]:.1f} when it was measured"
    return Rates(device=f"{_device_words(resolved)}, {load}", kind=kind, measured=today, stages=found)


def _measured(stage: Stage, device: str) -> StageRates:
    from hage_transfer.door import calibration
    from hage_transfer.models import gene_informed  # noqa: F401 - torch: of each stage's start, whoever loads it first

    # As `hage` does, for libraries that are not loaded yet.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.getLogger("hage_transfer").setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory(prefix="hage-plan-") as folder:
            watch = Watch(Path(folder), before_s=time.process_time())
            basis = calibration.RUNS[stage.name](stage, watch, device)
            return watch.rates(basis).model_copy(update={"at": dict(stage.at)})
    except HageError as error:
        return StageRates(why_not=reason(error))


def _device_words(device: str) -> str:
    import platform

    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, {platform.processor() or platform.machine()}"


def _forget_peak() -> None:
    """Begins the peak of this process anew, so that what made a run's data is no part of it (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_bytes() -> int:
    """Largest resident memory of this process; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
