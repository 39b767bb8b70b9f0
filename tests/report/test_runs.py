import json
import re
import shutil
from pathlib import Path

import pytest

from hage_transfer.cli.main import run as hage
from hage_transfer.errors import DataError, SplitError
from hage_transfer.report.page import write_report
from hage_transfer.report.runs import is_unfinished, read_run, read_unfinished, with_labels
from hage_transfer.running.progress import run_log
from hage_transfer.running.run_directory import RunDirectory

HOSTILE = "<script>alert(1)</script>"


def copied(run: Path, to: Path) -> Path:
    to.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copytree(run, to))


def test_runs_of_one_name_are_told_apart_by_their_folders(runs, tmp_path):
    one, two = copied(runs["mil"], tmp_path / "a" / "mil"), copied(runs["mil"], tmp_path / "b" / "mil")
    assert [run.name for run in with_labels([read_run(p) for p in (one, two, runs["probe"])])] == [
        "a/mil", "b/mil", "probe",
    ]  # fmt: skip


def test_a_page_of_runs_of_one_name_has_every_anchor_once(runs, tmp_path):
    copies = [copied(runs["mil"], tmp_path / name / "mil") for name in ("a", "A")]
    write_report([*copies, runs["mil"]], tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    anchors = [part.split('"')[0] for part in text.split(' id="')[1:]]
    assert len(anchors) == len(set(anchors))


def test_a_run_given_twice_is_refused(runs, tmp_path):
    with pytest.raises(DataError, match="given 2 times"):
        write_report([runs["mil"], runs["mil"] / "." / ""], tmp_path / "out")


@pytest.mark.usefixtures("sketched")
def test_an_unfinished_run_stands_among_the_warnings(runs, tmp_path):
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "config.yaml").write_text("seed: 0\n", encoding="utf-8")
    line = "2026-01-01 00:00:00,000 ERROR hage_transfer.cli: 3 groups are in both train and test\n"
    (begun / "log.txt").write_text(line, encoding="utf-8")
    assert is_unfinished(begun)
    assert read_unfinished(begun).reason == "3 groups are in both train and test"
    write_report([runs["mil"], begun], tmp_path / "out")
    assert "3 groups are in both train and test" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_what_refuses_a_run_is_in_its_log(tmp_path):
    with pytest.raises(SplitError), run_log(RunDirectory(tmp_path)):
        raise SplitError("3 groups are in both train and test")
    assert read_unfinished(tmp_path).reason == "3 groups are in both train and test"


def test_folders_that_are_no_run_are_named(runs, tmp_path):
    for path, said in ((tmp_path / "nowhere", "no such folder"), (tmp_path, "give the folder of a run")):
        with pytest.raises(DataError, match=said):
            write_report([runs["mil"], path], tmp_path / "out")


def test_a_run_of_an_unknown_task_is_refused(runs):
    tree = json.loads((runs["mil"] / "results.json").read_text())
    for record in tree["records"]:
        record["task"] = HOSTILE
    (runs["mil"] / "results.json").write_text(json.dumps(tree))
    with pytest.raises(DataError, match="is none of pretrain, probe, mil"):
        read_run(runs["mil"])


def test_hostile_names_are_shown_and_never_run(runs, tmp_path):
    text = (runs["mil"] / "results.json").read_text().replace('"hage"', json.dumps(HOSTILE))
    (runs["mil"] / "results.json").write_text(text)
    predictions = (runs["mil"] / "predictions.csv").read_text().replace("hage", HOSTILE)
    (runs["mil"] / "predictions.csv").write_text(predictions)
    named = runs["mil"].rename(runs["mil"].parent / '"><img src=x onerror=alert(1)>_$x$')
    write_report([named], tmp_path / "out")
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert html.count("<script") == 1  # the page's own
    assert "<img src=x" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    words = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "<script" not in words
    assert "<img" not in words.split("## How to get")[0]


def test_undefined_values_leave_the_page_standing(runs, tmp_path):
    tree = json.loads((runs["mil"] / "results.json").read_text())
    for record in tree["records"]:
        if record["metric"] == "recall" or record["fold"] == "2":
            record["value"] = float("nan")
    (runs["mil"] / "results.json").write_text(json.dumps(tree))
    write_report([runs["mil"]], tmp_path / "out")
    words = (tmp_path / "out" / "report.md").read_text(encoding="utf-8").split("## How to get")[0]
    assert not re.search(r"\bnan\b", words)
    assert "| – |" in words


@pytest.mark.parametrize("spoilt", ["", "source,trial\nfrozen,\n", "source,trial,label,predicted\nfrozen,,0,0\n"])
def test_a_spoilt_table_of_predictions_is_one_message(runs, tmp_path, capsys, spoilt):
    (runs["mil"] / "predictions.csv").write_text(spoilt)
    assert hage(["report", str(runs["mil"]), "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "predictions.csv" in message
    assert "Traceback" not in message


@pytest.mark.usefixtures("sketched")
def test_environments_of_any_form_are_read(runs, tmp_path):
    (runs["mil"] / "environment.json").write_text('{"command": "hage mil", "packages": null}')
    write_report([runs["mil"]], tmp_path / "out")
    (runs["mil"] / "environment.json").write_text("[]")
    with pytest.raises(DataError, match="not a JSON object"):
        read_run(runs["mil"])
