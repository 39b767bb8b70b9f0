"""The command as a user runs it: a process of its own."""

import http.client
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from hage_transfer.door.view import view
from hage_transfer.viewer.deep_zoom import DeepZoom

HAGE = [sys.executable, "-c", "from hage_transfer.cli.main import main; main()"]
SECONDS = float(os.environ.get("HAGE_VIEW_SECONDS", "3"))
PARALLEL = 100


@contextmanager
def viewing(*arguments):
    """A running `hage view`: the process and the page's address."""
    process = subprocess.Popen(
        [*HAGE, "view", *map(str, arguments), "--port", "0", "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        process.lines = []
        while not process.lines or "http://" not in process.lines[-1]:
            process.lines.append(process.stdout.readline())
            assert process.lines[-1], process.lines
        yield process, re.search(r"http://\S+", process.lines[-1])[0]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def run_to_its_end(*arguments):
    return subprocess.run([*HAGE, "view", *map(str, arguments)], capture_output=True, text=True, timeout=60)


def test_view_serves_and_ctrl_c_ends_it_cleanly(mil_run):
    with viewing(mil_run) as (process, address):
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address) as page:
            assert b"<title>" in page.read()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(20) == 0
        assert "ended" in rest
        assert "Traceback" not in rest


def test_the_function_shows_a_page_until_it_is_closed(mil_run):
    with view(str(mil_run)) as viewer:
        assert (viewer.n_slides, viewer.n_missing) == (3, 1)
        assert viewer.address in viewer._repr_html_()
        with urllib.request.urlopen(viewer.address) as page:
            assert b"<title>" in page.read()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(viewer.address)


def test_view_says_how_many_slides_are_not_there(mil_run):
    with viewing(mil_run) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert process.lines[0].startswith("1 of 3 slides were not found")


def test_view_refuses_a_folder_of_slides_that_is_not_there(mil_run):
    result = run_to_its_end(mil_run, "--slides", mil_run / "none")
    assert result.returncode == 2
    assert "no such folder" in result.stderr


def test_view_refuses_what_is_no_run_in_one_line(tmp_path):
    result = run_to_its_end(tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "hage mil" in result.stderr


def test_view_names_a_port_that_is_taken(mil_run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run_to_its_end(mil_run, "--port", port, "--no-browser")
    assert result.returncode == 2
    assert f"--port {port}: taken" in result.stderr


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads memory from /proc")
def test_view_answers_100_at_a_time_without_an_error_in_flat_memory(tmp_path, make_mil_run):
    """A few seconds here; HAGE_VIEW_SECONDS=60 for the full minute. Neither all slides nor all tiles fit in memory."""
    run = make_mil_run(tmp_path, n_slides=6, width=3000, height=2200)
    zoom = DeepZoom(3000, 2200)
    paths = [
        f"/slides/s{slide}/{level}/{column}_{row}.jpg"
        for slide in range(6)
        for level in range(8, zoom.n_levels)
        for column in range(zoom.tiles(level)[0])
        for row in range(zoom.tiles(level)[1])
    ]
    with viewing(run) as (process, address):
        port = int(address.rstrip("/").rpartition(":")[2])
        answered, faults, until = [], [], time.monotonic() + SECONDS

        def ask(seed):
            rng = np.random.default_rng(seed)
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            count = 0
            try:
                while time.monotonic() < until:
                    connection.request("GET", paths[rng.integers(len(paths))])
                    answer = connection.getresponse()
                    body = answer.read()
                    if answer.status != 200 or body[:2] != b"\xff\xd8":
                        faults.append(answer.status)
                    count += 1
            except OSError as error:
                faults.append(repr(error))
            finally:
                connection.close()
            answered.append(count)

        threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(PARALLEL)]
        for thread in threads:
            thread.start()
        time.sleep(SECONDS / 2)
        half = resident_mib(process.pid)
        for thread in threads:
            thread.join()
        end = resident_mib(process.pid)
    logging.getLogger(__name__).info(
        "%d tiles in %g s, %.0f MiB half-way, %.0f MiB at the end", sum(answered), SECONDS, half, end
    )
    assert not faults
    assert len(answered) == PARALLEL
    assert min(answered) > 0
    assert end < half + 64


def resident_mib(pid):
    """Memory that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
