"""The report on one page of paper, printed by the browser that is on the machine."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from hage_transfer.errors import ConfigError, DataError
from hage_transfer.report.html import render_html
from hage_transfer.report.layout import Page
from hage_transfer.running.atomic import atomic_path, write_text

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "msedge",
    "microsoft-edge",
)
ELSEWHERE = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
VARIABLE = "HAGE_CHROMIUM"
_SECONDS = 120


def find_browser() -> str:
    """A browser of Chromium's kind: the one that ``HAGE_CHROMIUM`` names, else one of the machine.

    Raises:
        ConfigError: there is none.
    """
    named = os.environ.get(VARIABLE)
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, (*BROWSERS, *ELSEWHERE))), None)
    if found is None:
        missing = f"{VARIABLE}={named}: no such program" if named else "no Chromium, Chrome or Edge on this machine"
        raise ConfigError(f"pdf=True: {missing}; install one or name it in {VARIABLE}, or print report.html yourself")
    return found


def write_pdf(page: Page, path: Path, *, browser: str) -> None:
    """Prints the page's answer, main table, main pictures and doubts to one side of A4.

    Raises:
        DataError: the browser failed.
    """
    with tempfile.TemporaryDirectory(prefix="hage-pdf-") as scratch, atomic_path(path) as target:
        source, printed = Path(scratch, "page.html"), Path(scratch, "page.pdf")
        write_text(source, render_html(page, template="one_page.html.jinja"))
        command = [browser, "--headless", "--disable-gpu", "--no-pdf-header-footer", "--no-first-run", "--disable-sync"]
        command += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={scratch}/user"]
        command += ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        try:
            ended = subprocess.run(
                [*command, f"--print-to-pdf={printed}", source.as_uri()],
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DataError(f"{browser}: did not print ({error}); print report.html yourself") from None
        if not printed.is_file():
            said = ended.stderr.decode(errors="replace").strip().splitlines()
            raise DataError(
                f"{browser}: did not print ({said[-1] if said else ended.returncode}); print report.html yourself"
            )
        shutil.copyfile(printed, target)
