"""The lock of the demo pins what pyproject.toml asks for, all of it and in the bounds that it gives."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = (ROOT / "requirements-demo.lock").read_text(encoding="utf-8").splitlines()[1:]
PINNED = {canonicalize_name(one.name): one for one in map(Requirement, LINES)}


@pytest.mark.parametrize("line", PROJECT["dependencies"])
def test_the_lock_pins_every_dependency_within_its_bounds(line):
    wanted = Requirement(line)
    (pin,) = PINNED[canonicalize_name(wanted.name)].specifier
    assert pin.operator == "=="
    assert wanted.specifier.contains(pin.version)


def test_the_lock_is_whole_and_exact():
    assert len(PINNED) > 80
    assert all(len(one.specifier) == 1 and next(iter(one.specifier)).operator == "==" for one in PINNED.values())
    assert {"click", "pyyaml", "llvmlite", "nvidia-cudnn-cu13"} <= set(PINNED)


def test_every_python_that_is_declared_is_tried_and_the_lock_is_audited():
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    assert PROJECT["requires-python"] == ">=3.11"
    assert 'python: ["3.11", "3.12", "3.13"]' in workflow
    assert "make audit" in workflow
