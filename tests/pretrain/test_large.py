"""A run whose arrays are made by rows and lie on disk has the scores of one that holds them."""

from pathlib import Path

import pytest
from sampled import sampled

from hage_transfer.pretrain import growing_array, made_rows, set_aside
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.pretrain.inputs import read_inputs
from hage_transfer.pretrain.run import pretrain
from hage_transfer.running.run_directory import RunDirectory

EXACT = ("hage", "hage_averaged", "all_zero", "gene_mean", "spot_depth")
"""Sources of which nothing is chosen, or fitted, on some of the spots alone."""


def scores(config: PretrainConfig, out: Path) -> dict[tuple, float | None]:
    results = pretrain(config, read_inputs(config), RunDirectory.open(out, config), device="cpu")
    return {(r.source, r.metric, r.section, r.trial): r.value for r in results.records if r.fold == "A"}


@pytest.mark.parametrize("controls", sampled(["none", "all"], "none"))
def test_a_run_on_arrays_made_by_rows_has_the_scores_of_one_in_memory(config, tmp_path, monkeypatch, controls):
    split, train = config.split.model_copy(update={"held_out": ("A",)}), config.train.model_copy(update={"epochs": 2})
    settings = config.model_copy(update={"trials": 1, "split": split, "train": train, "controls": controls})
    whole = scores(settings, tmp_path / "whole")
    monkeypatch.setattr(growing_array, "IN_MEMORY_BYTES", 100)
    monkeypatch.setattr(set_aside, "_WAITING_BYTES", 1)
    monkeypatch.setattr(made_rows, "ENTRIES", 2000)  # of 5,120 of the training spots
    monkeypatch.setattr(made_rows.in_parts, "__kwdefaults__", {"most": 40 * 30})
    by_rows = scores(settings, tmp_path / "rows")
    assert by_rows.keys() == whole.keys()
    for key, value in whole.items():
        if key[0] in EXACT:
            assert by_rows[key] == pytest.approx(value, rel=1e-5, abs=1e-7), key
