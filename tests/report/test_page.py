import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hage_transfer.errors import DataError
from hage_transfer.report.page import make_page, write_report
from hage_transfer.report.runs import read_run


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_write_report_html_asks_for_nothing_outside_and_describes_every_picture(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    write_report(list(runs.values()), tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    parser = Elements()
    parser.feed(text)
    addresses = [v for _, attrs in parser.found for k, v in attrs.items() if k in ("src", "href") and v]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not {"iframe", "object", "base", "form"} & {tag for tag, _ in parser.found}
    assert not [attrs for tag, attrs in parser.found if tag == "script" and attrs]  # inline alone
    assert not re.search(r"url\(|@import|https?://", text)
    pictures = [attrs for tag, attrs in parser.found if tag == "img"]
    assert len(pictures) >= 10
    assert all(re.search(r"\d", attrs["alt"] or "") for attrs in pictures)
    anchors = {attrs["id"] for _, attrs in parser.found if "id" in attrs}
    assert {address[1:] for address in addresses if address.startswith("#")} <= anchors


def test_write_report_escapes_text_of_runs(runs: dict[str, Path], tmp_path: Path) -> None:
    write_report(list(runs.values()), tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;" in text
    assert "against 0.2 <b>" not in text
    assert "root: &lt;here&gt;" in text


def test_write_report_is_the_same_twice(runs: dict[str, Path], tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_report([runs["pretrain"], runs["mil"]], tmp_path / folder)
    for name in ("report.html", "report.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.usefixtures("sketched")
def test_make_page_answers_every_task_with_its_verdict(runs: dict[str, Path]) -> None:
    page = make_page([read_run(path) for path in runs.values()])
    assert [(one.task, one.source, one.baseline) for one in page.answer.parts] == [
        ("probe", "hage", "frozen"),
        ("mil", "hage", "frozen"),
        ("pretrain", "hage", "ridge"),  # single against single
    ]
    assert page.answer.parts[0].verdict == "gain"
    assert page.answer.parts[1].verdict == "within noise"


@pytest.mark.usefixtures("sketched")
def test_make_page_keeps_the_warnings_of_runs(runs: dict[str, Path]) -> None:
    page = make_page([read_run(path) for path in runs.values()])
    assert page.warnings == ("pretrain: ridge beats HAGE on mse: 0.1 against 0.2 <b>",)


def test_make_page_without_curves_says_so(runs: dict[str, Path]) -> None:
    (runs["pretrain"] / "curves.csv").unlink()
    page = make_page([read_run(runs["pretrain"])])
    training = page.sections[-1]
    assert not training.plots
    assert "no curves.csv" in training.text[0]


@pytest.mark.usefixtures("sketched")
def test_make_page_without_predictions_leaves_roc_out(runs: dict[str, Path]) -> None:
    titles = [plot.title for plot in make_page([read_run(runs["mil"])]).sections[1].plots]
    (runs["mil"] / "predictions.csv").unlink()
    without = make_page([read_run(runs["mil"])]).sections[1]
    assert [title.partition(",")[0] for title in titles] == ["ROC", "Reliability", "Confusion", "Confusion"]
    assert not without.plots
    assert "no predictions.csv" in without.text[1]


def test_write_report_of_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 0\n", encoding="utf-8")
    with pytest.raises(DataError, match="is the run finished"):
        write_report([tmp_path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_write_report_of_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least one"):
        write_report([], tmp_path)
