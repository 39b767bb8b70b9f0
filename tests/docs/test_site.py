"""The pages as mkdocs builds them, and the two that are written from the program."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from hage_transfer.cli.main import COMMANDS
from hage_transfer.pretrain.config import PretrainConfig

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pages", ROOT / "docs/hooks/pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_commands_page_names_every_command_and_its_options(pages: ModuleType) -> None:
    text = pages.commands()
    for name in COMMANDS:
        assert re.search(rf"^## hage {name}\b", text, re.M), name
    pretrain = text.partition("## hage pretrain")[2].partition("\n## ")[0]
    assert "| `--variants` |" in pretrain and "| `--jobs` | `1` |" in pretrain and "| `CONFIG` | required |" in pretrain


def test_config_page_names_every_key_with_its_default(pages: ModuleType) -> None:
    found = {key: default for key, default, _ in pages.keys(PretrainConfig)}
    defaults = PretrainConfig.model_validate({"data": {"root": "x"}})
    assert found["data.root"] == "required"
    for key in ("train.epochs", "loss.cyclip", "clusters.k1", "encoder.name"):
        group, name = key.split(".")
        assert found[key] == f"`{getattr(getattr(defaults, group), name)}`"
    assert "| `sources.<name>.encoder` |" in pages.config_keys()


@pytest.mark.parametrize("name", ["cli", "config"])
def test_generated_pages_are_current(pages: ModuleType, name: str) -> None:
    path = ROOT / f"docs/reference/{name}.md"
    assert path.read_text() == pages.written()[path], "run `make reference`"


def test_every_page_is_in_the_navigation() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    listed = set(re.findall(r"[\w/-]+\.md", yaml.safe_dump(settings["nav"])))
    assert listed == {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    for module in ("mkdocs", "material", "mkdocstrings"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed; pip install '.[docs]'")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "WARNING -" not in said, said
    assert "clip_loss" in (tmp_path / "site/reference/pretrain.html").read_text()
