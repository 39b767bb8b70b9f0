"""The jobs of a run, all of them: what fails is listed in the run's ``failures.csv``, the rest is done."""

from collections.abc import Callable, Sequence

from hage_transfer.errors import InputError, ItemsFailedError
from hage_transfer.running.jobs import Engine, Job, run_jobs
from hage_transfer.running.run_directory import FAILURES_FILE, RunDirectory


def run_all(
    jobs: Sequence[Job],
    *,
    run: RunDirectory,
    n_jobs: int = 1,
    engine: Engine = "processes",
    address: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Runs what is left of ``jobs``.

    Args:
        jobs: of one run.
        run: where ``failures.csv`` is written (and removed once nothing fails).
        n_jobs: jobs at a time.
        engine: where they run.
        address: of a Ray cluster.
        progress: told (job, done, total) as each job ends.

    Raises:
        InputError: every job failed, so it is the input that is wrong; the first reason.
        ItemsFailedError: some jobs failed.
    """
    failures: dict[str, str] = {}
    done = sum(job.done.exists() for job in jobs)
    for name, reason in run_jobs(jobs, n_jobs=n_jobs, engine=engine, address=address):
        done += 1
        if reason is not None:
            failures[name] = reason
        if progress is not None:
            progress(name, done, len(jobs))
    run.write_failures(failures)
    if not failures:
        return
    first, reason = next(iter(failures.items()))
    if len(failures) == len(jobs):
        raise InputError(f"{first}: {reason}")
    raise ItemsFailedError(
        f"{len(failures)} of {len(jobs)} jobs failed, listed in {run.path / FAILURES_FILE}; "
        f"the first, {first}: {reason}"
    )
