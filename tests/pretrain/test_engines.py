"""The same matrix of folds and trials gives the same records wherever its jobs run."""

from pathlib import Path

import pytest

from hage_transfer.compare.records import Record
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.inputs import STORE, read_inputs
from hage_transfer.pretrain.run import pretrain, pretrain_part
from hage_transfer.running.job import Engine
from hage_transfer.running.run_directory import RunDirectory
from hage_transfer.running.shards import Shard, open_part


def records(config: PretrainConfig, out: Path, *, n_jobs: int, engine: Engine = "processes") -> list[Record]:
    run = RunDirectory.open(out, config)
    results = pretrain(config, read_inputs(config), run, device="cpu", n_jobs=n_jobs, engine=engine)
    assert not (out / STORE).exists()
    return list(results.records)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_ray_cluster_of_two_workers_gives_the_records_of_two_processes(config, tmp_path):
    pytest.importorskip("ray", reason="needs Ray: pip install 'hage-transfer[ray]'")
    on_ray = records(config, tmp_path / "ray", n_jobs=2, engine="ray")
    assert len(on_ray) > 100
    assert on_ray == records(config, tmp_path / "processes", n_jobs=2)


@pytest.mark.slow
def test_one_process_gives_the_records_of_two(config, tmp_path):
    assert records(config, tmp_path / "one", n_jobs=1) == records(config, tmp_path / "two", n_jobs=2)


@pytest.mark.slow
def test_parts_of_an_array_gathered_give_the_records_of_one_run(config, tmp_path):
    train = config.train.model_copy(update={"epochs": 2})
    config = config.model_copy(update={"train": train, "controls": "all", "methods": ("hage", "stnet")})
    run, inputs, n_jobs, left = tmp_path / "parts", read_inputs(config), 0, []
    for number in (3, 1, 2):
        with open_part(run, config, Shard(number, 3)) as part:
            pretrain_part(config, inputs, part, device="cpu")
        n_jobs += part.n_jobs
        left.append(part.n_left)
    made = {path: path.stat().st_mtime_ns for path in run.glob("jobs/**/*") if path.is_file()}
    assert n_jobs == 2 * 3 * 2  # folds x (HAGE, its shuffled twins, ST-Net) x trials
    assert left == [12 - 3, 12 - 3 - 5, 0]  # HAGE brings its twin: shards of 5, 4 and 3 jobs, the third one first
    found = records(config, run, n_jobs=1)
    assert {path: path.stat().st_mtime_ns for path in made} == made  # trained once
    assert found == records(config, tmp_path / "one", n_jobs=1)
