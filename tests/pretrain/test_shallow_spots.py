import json
import logging

import numpy as np
import pytest

from hage_transfer.errors import DataError
from hage_transfer.pretrain.gene_choice import sections_for_genes
from hage_transfer.pretrain.inputs import fold_inputs, read_inputs
from hage_transfer.pretrain.run import pretrain
from hage_transfer.running.run_directory import RunDirectory


def with_min(config, value, **more):
    return config.model_copy(update={"data": config.data.model_copy(update={"min_counts": value}), **more})


def depths(config) -> dict[str, np.ndarray]:
    return {name: np.asarray(s.X.sum(1)).ravel() for name, s in read_inputs(config).sections.items()}


def test_spots_below_the_limit_neither_train_nor_are_scored(config, tmp_path, caplog):
    found = depths(config)
    least = int(np.median(np.concatenate(list(found.values()))))
    wanted = {name: int((one < least).sum()) for name, one in found.items()}
    caplog.set_level(logging.INFO)
    inputs = read_inputs(with_min(config, least))
    assert {name: s.n_obs + wanted[name] for name, s in inputs.sections.items()} == {
        n: len(d) for n, d in found.items()
    }
    data = fold_inputs(inputs, inputs.folds[0], with_min(config, least), run=tmp_path / "run").data("spot_log10")
    assert data.left_out == {name: count for name, count in wanted.items() if count}
    for spots in (data.train, data.test):
        assert (spots.counts.sum(1) >= least).all()  # the panel is all genes
    assert f"A2 {wanted['A2']}" in caplog.text
    genes = sections_for_genes(with_min(config, least), None, fold=None, training_only=False)
    assert [section.n_obs for section in genes.sections] == [s.n_obs for s in inputs.sections.values()]


@pytest.mark.parametrize("limit", [0, 1])
def test_a_limit_that_no_spot_misses_changes_no_array(config, tmp_path, limit):
    plain, limited = (read_inputs(one) for one in (config, with_min(config, limit)))
    assert plain.sha256 == limited.sha256
    assert not any("spots_below" in k and v for s in limited.sections.values() for k, v in
                   s.uns["section"]["mismatches"].items())  # fmt: skip


def test_a_limit_above_every_spot_is_refused_by_name(config):
    with pytest.raises(DataError, match=r"data.min_counts = 1000000 leaves no spot of section A2.*deepest has \d+"):
        read_inputs(with_min(config, 10**6))


def test_neighbours_keep_what_shallow_spots_show(config):
    """Features of context are of all spots; only the rows leave."""
    context = config.context.model_copy(update={"neighbours": 3})
    whole = read_inputs(with_min(config, 0, context=context)).sections["A2"]
    deep = read_inputs(with_min(config, 200, context=context)).sections["A2"]
    assert 0 < deep.n_obs < whole.n_obs
    np.testing.assert_array_equal(deep.obsm["features"], whole[deep.obs_names].obsm["features"])


@pytest.mark.slow
def test_records_and_card_say_how_many_spots_left(config, tmp_path):
    found = depths(config)
    least = int(np.quantile(np.concatenate(list(found.values())), 0.2))
    settings = with_min(config, least, trials=1, train=config.train.model_copy(update={"epochs": 1}))
    run = RunDirectory.open(tmp_path / "run", settings)
    results = pretrain(settings, read_inputs(settings), run, device="cpu")
    n_below = {name: int((one < least).sum()) for name, one in found.items()}
    sections = results.meta["sections"]
    assert {name: one["spots_below_min_counts"] for name, one in sections.items()} == n_below
    note = next(one for one in results.notes if "data.min_counts" in one)
    assert f"A2 {n_below['A2']} of {len(found['A2'])}" in note
    card = json.loads((run.path / "encoder" / "config.json").read_text())
    assert (card["min_counts"], card["spots_left_out"]) == (least, {n: c for n, c in n_below.items() if c})
    assert f"spots below {least} counts" in (run.path / "encoder" / "README.md").read_text()
