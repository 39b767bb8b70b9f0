"""Many independent jobs, each done once: a job whose file exists is not run again. Where they run is the engine's."""

import logging
from collections.abc import Callable, Generator, Sequence
from functools import partial

from hage_transfer.running.job import Ended, Engine, Job, attempt
from hage_transfer.running.process_engine import run_in_processes
from hage_transfer.running.ray_engine import run_on_ray

log = logging.getLogger(__name__)


def run_jobs(
    jobs: Sequence[Job],
    *,
    n_jobs: int = 1,
    engine: Engine = "processes",
    address: str | None = None,
    told: Callable[[str, float], None] | None = None,
) -> Generator[Ended, None, None]:
    """Runs what is left of ``jobs`` and yields how each ended, in no set order.

    An error of ours in a job is that job's own and the others go on; any other exception is a bug and ends the
    run. A worker that is killed loses its own job's work and nothing else: the job is tried once more, and a second
    death is its error. Each job seeds itself and sets its threads, so results do not depend on where it
    runs or on what was done before.

    Args:
        jobs: each with a ``done`` of its own, if any.
        n_jobs: at a time. On a Ray cluster that is there already its own CPUs and GPUs decide.
        engine: ``processes`` of this machine, or a ``ray`` cluster.
        address: of a Ray cluster; None: one of ``n_jobs`` workers is started on this machine.
        told: called with a job's name and how much of it is done, where it says so (not from a Ray cluster).

    Raises:
        ConfigError: the engine is not to be had.
    """
    left = [job for job in jobs if not job.is_done]
    if len(left) < len(jobs):
        log.info("%d of %d jobs are done already, %d left", len(jobs) - len(left), len(jobs), len(left))
    if engine == "ray":
        yield from run_on_ray(left, n_jobs=n_jobs, address=address)
    elif n_jobs == 1:
        yield from (attempt(job, None if told is None else partial(told, job.name)) for job in left)
    else:
        yield from run_in_processes(left, n_jobs=n_jobs, told=told)
