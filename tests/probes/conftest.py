"""Probes are tested on one thread, as their jobs run."""

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Small products on several threads cost more than they save, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
