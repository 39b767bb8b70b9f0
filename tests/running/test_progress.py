"""Progress: the caller's own, a bar where somebody looks, a line in the log where not; nothing on standard output."""

import io
import logging
import sys
import types

import pytest

from hage_transfer.running import progress
from hage_transfer.running.progress import shown


def tell_all(tell) -> None:
    for number in range(1, 4):
        tell(number, 3, f"item {number}")


def test_the_caller_s_progress_is_told_and_nothing_is_shown(capsys):
    told = []
    with shown("work", lambda *now: told.append(now)) as tell:
        tell_all(tell)
    assert told == [(1, 3, "item 1"), (2, 3, "item 2"), (3, 3, "item 3")]
    assert capsys.readouterr() == ("", "")


def test_nothing_is_shown_where_nobody_looks(capsys):
    with shown("work") as tell:
        tell_all(tell)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("where", ["terminal", "notebook"])
def test_a_bar_is_on_standard_error_where_somebody_looks(monkeypatch, capsys, where):
    class Screen(io.StringIO):
        def isatty(self):
            return where == "terminal"

    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    if where == "notebook":
        monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    with shown("work") as tell:
        tell_all(tell)
    assert "work" in screen.getvalue()
    assert "3/3" in screen.getvalue()
    assert capsys.readouterr().out == ""


def test_long_work_says_in_the_log_how_far_it_is(monkeypatch, caplog):
    clock = iter([0.0, 10.0, 70.0, 130.0, 140.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO, logger="hage_transfer"), shown("encode") as tell:
        for number in range(1, 5):
            tell(number, 4, f"s{number}")
    assert caplog.messages == [
        "encode: 2 of 4, about 1 min left (s2)",
        "encode: 3 of 4, about 1 min left (s3)",
    ]
