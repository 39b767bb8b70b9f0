"""Names that are too long, no text, or links that lead nowhere: one message, whatever the command."""

import os

import pytest

from hage_transfer.cli.main import run

COMMANDS = [
    ["labels", "make", "t.csv", "--slide", "s", "--label", "l", "--out"],
    ["patches", "manifest", "t.csv", "--path-column", "s", "--label-column", "l", "--out"],
    ["convert", "t.pt", "--to", "hage", "--out"],
    ["tissue", "t.csv", "--out"],
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("s,l,case,set\na,x,p,train\nb,y,q,train\n")
    import torch

    torch.save(torch.ones(2, 3), tmp_path / "t.pt")
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path


def one_message(code, capsys):
    err = capsys.readouterr().err
    assert code == 2
    assert err.count("error: ") == 1
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize(
    "name", ["x" * 300, os.fsdecode(b"caf\xe9"), "loop", "loop/inside"], ids=["long", "latin", "loop", "in a loop"]
)
def test_odd_outputs_are_one_message(command, name, capsys):
    if command[0] == "labels" and name == "loop":
        assert run([*command, name]) == 0  # the link itself is replaced
        return
    if command[0] == "patches" and name == "loop":
        assert run([*command, name, "--group-column", "case", "--part-column", "set"]) == 0
        return
    one_message(run([*command, name]), capsys)


@pytest.mark.parametrize("name", ["x" * 300, os.fsdecode(b"caf\xe9.csv"), "loop"], ids=["long", "latin", "loop"])
@pytest.mark.parametrize(
    "command",
    [["labels", "check"], ["mil"], ["probe"], ["convert", "--to", "hage", "--out", "o"]],
    ids=lambda words: words[0],
)
def test_odd_inputs_are_one_message(command, name, capsys):
    one_message(run([*command, name]), capsys)
