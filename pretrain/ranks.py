"""One trial on several devices: a process for each, which Lightning's data-parallel strategy joins."""

import os
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch
from joblib.externals.loky import ProcessPoolExecutor
from torch import distributed

from hage_transfer.errors import ConfigError, HageError


def check_devices(device: str, n_devices: int) -> None:
    """Refuses more devices than the machine has from ``device`` on.

    Raises:
        ConfigError: too few of them; CPUs count as processes, of which there may be any number.
    """
    kind, _, first = device.partition(":")
    here = {"cpu": n_devices, "cuda": torch.cuda.device_count() - int(first or 0)}.get(kind, 1)
    if here < n_devices:
        raise ConfigError(
            f"train.devices = {n_devices} on --device {device}: this machine has {here} from there on; lower it, or "
            "name another --device"
        )


def on_ranks(n_devices: int, run: Callable[..., None], *arguments: Any) -> None:
    """Runs ``run(rank, *arguments)`` in ``n_devices`` processes that can find each other.

    Args:
        n_devices: how many; ranks are 0, 1, ...
        run: a function of a module.
        arguments: picklable, the same for all.

    Raises:
        HageError: one of the processes was killed. What else one of them raises ends all of them and is raised.
    """
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # on a free port of its own
    pool = ProcessPoolExecutor(max_workers=n_devices)
    try:
        futures = [pool.submit(_run_rank, rank, n_devices, store.port, run, arguments) for rank in range(n_devices)]
        for future in wait(futures, return_when=FIRST_EXCEPTION).done:
            future.result()
    except BrokenProcessPool:
        raise HageError(f"one of the {n_devices} processes that trained together was killed; run again") from None
    finally:
        pool.shutdown(wait=True, kill_workers=True)


def _run_rank(rank: int, n_devices: int, port: int, run: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    # As a launcher of distributed jobs would set them. The store is there already, so rank 0 is not to open one.
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": str(n_devices)}
    try:
        run(rank, *arguments)
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()
