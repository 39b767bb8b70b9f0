"""The pages as mkdocs builds them, and the two that are written from the program."""

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The pages as mkdocs builds them, and what it said."""
    for module in ("mkdocs", "material", "mkdocs_jupyter", "mkdocstrings"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed; pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return folder, said


@pytest.mark.slow
def test_site_builds_without_a_warning(site: tuple[Path, str]) -> None:
    folder, said = site
    assert "WARNING -" not in said, said
    assert "clip_loss" in (folder / "reference/pretrain.html").read_text()


class Linked(HTMLParser):
    """What a built page points to, and what it can be pointed at."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.names: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See ``HTMLParser``."""
        given = dict(attrs)
        self.targets += [given[name] or "" for name in ("href", "src") if name in given]
        self.names |= {given[name] or "" for name in ("id", "name") if name in given}


@pytest.mark.slow
def test_every_link_of_the_built_site_leads_somewhere(site: tuple[Path, str]) -> None:
    pages = {path: Linked(path) for path in site[0].rglob("*.html")}
    astray, followed = [], 0
    for path, page in pages.items():
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            start = site[0] if parts.path.startswith("/") else path.parent
            to = (start / unquote(parts.path).lstrip("/")).resolve() if parts.path else path
            to = to / "index.html" if to.is_dir() else to
            followed += 1
            if not to.is_file():
                astray.append(f"{path.relative_to(site[0])}: {target}: no such file")
            elif parts.fragment and to in pages and unquote(parts.fragment) not in pages[to].names:
                astray.append(f"{path.relative_to(site[0])}: {target}: no such place")
    assert not astray, "\n".join(astray)
    assert followed > 1000


@pytest.mark.slow
def test_the_built_site_asks_nothing_elsewhere(site: tuple[Path, str]) -> None:
    asked = re.compile(r"<(?:script|img|iframe|source)[^>]*\ssrc=[\"']?(?:https?:)?//|<link[^>]*stylesheet[^>]*//")
    assert not [path.name for path in site[0].rglob("*.html") if asked.search(path.read_text(encoding="utf-8"))]
