"""The benchmarks that others read: kept ratios and their page, rates for a plan, the simulated cluster."""

import importlib
import json
import logging
from pathlib import Path

import pytest

import hage_transfer as ht
from hage_transfer.running.job import Job

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def kept():
    return importlib.import_module("kept")


@pytest.fixture(autouse=True)
def benchmarks_are_at_hand(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    log = logging.getLogger("hage_transfer")
    level = log.level
    yield
    log.setLevel(level)  # a benchmark as a process of its own silences it


@pytest.mark.slow
def test_every_stage_runs_on_the_device_and_a_number_that_is_not_the_cpus_fails(monkeypatch, capsys):
    accelerator = importlib.import_module("accelerator")
    assert accelerator.main(["--device", "cpu", "--small"]) == 0
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.endswith("|")][2:]
    names = [line[0].strip("| ") for line in lines]
    assert list(dict.fromkeys(names)) == [one.__name__ for one in accelerator.STAGES]
    assert len(names) == len(accelerator.STAGES) + len(accelerator.ROUNDED)
    assert all(float(line[2]) > 0 and float(line[4]) > 0 for line in lines)
    monkeypatch.setitem(accelerator.TOLERANCE, "bfloat16", 1e-9)
    assert accelerator.main(["--device", "cpu", "--small", "--stages", "mil"]) == 1
    assert "MISMATCH" in capsys.readouterr().out


@pytest.mark.slow
def test_a_plan_takes_its_hours_from_the_rates_that_the_accelerators_benchmark_writes(tmp_path):
    accelerator, file = importlib.import_module("accelerator"), tmp_path / "rates.json"
    arguments = ["--device", "cpu", "--small", "--stages", "predict", "--rates", str(file), "--rates-of", "embed"]
    assert accelerator.main(arguments) == 0
    given = {**accelerator.STUDIES["probes/pcam"], "changes": {"encoder.name": "embedded"}}
    before, after = (ht.plan("probes/pcam", **given, rates=one).stages for one in (None, file))
    assert [one.hours for one in before] == [None, None, None]
    assert [one.hours is None for one in after] == [True, False, True]
    assert 0 < after[1].hours < 100 and after[1].disk_gib > 0


@pytest.mark.slow
def test_the_simulated_cluster_loses_no_task_where_a_worker_is_killed(monkeypatch, tmp_path, capsys):
    pytest.importorskip("ray", reason="the simulation runs on Ray (extra `ray`)")
    cluster = importlib.import_module("cluster")
    monkeypatch.setenv("HAGE_BENCH_HISTORY", str(tmp_path))
    jobs = [Job(f"task {n}", tmp_path / "done" / str(n), print, ()) for n in range(40)]
    with cluster.cluster(2):
        ran = cluster.lists_of_jobs(tmp_path, [jobs], (0.05,), 2, kill=True)
    assert ran.tasks == len(list((tmp_path / "done").iterdir())) == 40
    cluster.tell("tasks", 2, ran, 0.05)
    line = capsys.readouterr().out.splitlines()[-1].split()
    (kept,) = map(json.loads, (tmp_path / "cluster.jsonl").read_text().splitlines())
    assert line[:3] == ["tasks", "2", "40"] and line[6] == "one"
    assert float(line[5]) == pytest.approx(kept["ratio"], abs=1e-3) and 0 < kept["ratio"] < 1


def test_the_table_of_the_page_is_made_of_the_history(kept):
    text = kept.PAGE.read_text(encoding="utf-8")
    assert kept.last_lines()
    assert kept.page_text(text) == text, "run `python benchmarks/kept.py page`"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "holds"),
        ({"ratio": 2.0 * 0.87}, "holds"),
        ({"ratio": 2.0 * 0.8}, "FELL"),
        ({"ratio": float("nan")}, "FELL"),
        ({"setting": "11 bags"}, "NEW"),
        (None, "MISSING"),
    ],
)
def test_the_quick_set_fails_where_a_ratio_fell_by_15_percent_or_was_not_measured(
    kept, tmp_path, monkeypatch, capsys, changed, said
):
    what = {"what": "ours is so many times theirs", "setting": "10 bags"}
    monkeypatch.setenv("HAGE_BENCH_HISTORY", str(tmp_path / "history"))
    kept.keep("some", [1.8, 2.0, 2.2], **what)
    script = tmp_path / "some.py"
    line = "" if changed is None else json.dumps({**what, "ratio": 2.0, **changed})
    script.write_text(f"import os\nopen(os.environ['HAGE_BENCH_HISTORY'] + '/some.jsonl', 'w').write('{line}')\n")
    monkeypatch.setattr(kept, "QUICK", ((str(script),),))
    assert kept.quick(keep_them=False) == (said != "holds")
    assert capsys.readouterr().out.startswith(f"{said}: ")


def test_a_line_of_the_history_that_is_none_is_named(kept, tmp_path):
    (tmp_path / "some.jsonl").write_text('{"what": 1}\n')
    with pytest.raises(SystemExit, match=r"some\.jsonl, line 1: .*setting"):
        kept.last_lines(tmp_path)
