"""Jobs over a Ray cluster: one that is there already, or one started on this machine for the time of the run."""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hage_transfer.errors import ConfigError, install_extra
from hage_transfer.running.job import TRIES, Ended, Job, after_death, attempt

_SECONDS_TO_ANSWER = 10


def run_on_ray(jobs: Sequence[Job], *, n_jobs: int, address: str | None) -> Iterator[Ended]:
    """Runs ``jobs`` as tasks of one CPU each; yields how each ended.

    Ray gives out its CPUs, and the GPUs that a job asks for; a task whose worker or node dies is tried again by Ray.
    Every node needs this package and sees the run directory under the same path.

    Args:
        jobs: to run.
        n_jobs: workers of a cluster that is started here.
        address: of a cluster that is there, in Ray's form; None: one is started here and stopped at the end.

    Raises:
        ConfigError: Ray is not installed, or the cluster cannot be reached.
    """
    try:
        import ray
        from ray import exceptions
    except ImportError:
        raise ConfigError(f"engine=ray: Ray is not installed; {install_extra('ray')}, or engine=processes") from None
    if not jobs:
        return
    died = (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.OutOfMemoryError)
    with _cluster(ray, n_jobs=n_jobs, address=address):
        task = ray.remote(attempt)
        running = {
            task.options(name=job.name, num_cpus=1, num_gpus=job.gpus, max_retries=TRIES - 1).remote(job): job
            for job in jobs
        }
        try:
            while running:
                (ended,), _ = ray.wait(list(running), num_returns=1)
                job = running.pop(ended)
                try:
                    outcome = ray.get(ended)
                except died:
                    outcome = after_death(job)
                yield outcome
        finally:
            for left in running:
                ray.cancel(left, force=True)


@contextmanager
def _cluster(ray: Any, *, n_jobs: int, address: str | None) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    size = {} if address else {"num_cpus": n_jobs, "include_dashboard": False}
    try:
        if address and ":" in address:
            _knock(address)
        ray.init(address=address or "local", log_to_driver=False, logging_level="error", **size)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"address={address}: no Ray cluster answers there ({error}); start one with `ray start --head`, or leave "
            "address= out to have one started here"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Fails at once where nothing listens; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=_SECONDS_TO_ANSWER):
        pass
