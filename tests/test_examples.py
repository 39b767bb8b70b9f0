"""Every example in the docstrings of the public interface runs and gives what it says."""

import doctest
import importlib.util
import inspect
import pkgutil

import pytest

import hage_transfer

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(hage_transfer.__path__, "hage_transfer.")
    if ">>> " in (importlib.util.find_spec(module.name).loader.get_source(module.name) or "")
)
WITHOUT = {"__version__", "ExpressionModel", "Difference", "open_slide", "read_sections"}
"""Exported names without an example of their own: a text, what training or a function of ours makes, and readers of
files that a docstring has no room for."""
STAGES = {name for name, home in hage_transfer._HOMES.items() if home == f"door.{name}" and name != "read_results"}
"""Functions of a stage, which the notebook runs."""


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name):
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried
    assert not failed


@pytest.mark.parametrize("name", sorted(set(hage_transfer.__all__) - WITHOUT - STAGES))
def test_an_exported_name_has_an_example_that_is_run(name):
    public = getattr(hage_transfer, name)
    if isinstance(public, type) and issubclass(public, hage_transfer.HageError):
        return
    assert ">>>" in (inspect.getdoc(public) or "")
    assert public.__module__ in MODULES


@pytest.mark.parametrize(
    "module", ["hage_transfer.compare.genes", "hage_transfer.compare.bootstrap", "hage_transfer.pretrain.losses"]
)
def test_every_function_of_metrics_and_losses_has_an_example(module):
    functions = inspect.getmembers(importlib.import_module(module), inspect.isfunction)
    own = [one for name, one in functions if one.__module__ == module and not name.startswith("_")]
    assert own
    assert [one.__name__ for one in own if ">>>" not in (one.__doc__ or "")] == []
