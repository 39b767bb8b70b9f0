"""Chromium, started and stopped here, and pages that take note of what goes wrong in them."""

import importlib.util
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("playwright.sync_api", reason="no playwright; install the extra dev")
from playwright.sync_api import Browser, Page, sync_playwright

from hage_transfer.errors import ConfigError
from hage_transfer.report.pdf import find_browser

QUIET = (
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def beside(folder: str) -> ModuleType:
    """The conftest of another folder of tests, whose files these tests look at."""
    path = Path(__file__).parents[1] / folder / "conftest.py"
    spec = importlib.util.spec_from_file_location(f"{folder}_conftest", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


viewer, report = beside("viewer"), beside("report")
mil_run, make_mil_run, make_slide = viewer.mil_run, viewer.make_mil_run, viewer.make_slide
run_server, application = viewer.run_server, viewer.application
make_target_application = viewer.make_target_application


def wait_until(true: Callable[[], object], *, seconds: float = 20) -> None:
    """Asks again until it is true: the pages' own security forbids to ask inside them.

    Raises:
        TimeoutError: it never was.
    """
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise TimeoutError("what was waited for did not come")
        time.sleep(0.05)


def find_axe_faults(page: Page) -> list[str]:
    """Serious and critical findings of axe-core in a page; skips where axe is not installed."""
    axe = pytest.importorskip("axe_playwright_python.base", reason="no axe-playwright-python; install the extra dev")
    page.evaluate(axe.AXE_SCRIPT)
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]


class Watched:
    """A page of a browser, and what it did that it should not.

    Attributes:
        page: the page.
        faults: errors of its console and its scripts.
        asked: every address it asked for.
    """

    def __init__(self, page: Page) -> None:
        self.page, self.faults, self.asked = page, [], []
        page.on("console", lambda message: message.type == "error" and self.faults.append(message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("requestfailed", lambda request: self.faults.append(f"{request.url}: {request.failure}"))
        page.on("request", lambda request: self.asked.append(request.url))

    def outside(self, *own: str) -> list[str]:
        """Addresses that are neither ``own`` nor data."""
        return [url for url in self.asked if not url.startswith((*own, "data:", "blob:"))]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless Chromium of the machine; skips where there is none."""
    try:
        path = find_browser()
    except ConfigError as error:
        pytest.skip(str(error))
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*QUIET, *as_root])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Watched]]:
    """Opens pages: (width=1200, height=800)."""
    contexts = []

    def make(*, width: int = 1200, height: int = 800) -> Watched:
        contexts.append(chromium.new_context(viewport={"width": width, "height": height}))
        return Watched(contexts[-1].new_page())

    yield make
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Waits until a function gives something true: (function, seconds=20)."""
    return wait_until


@pytest.fixture(scope="session")
def axe_faults() -> Callable[[Page], list[str]]:
    """What axe-core finds in a page."""
    return find_axe_faults


@pytest.fixture(scope="session")
def make_runs() -> Callable[[Path], dict[str, Path]]:
    """Writes the runs of a report."""
    return report.make_runs


@pytest.fixture(scope="session")
def address(mil_run: Path, run_server: Callable[..., object]) -> Iterator[str]:
    """The viewer of ``mil_run`` and some gene sets."""
    with run_server(mil_run, gene_sets=viewer.GENE_SETS) as server:
        yield server.address


@pytest.fixture
def opened(open_page: Callable[..., Watched], address: str) -> Iterator[Callable[..., Watched]]:
    """Opens the viewer: (hash, width=..., height=...); at the end no error was told and nothing asked elsewhere."""
    watched = []

    def make(hash_: str = "", **size: int) -> Watched:
        watched.append(open_page(**size))
        watched[-1].page.goto(address + hash_)
        watched[-1].page.wait_for_selector("body[data-ready]")
        return watched[-1]

    yield make
    for one in watched:
        assert not [fault for fault in one.faults if "net::ERR_ABORTED" not in fault]  # taken back by the page itself
        assert one.asked
        assert not one.outside(address)
