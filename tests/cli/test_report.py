from pathlib import Path

import pytest

from hage_transfer.cli.main import run
from hage_transfer.compare.records import Record
from hage_transfer.compare.results import Results


def test_report_command_writes_both_pages(tmp_path: Path) -> None:
    records = [
        Record(
            task="probe",
            source=source,
            split="test",
            fold=str(fold),
            trial=None,
            metric="auc",
            value=0.5 + fold / 10 + bonus,
        )
        for source, bonus in (("frozen", 0.0), ("hage", 0.05))
        for fold in range(3)
    ]
    (tmp_path / "run").mkdir()
    Results(records, {}).save(tmp_path / "run" / "results.json")
    assert run(["report", str(tmp_path / "run"), "--out", str(tmp_path / "page")]) == 0
    assert (tmp_path / "page" / "report.html").is_file()
    assert (tmp_path / "page" / "report.md").is_file()


def test_report_command_of_no_run_directory_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(tmp_path)]) == 2
    assert "results.json" in capsys.readouterr().err
