"""Jobs over processes of this machine, one worker a pool, so that the death of one touches no other."""

import logging
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool

from loky import ProcessPoolExecutor, cpu_count

from hage_transfer.running.jobs import TRIES, Ended, Job, after_death, attempt

log = logging.getLogger(__name__)
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def run_in_processes(jobs: Sequence[Job], *, n_jobs: int) -> Iterator[Ended]:
    """Runs ``jobs``, ``n_jobs`` at a time; yields how each ended.

    One pool of several workers would break as a whole when one of them dies. Here each worker is loky's, in a pool of
    its own; a broken one is replaced, and its job is tried again.
    """
    waiting = deque((job, 1) for job in jobs)
    idle = [_pool(n_jobs) for _ in range(min(n_jobs, len(jobs)))]
    running: dict[Future[Ended], tuple[Job, int, ProcessPoolExecutor]] = {}
    try:
        while waiting or running:
            while waiting and idle:
                job, number = waiting.popleft()
                pool = idle.pop()
                running[pool.submit(attempt, job)] = job, number, pool
            for future in wait(running, return_when=FIRST_COMPLETED).done:
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
        for pool in [*idle, *(pool for _, _, pool in running.values())]:
            pool.shutdown(wait=False, kill_workers=True)


def _pool(n_jobs: int) -> ProcessPoolExecutor:
    """A worker whose libraries share the cores with ``n_jobs - 1`` others, unless the user has set their threads."""
    threads = str(max(cpu_count() // n_jobs, 1))
    return ProcessPoolExecutor(max_workers=1, env={name: os.environ.get(name, threads) for name in _THREAD_VARIABLES})
