"""What commands print is whole wherever it goes, and Ctrl-C says how to go on."""

import logging
import re

import pytest
from rich.console import Console

import hage_transfer as ht
from hage_transfer.cli import printed
from hage_transfer.cli.main import COMMANDS, run

NAMES = [f"bagged_reduced_rank_ridge_with_neighbours_{k}" for k in range(3)]


def a_table(columns):
    made = printed.table("method", *(f"column {k}, 95% by patient" for k in range(columns)))
    for name in NAMES:
        made.add_row(name, *["0.123 ± 0.045"] * columns)
    return made


def test_a_table_in_a_log_is_a_line_a_row(capsys):
    printed.console().print(a_table(9))
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row for row in rows if row[:1] and row[0] in NAMES] == [
        [name, *["0.123", "±", "0.045"] * 9] for name in NAMES
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_table_on_a_narrow_terminal_is_folded_never_cut(capsys, width):
    Console(width=width).print(a_table(4))
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert shown.count("0.123") == 12


def test_a_message_in_a_log_is_a_line_with_its_time():
    record = logging.LogRecord("x", logging.INFO, "", 0, "a message " * 30, (), None)
    assert re.fullmatch(r"\d\d:\d\d:\d\d (a message ){30}", printed.log_handler().format(record))


@pytest.mark.parametrize("command", [["recipes"], ["recipes", "keys", "mil"], ["doctor"]], ids=" ".join)
def test_the_tables_of_a_command_are_not_cut(capsys, command):
    assert run(command) == 0
    assert "…" not in capsys.readouterr().out


ARGUMENTS = {
    "apply": ["classifier", "slides"],
    "compare": ["a.yaml"],
    "convert": ["a", "--to", "clam", "--out", "b"],
    "demo": [],
    "embed": ["a", "--encoder", "b", "--out", "c"],
    "encode": ["st", "a.yaml"],
    "heatmap": ["run"],
    "mil": ["a.yaml", "--set", "a=b c"],
    "plan": ["a.yaml"],
    "power": ["--slides", "100"],
    "predict": ["--encoder", "a", "--out", "b"],
    "pretrain": ["a.yaml"],
    "probe": ["a.yaml"],
    "report": ["run", "--out", "b"],
    "share": ["a", "--to", "b/c"],
    "tissue": ["slides"],
}
"""Of every command that can take long."""
FUNCTIONS = {"encode": "encode_sections", "heatmap": "explain", "compare": "compare_systems"}


BEGIN_ANEW = {"plan", "power", "report", "share"}


@pytest.mark.parametrize(
    ("name", "overwrite"),
    [(name, False) for name in ARGUMENTS] + [(name, True) for name in sorted(set(ARGUMENTS) - BEGIN_ANEW)],
)
def test_an_interrupt_says_how_to_go_on(monkeypatch, capsys, name, overwrite):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setitem(vars(ht), FUNCTIONS.get(name, name), interrupt)
    assert run([name, *ARGUMENTS[name], *["--overwrite"] * overwrite]) == 130
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "interrupted" in line and f"`hage {name}" in line and "--overwrite" not in line
    assert ("goes on" in line) == (name not in BEGIN_ANEW)
    if name == "mil":
        assert "`hage mil a.yaml --set 'a=b c'`" in line


def test_every_command_is_tried_or_takes_no_time():
    quick = {"doctor", "genes", "labels", "patches", "recipes", "robustness", "view"}
    assert set(ARGUMENTS) | quick == set(COMMANDS)
