import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import shape_checks
from sketching import sketching

shape_checks.install()
sys.dont_write_bytecode = False  # compiled once, tests and all: it is half of what collecting takes, in each process
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # `make test &`, nohup: children would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # test workers share the cores, and their products are small
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    gc.disable()  # modules and tests stay to the end: no search for garbage walks through them, now or later
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)  # Lightning's: no command that trains leaves it set


def pytest_runtest_setup() -> None:
    shape_checks.calls.clear()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real data files (HAGE_TEST_DATA, or ../shared/data beside the project); skips where it is absent."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("HAGE_TEST_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set HAGE_TEST_DATA to the folder that holds her2st, genes, slides, ...")
    return folder


@pytest.fixture
def sketched() -> Iterator[None]:
    """Pages have no figures; see ``sketching``."""
    with sketching():
        yield


@pytest.fixture
def wrong_shapes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Lets a test give a wrong shape on purpose: what it wants to meet is the function's own refusal."""
    shape_checks.paused.append(request.node.nodeid)
    yield
    shape_checks.paused.pop()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a text file by name and content."""

    def write(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write
