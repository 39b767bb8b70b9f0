"""How well a Ray cluster is used: the program's own lists of jobs with their work replaced by sleep, a worker killed.

    python benchmarks/cluster.py --workers 2 4 8

Three studies: pretraining's 32 sections x 5 trials (with the scores and controls of each fold), the encoding of 1,000
slides, and PCAM's probes by 71 encodings x 3 classifiers. What hands out the work is what `hage` runs: the lists of
``pretrain.run.job_lists`` and ``probe_jobs`` through ``run_in_turn``, and ``encode_bags`` with its workers, locks and
files, whose encoder sleeps. Each is run on a cluster of this machine whose workers wait for their first job; when half
of the time is over, a worker that is at work is killed (SIGKILL).

Ideal is the sum of all sleeps divided by the workers; efficiency is ideal / taken, so it pays for handing out, files,
locks, the end of each list, what the killed worker had begun, and the start of the one in its place.
"""

import argparse
import importlib
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `hage` does
os.environ.setdefault("OMP_NUM_THREADS", "1")

import kept
import numpy as np

from hage_transfer.running.atomic import write_csv, write_text
from hage_transfer.running.items import run_in_turn
from hage_transfer.running.job import Job
from hage_transfer.running.jobs import run_jobs

SECTIONS, TRIALS = 32, 5
ENCODINGS = {"frozen": 1, "hage": 35, "both": 35}


@dataclass(frozen=True)
class Ran:
    """A study on one cluster: its tasks, seconds by one worker, by these, and until the killed one was replaced."""

    tasks: int
    alone_s: float
    taken_s: float
    back_s: float | None


def main() -> None:
    """Prints a row for each study and number of workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--studies", nargs="+", choices=list(STUDIES), default=list(STUDIES))
    parser.add_argument("--seconds", type=float, default=4.0, help="of a training")
    parser.add_argument("--slides", type=int, default=1000)
    parser.add_argument("--slide-seconds", type=float, default=1.0)
    parser.add_argument("--no-kill", action="store_true")
    options = parser.parse_args()
    print(
        f"{'study':<10}{'workers':>8}{'tasks':>7}{'ideal s':>9}{'taken s':>9}{'efficiency':>12}"
        f"{'killed':>8}{'back after s':>14}",
        flush=True,
    )
    for n_workers in options.workers:
        modules = [MODULES[name] for name in options.studies]
        with cluster(n_workers, modules), tempfile.TemporaryDirectory() as folder:
            for name in options.studies:
                seconds = options.slide_seconds if name == "encode" else options.seconds
                count = options.slides if name == "encode" else SECTIONS
                ran = STUDIES[name](Path(folder, name), n_workers, seconds, count, kill=not options.no_kill)
                tell(name, n_workers, ran, seconds)


def tell(study: str, n_workers: int, ran: Ran, seconds: float) -> None:
    """Prints a row and keeps its ratio."""
    ideal, killed = ran.alone_s / n_workers, ran.back_s is not None
    print(
        f"{study:<10}{n_workers:>8}{ran.tasks:>7}{ideal:>9.1f}{ran.taken_s:>9.1f}{ideal / ran.taken_s:>12.3f}"
        + (f"{'one':>8}{ran.back_s:>14.1f}" if killed else "    none"),
        flush=True,
    )
    what = f"{study} on {n_workers} workers, {int(killed)} killed: ideal / taken"
    kept.keep("cluster", [ideal / ran.taken_s], what=what, setting=f"{ran.tasks} tasks of {seconds:g} s")


class cluster:  # noqa: N801
    """A Ray cluster of this machine whose workers have loaded what jobs need; they share the cores that there are."""

    def __init__(self, n_workers: int, modules: Sequence[str] = ()) -> None:
        self._n, self._modules = n_workers, modules

    def __enter__(self) -> None:
        import ray

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not import this file
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(num_cpus=self._n, include_dashboard=False, log_to_driver=False, logging_level="error")
        with tempfile.TemporaryDirectory() as folder:
            jobs = [Job(f"start {n}", None, started, (Path(folder), self._n, self._modules)) for n in range(self._n)]
            assert all(one.error is None for one in run_jobs(jobs, n_jobs=self._n, engine="ray"))

    def __exit__(self, *error: object) -> None:
        import ray

        ray.shutdown()


def started(folder: Path, n_workers: int, modules: Sequence[str]) -> None:
    """Loads what jobs need, then waits until all workers have."""
    for name in modules:
        importlib.import_module(name)
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < n_workers:
        time.sleep(0.05)


def asleep(pids: Path, seconds: float, done: Path, *arguments: object) -> None:
    """A job in whose place a worker sleeps; it is given the job's own arguments all the same."""
    nap(pids, seconds)
    write_text(done, "slept")


def nap(pids: Path, seconds: float) -> None:
    """Sleeps, and says so by a file of the process's number."""
    mine = pids / str(os.getpid())
    mine.touch()
    (pids.parent / "first").mkdir(exist_ok=True)
    with suppress(FileExistsError):
        (pids.parent / "first" / mine.name).touch(exist_ok=False)  # its time tells when this worker began
    time.sleep(seconds)
    mine.unlink()


def kill_after(pids: Path, seconds: float) -> threading.Thread:
    """Kills a worker that sleeps at that time."""

    def kill() -> None:
        time.sleep(seconds)
        while not (found := list(pids.iterdir())):
            time.sleep(0.02)
        os.kill(int(found[0].name), signal.SIGKILL)
        found[0].rename(pids.parent / "killed")

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


def timed(root: Path, run: Callable[[Path], None], *, tasks: int, alone_s: float, n_workers: int, kill: bool) -> Ran:
    """Runs a study, which is given the folder that sleeping workers say themselves in."""
    pids = root / "pids"
    pids.mkdir(parents=True)
    began = time.perf_counter()
    if kill:
        kill_after(pids, alone_s / n_workers / 2)
    run(pids)
    taken, killed = time.perf_counter() - began, root / "killed"
    back = [one.stat().st_mtime - killed.stat().st_ctime for one in (root / "first").iterdir() if killed.exists()]
    return Ran(tasks, alone_s, taken, min((s for s in back if s > 0), default=float("nan")) if back else None)


def lists_of_jobs(
    root: Path, lists: Sequence[Sequence[Job]], seconds: Sequence[float], n_workers: int, *, kill: bool
) -> Ran:
    """Runs lists of jobs as the program does, each job asleep for its list's seconds."""

    def run(pids: Path) -> None:
        sleeping = [
            [replace(job, run=asleep, arguments=(pids, nap_s, job.made, *job.arguments)) for job in jobs]
            for jobs, nap_s in zip(lists, seconds, strict=True)
        ]
        found = run_in_turn(sleeping, root / "run", n_jobs=n_workers, engine="ray")
        assert len(found) == tasks and all(job.is_done for jobs in lists for job in jobs)

    alone_s = sum(len(jobs) * nap_s for jobs, nap_s in zip(lists, seconds, strict=True))
    tasks = sum(map(len, lists))
    return timed(root, run, tasks=tasks, alone_s=alone_s, n_workers=n_workers, kill=kill)


def pretrain(root: Path, n_workers: int, seconds: float, sections: int, *, kill: bool) -> Ran:
    """Pretraining's matrix: every section held out, five trials each; then the folds' scores and controls."""
    from hage_transfer.door.calibration_data import made_meta
    from hage_transfer.pretrain.config import PretrainConfig
    from hage_transfer.pretrain.contenders import contenders
    from hage_transfer.pretrain.folds import LeftOut
    from hage_transfer.pretrain.genes import FoldGenes
    from hage_transfer.pretrain.inputs import FoldInputs
    from hage_transfer.pretrain.run import job_lists
    from hage_transfer.pretrain.stored_sections import StoredSections

    config = PretrainConfig.model_validate({"data": {"root": root}, "trials": TRIALS})
    names = tuple(f"S{number:02}" for number in range(sections))
    genes = FoldGenes(tuple(f"G{gene}" for gene in range(785)), np.zeros((785, 200), np.float32), "none")
    folds = [
        FoldInputs(
            StoredSections({one: root / f"{one}.h5" for one in names}, root),
            LeftOut(name, tuple(one for one in names if one != name), (name,)),
            genes,
            made_meta(name),
            "0" * 64,
        )
        for name in names
    ]
    lists = job_lists(config, folds, contenders(config), root / "run", device="cpu")
    return lists_of_jobs(root, lists, (seconds, seconds, seconds / 4, seconds / 4), n_workers, kill=kill)


def probes(root: Path, n_workers: int, seconds: float, sections: int, *, kill: bool) -> Ran:
    """PCAM's probes: the frozen features, 35 encoders' embeddings and both side by side, by three classifiers."""
    from hage_transfer.data.feature_file import write_features
    from hage_transfer.data.labels import LabelTable
    from hage_transfer.door.calibration_data import made_meta
    from hage_transfer.probes.config import ProbeConfig
    from hage_transfer.probes.evaluate import probe_jobs
    from hage_transfer.probes.plan import plan_probe
    from hage_transfer.running.run_directory import RunDirectory

    keys = np.array([f"p{number}" for number in range(2000)], dtype=object)
    labels = np.array([str(number % 2) for number in range(2000)], dtype=object)
    table = LabelTable(keys=keys, labels=labels, groups=np.array([f"g{number // 20}" for number in range(2000)]))
    config = ProbeConfig.model_validate({"cross_checks": {"classifiers": ["logistic", "class_mean"]}})
    file = root / "features.h5"
    write_features(file, np.zeros((len(keys), 8), np.float32), made_meta("set"), keys=keys.tolist())
    sources = {name: [(file,)] * number for name, number in ENCODINGS.items()}
    run = RunDirectory.open(root / "run", config)
    jobs = list(probe_jobs(plan_probe(config, table), sources, run=run, device="cpu")[1].values())
    return lists_of_jobs(root, [jobs], (seconds / 2,), n_workers, kill=kill)


class SleepingEncoder:
    """An encoder of the user's own that sleeps for as long as a slide takes."""

    name, width, input_px, sha256 = "sleeping", 8, 32, "5" * 64

    def __init__(self, pids: Path, seconds: float) -> None:
        self._pids, self._seconds = pids, seconds

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features of nothing, late; the one grey image by which the encoder is looked at comes at once."""
        if self._pids.is_dir() and not (images == images.flat[0]).all():
            nap(self._pids, self._seconds)
        return np.zeros((len(images), self.width), np.float32)


def encode(root: Path, n_workers: int, seconds: float, slides: int, *, kill: bool) -> Ran:
    """Slides (images of one tile), each a feature file under its lock, shared by all workers."""
    from PIL import Image

    from hage_transfer.encode.bags import Workers, encode_bags
    from hage_transfer.encoders.own import OwnEncoder
    from hage_transfer.mil.config import MilConfig

    data = root / "data"
    data.mkdir(parents=True)
    rows = []
    for number in range(slides):
        image = np.random.default_rng(number).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(image).save(data / f"s{number:04}.png")
        rows.append({"path": f"s{number:04}.png", "label": "ab"[number % 2]})
    write_csv(data / "manifest.csv", ["path", "label"], rows)
    config = MilConfig.model_validate(
        {
            "data": {"layout": "manifest", "root": data, "manifest": data / "manifest.csv", "tile_px": 32},
            "features": root / "features",
        }
    )

    def run(pids: Path) -> None:
        encoder = OwnEncoder(SleepingEncoder(pids, seconds))
        encode_bags(config, device="cpu", overwrite=False, workers=Workers(jobs=n_workers, engine="ray"), own=encoder)
        assert len(list((root / "features" / "features").glob("*.h5"))) == slides

    return timed(root, run, tasks=slides, alone_s=slides * seconds, n_workers=n_workers, kill=kill)


MODULES = {
    "pretrain": "hage_transfer.pretrain.run",
    "encode": "hage_transfer.encode.bags",
    "pcam": "hage_transfer.probes.evaluate",
}
"""What each study's jobs load."""
STUDIES: dict[str, Callable[..., Ran]] = {"pretrain": pretrain, "encode": encode, "pcam": probes}

if __name__ == "__main__":
    main()
