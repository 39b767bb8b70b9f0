import json
import shutil
import socket
from collections import namedtuple
from types import SimpleNamespace

import pytest

from hage_transfer.cli.main import run
from hage_transfer.door import missing as lacking
from hage_transfer.door.missing import missing
from hage_transfer.encoders.registry import Entry

UNI = Entry("uni", "CC-BY-NC-ND-4.0", 1024, "hub MahmoodLab/UNI (gated: ask for access)", at_hand=False)


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    from huggingface_hub import constants

    def refuse(*arguments, **options):
        raise AssertionError("doctor asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")


def facts(capsys) -> dict:
    assert run(["doctor", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def how(found, what) -> str:
    (one,) = [one for one in found if one.what == what]
    return one.how


def test_doctor_lists_encoders_with_licence_and_exits_with_0(capsys, no_network):
    assert run(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, weights, licence in (
        ("embedded", " at hand", "Apache-2.0"),
        ("uni ", "not at hand", "CC-BY-NC-ND-4.0"),
        ("virchow2", "not at hand", "CC-BY-NC-ND-4.0"),
        ("h-optimus-0", "not at hand", "Apache-2.0"),
    ):
        assert any(name in line and weights in line and licence in line for line in lines), name
    assert any("device cpu" in line for line in lines)
    assert any("torch" in line for line in lines)


def test_doctor_as_json_says_the_same(capsys, no_network):
    found = facts(capsys)
    assert {one["name"]: one["weights"] for one in found["encoders"]}["uni"] == "not at hand"
    assert "device cpu" in found["machine"]
    lacking = [one["what"] for one in found["missing"]]
    assert any(one.startswith("weights of uni, uni2-h") for one in lacking)
    assert len([one for one in lacking if one.startswith("weights")]) <= 2  # those that must be asked for, and others


@pytest.mark.parametrize(("token", "says"), [(None, "hf auth login"), ("hf_x", "a token is here")])
def test_gated_weights_come_with_their_page_token_and_file(monkeypatch, tmp_path, no_network, token, says):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
    remedy = how(missing([UNI], place=tmp_path), "weights of uni")
    assert "https://huggingface.co/MahmoodLab/UNI" in remedy
    assert says in remedy
    assert "set encoder.weights=" in remedy


def test_weights_that_nobody_must_ask_for_need_no_token(monkeypatch, tmp_path, no_network):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    free = [Entry(name, "MIT", 768, f"hub owkin/{name}", at_hand=False) for name in ("phikon", "phikon-v2")]
    asked, had = missing([UNI, *free], place=tmp_path)[:2]
    assert (asked.what, had.what) == ("weights of uni", "weights of phikon, phikon-v2")
    assert "the first `hage encode` downloads them, on the terms of their licences" in had.how
    assert "auth login" in asked.how and "auth login" not in had.how


def test_asking_the_hub_tells_whether_the_terms_are_accepted(monkeypatch, tmp_path):
    from huggingface_hub.errors import GatedRepoError

    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_x")
    answers = {"MahmoodLab/UNI": None}

    def auth_check(self, repository):
        if answers[repository] is not None:
            raise answers[repository]

    monkeypatch.setattr("huggingface_hub.HfApi.auth_check", auth_check)
    assert "may read them: the first" in how(missing([UNI], place=tmp_path, ask_hub=True), "weights of uni")
    response = SimpleNamespace(headers={}, request=None, status_code=403)
    answers["MahmoodLab/UNI"] = GatedRepoError("gated", response=response)
    assert "accept the terms at https" in how(missing([UNI], place=tmp_path, ask_hub=True), "weights of uni")
    answers["MahmoodLab/UNI"] = ConnectionError("no route")
    assert "does not answer (no route)" in how(missing([UNI], place=tmp_path, ask_hub=True), "weights of uni")


def test_an_extra_that_is_not_installed_comes_with_its_pip_command(monkeypatch, tmp_path):
    monkeypatch.setattr(lacking, "EXTRAS", {"ray": ("a cluster", ("pytest>=8", "no-such-thing>=2"))})
    remedy = how(missing([], place=tmp_path), "extra ray")
    assert remedy.endswith("-m pip install 'no-such-thing>=2'")


def test_an_extra_that_is_installed_is_not_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(lacking, "EXTRAS", {"ray": ("a cluster", ("pytest>=8",))})
    assert not [one for one in missing([], place=tmp_path) if one.what.startswith("extra")]


def test_every_extra_for_users_is_known_with_the_requirements_of_the_package():
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    declared = project["optional-dependencies"]
    assert {extra: list(needs) for extra, (_, needs) in lacking.EXTRAS.items()} == {
        extra: needs for extra, needs in declared.items() if extra not in ("bench", "dev")
    }


def test_a_full_disk_is_said_with_what_it_is_needed_for(monkeypatch, tmp_path):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(2**40, 2**40, 3 * 2**30))
    (one,) = [one for one in missing([], place=tmp_path) if one.what.startswith("disk")]
    assert "3.0 GiB free" in one.what and "HF_HOME" in one.how


def test_no_browser_is_said_with_the_package_that_brings_one(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert how(missing([], place=tmp_path), "chromium") == "apt-get install chromium chromium-driver"
