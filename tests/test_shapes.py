"""The shape annotations run: this guards the guard (``tests/plugins/shape_checks.py``)."""

import importlib
import os
import pkgutil
import sys

import numpy as np
import pytest
import shape_checks
from beartype.roar import BeartypeCallHintViolation

import hage_transfer
from hage_transfer.errors import DataError


@pytest.mark.parametrize("before", [0, 19])
def test_shapes_of_the_package_are_checked_in_the_first_calls_of_each_test(before):
    from hage_transfer.compare.genes import mse

    for _ in range(before):
        assert mse(np.zeros((3, 2)), np.ones((3, 2))) == 1
    with pytest.raises(BeartypeCallHintViolation, match="dimension gene is 4"):
        mse(np.zeros((3, 2)), np.ones((3, 4)))


def test_shapes_are_checked_in_as_many_calls_as_said_and_in_ci_in_all(monkeypatch):
    from hage_transfer.compare.genes import mse

    assert shape_checks.most_calls == (sys.maxsize if os.environ.get("CI") else 20)
    monkeypatch.setattr(shape_checks, "most_calls", 1)
    mse(np.zeros((3, 2)), np.ones((3, 2)))
    with pytest.raises(DataError, match="have shapes"):  # its own refusal
        mse(np.zeros((3, 2)), np.ones((3, 4)))


def test_a_wrong_return_value_or_field_is_met_too():
    from hage_transfer.compare.splits import Fold
    from hage_transfer.data.spot_context import spot_context

    with pytest.raises(BeartypeCallHintViolation, match="train"):
        Fold("0", np.zeros(3), np.zeros(2, dtype=np.int64))
    assert spot_context(np.zeros((3, 2), np.float64), np.zeros((3, 2))).dtype == np.float32


def test_the_modules_hold_hundreds_of_functions_whose_shapes_run():
    for module in pkgutil.walk_packages(hage_transfer.__path__, "hage_transfer."):
        importlib.import_module(module.name)
    assert len(shape_checks.checked) > 450
