"""Jobs over processes of this machine, one worker a pool, so that the death of one touches no other."""

import logging
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from loky import ProcessPoolExecutor, cpu_count

from hage_transfer.running.job import TRIES, Ended, Job, after_death, attempt
from hage_transfer.running.ticks import from_file, into_file

log = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_kept: dict[int, list[ProcessPoolExecutor]] | None = None
"""Idle workers of the call that keeps them, by how many share the cores; None outside ``kept_workers``."""


@contextmanager
def kept_workers() -> Iterator[None]:
    """Lists of jobs that run inside share their workers, each of which loads its libraries once, in seconds.

    Only one call of the door keeps them: between calls the user may change folder, environment or code.
    """
    global _kept
    if _kept is not None:
        yield
        return
    _kept = {}
    try:
        yield
    finally:
        pools, _kept = _kept, None
        for pool in chain.from_iterable(pools.values()):
            pool.shutdown(wait=False, kill_workers=True)


def run_in_processes(
    jobs: Sequence[Job], *, n_jobs: int, told: Callable[[str, float], None] | None = None
) -> Iterator[Ended]:
    """Runs ``jobs``, ``n_jobs`` at a time; yields how each ended, and says every second how far those that run are.

    One pool of several workers would break as a whole when one of them dies. Here each worker is loky's, in a pool of
    its own; a broken one is replaced, and its job is tried again. Workers outlive the list inside ``kept_workers``.
    """
    waiting = deque((job, 1) for job in jobs)
    kept = [] if _kept is None else _kept.setdefault(n_jobs, [])
    idle = [kept.pop() if kept else _pool(n_jobs) for _ in range(min(n_jobs, len(jobs)))]
    running: dict[Future[Ended], tuple[Job, int, ProcessPoolExecutor]] = {}
    scratch = tempfile.TemporaryDirectory(prefix="hage-ticks-")
    files = {job.name: Path(scratch.name, str(number)) for number, job in enumerate(jobs)}
    try:
        while waiting or running:
            while waiting and idle:
                job, number = waiting.popleft()
                pool = idle.pop()
                try:
                    running[pool.submit(_attempt, job, files[job.name])] = job, number, pool
                except BrokenProcessPool:  # killed as it idled
                    waiting.appendleft((job, number))
                    idle.append(_pool(n_jobs))
            ended = wait(running, timeout=_LOOK_SECONDS, return_when=FIRST_COMPLETED).done
            for job, _, _ in running.values():
                if told is not None and (share := from_file(files[job.name])):
                    told(job.name, share)
            for future in ended:
                job, number, pool = running[future]
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    pool.shutdown(wait=False, kill_workers=True)
                    del running[future]
                    idle.append(_pool(n_jobs))
                    if number < TRIES and not job.is_done:
                        log.warning("the worker of %s was killed; the job is tried again", job.name)
                        waiting.appendleft((job, number + 1))
                    else:
                        yield after_death(job)
                    continue
                del running[future]
                idle.append(pool)
                yield outcome
    finally:
        scratch.cleanup()
        if _kept is not None:
            kept += idle
            idle = []
        for pool in [*idle, *(pool for _, _, pool in running.values())]:
            pool.shutdown(wait=False, kill_workers=True)


def _attempt(job: Job, ticks: Path) -> Ended:
    return attempt(job, into_file(ticks))


def _pool(n_jobs: int) -> ProcessPoolExecutor:
    """A worker whose libraries share the cores with ``n_jobs - 1`` others, unless the user has set their threads."""
    threads = str(max(cpu_count() // n_jobs, 1))
    return ProcessPoolExecutor(max_workers=1, env={name: os.environ.get(name, threads) for name in _THREAD_VARIABLES})
