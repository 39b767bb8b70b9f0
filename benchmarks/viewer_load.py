"""The viewer under many clients while its run's folder is written anew: statuses, times and the server's memory.

python benchmarks/viewer_load.py --clients 100 --seconds 60
"""

import argparse
import http.client
import importlib.util
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

MAKER = Path(__file__).resolve().parents[1] / "tests" / "viewer" / "conftest.py"


def maker():
    """The module that makes the run of the viewer's tests."""
    spec = importlib.util.spec_from_file_location("viewer_run", MAKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def resident_mib(pid: int) -> float:
    """Memory of a process."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def ask(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of one request, on a connection of its own as a browser's may be."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def client(port: int, seed: int, until: float, seen: Counter, slowest: list[float]) -> None:
    """Opens the page, then slides, their tables and tiles at random, as somebody who looks around."""
    rng = random.Random(seed)
    while time.monotonic() < until:
        slide, level = f"s{rng.randrange(2)}", rng.randrange(9, 12)
        tile = f"/slides/{slide}/{level}/{rng.randrange(2)}_{rng.randrange(2)}.jpg"
        asked = ("", "/tissue", "/tiles?source=hage", "/boxes?source=hage", "/values?source=hage&gene=ERBB2")
        each = [f"/api/slides/{slide}{part}" for part in asked]
        begun = time.monotonic()
        try:
            status = ask(port, rng.choice(["/", "/api/run", tile, tile, tile, *each]))[0]
        except OSError as error:
            status = type(error).__name__
        slowest.append(time.monotonic() - begun)
        seen[status] += 1


def rewrite(run: Path, made, until: float, times: list[int]) -> None:
    """Writes the run's tables and results again and again: as `hage` does, and now and then in place."""
    files = [path for path in run.rglob("*") if path.suffix in (".csv", ".json", ".geojson", ".yaml")]
    while time.monotonic() < until:
        for number, path in enumerate(files):
            data = path.read_bytes()
            temporary = path.with_name(f".partial-000000000000-{path.name}")
            temporary.write_bytes(data)
            temporary.replace(path)
            if number % 3 == 0:
                path.write_bytes(data)
        for path in run.rglob("tiles.h5ad"):
            made.write_tiles(path.with_name("new.h5ad"), genes=made.GENES, seed=len(times))
            path.with_name("new.h5ad").replace(path)
        times.append(1)
        time.sleep(0.2)


def main() -> int:
    """Runs it and prints one line a figure; 1 where an answer was a 5xx or none."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    made = maker()
    with tempfile.TemporaryDirectory(prefix="viewer-") as folder:
        run = made.write_mil_run(Path(folder))
        code = "import sys; from hage_transfer.cli.main import main; main()"
        line = [sys.executable, "-c", code, "view", str(run), "--slides", f"{folder}/slides", "--no-browser"]
        server = subprocess.Popen([*line, "--port", "0"], stdout=subprocess.PIPE, text=True, env=os.environ)
        try:
            shown = next(found for text in server.stdout if (found := re.search(r"127\.0\.0\.1:(\d+)", text)))
            port, seen, slowest, times = int(shown[1]), Counter(), [], []
            print(json.dumps(json.loads(ask(port, "/api/run")[1]))[:200])
            until = time.monotonic() + given.seconds
            threads = [
                threading.Thread(target=client, args=(port, seed, until, seen, slowest))
                for seed in range(given.clients)
            ]
            threads.append(threading.Thread(target=rewrite, args=(run, made, until, times)))
            for thread in threads:
                thread.start()
            memory = []
            while time.monotonic() < until:
                time.sleep(given.seconds / 12)
                memory.append(round(resident_mib(server.pid)))
            for thread in threads:
                thread.join()
        finally:
            server.terminate()
            server.wait()
    slowest.sort()
    print(f"answers by status: {dict(seen)}; run written anew {len(times)} times")
    print(f"median {slowest[len(slowest) // 2]:.2f} s, 99th percentile {slowest[int(0.99 * len(slowest))]:.2f} s")
    print(f"memory of the server, MiB, every {given.seconds / 12:.0f} s: {memory}")
    return int(any(not isinstance(status, int) or status >= 500 for status in seen))


if __name__ == "__main__":
    sys.exit(main())
