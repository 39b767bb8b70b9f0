import threading
import time

import pytest

from hage_transfer.config import Settings
from hage_transfer.errors import ConfigError, ItemsFailedError
from hage_transfer.running.job import Job
from hage_transfer.running.progress import open_run
from hage_transfer.running.run_directory import PARTS_FOLDER
from hage_transfer.running.shards import Shard, open_part


class Config(Settings):
    number: int = 1


def make(path):
    path.touch()


def fail(path):
    raise ConfigError(f"{path.name} cannot be made")


@pytest.mark.parametrize("of", [1, 2, 3, 7, 12])
def test_parts_share_a_list_out_without_rest_or_double(of):
    parts = [Shard.parse(f"{number}/{of}").part(range(10)) for number in range(1, of + 1)]
    assert sorted(one for part in parts for one in part) == list(range(10))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "-1/4", "a/b", "1/4/2", "1.0/4"])
def test_a_shard_of_another_form_is_refused(text):
    with pytest.raises(ConfigError, match="wanted i/n"):
        Shard.parse(text)


def test_a_shard_never_deletes_a_run():
    with pytest.raises(ConfigError, match="overwrite"):
        Shard.parse("1/2", overwrite=True)


def test_parts_prepare_one_after_the_other_and_work_at_once_and_the_gathering_run_waits(tmp_path):
    events, run = [], tmp_path / "run"

    def part(number):
        with open_part(run, Config(), Shard(number, 2)) as opened:
            events.append("prepare")
            time.sleep(0.1)
            events.append("prepared")
            opened.do([])
            both.wait(timeout=10)  # passes only where both are at work at once
            time.sleep(0.3)
            events.append("done")

    both = threading.Barrier(2)
    threads = [threading.Thread(target=part, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    while events.count("prepared") < 2:
        time.sleep(0.01)
    with open_run(run, Config(), overwrite=False):
        events.append("gather")
    for thread in threads:
        thread.join()
    assert events == ["prepare", "prepared"] * 2 + ["done"] * 2 + ["gather"]


def test_the_same_part_twice_is_refused(tmp_path):
    with open_part(tmp_path / "run", Config(), Shard(1, 2)) as opened:
        opened.do([])
        with pytest.raises(ConfigError, match="1/2 is at work"), open_part(tmp_path / "run", Config(), Shard(1, 2)):
            pass


def test_failures_of_a_part_stay_beside_those_of_others_until_the_gathering_run(tmp_path):
    run = tmp_path / "run"
    jobs = [Job(f"job {k}", run / f"made_{k}", fail if k == 0 else make, (run / f"made_{k}",)) for k in range(4)]
    with open_part(run, Config(), Shard(1, 2)) as part, pytest.raises(ItemsFailedError, match="1-of-2"):
        part.do(part.shard.part(jobs))
    with open_part(run, Config(), Shard(2, 2)) as part:
        part.do(part.shard.part(jobs))
    found = [path.relative_to(run).as_posix() for path in run.glob(f"{PARTS_FOLDER}/*/*")]
    assert found == [f"{PARTS_FOLDER}/1-of-2/failures.csv"]
    assert [job.is_done for job in jobs] == [False, True, True, True]
    with open_run(run, Config(), overwrite=False):
        assert not (run / PARTS_FOLDER).exists()
