"""Compared systems on a device that mixes with no other: whole fits, backward included, and equal to the CPU."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from pretend_device import DEVICE, PretendDevice
from pretend_training import accept_the_device, waits_of_steps

from hage_transfer.pretrain.methods.registry import METHODS

NAMES = ("stnet", "histogene", "hist2st_graph", "thitogene_graph", "bleep", "mclstexp")
STYLES = ("triplex_style", "deepspot_style", "stpath_style")
SMALL = {"width": 16, "depth": 1, "n_heads": 2, "min_steps": 2}
OF_SECTIONS = dict.fromkeys(("histogene", "hist2st_graph", "thitogene_graph", *STYLES), SMALL)


@pytest.mark.parametrize("name", (*NAMES, *STYLES))
def test_a_system_trains_on_the_device_as_on_the_cpu_and_waits_once_a_step(name, make_task, monkeypatch):
    accept_the_device(monkeypatch)
    task, fit = make_task(), partial(METHODS[name].fit, **OF_SECTIONS.get(name, {}))
    with PretendDevice() as device, waits_of_steps(device) as steps:
        there = fit(replace(task, device=DEVICE))
    here = fit(task)
    assert len(steps) > 1
    assert max(map(len, steps[1:])) <= 1, max(steps[1:], key=len)  # the first comes after Lightning's beginning
    assert here.validation_pcc == pytest.approx(there.validation_pcc, abs=1e-4)
    np.testing.assert_allclose(there.test, here.test, atol=1e-4)
