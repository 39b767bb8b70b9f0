import numpy as np
import pytest
from pytest import approx

from hage_transfer.viewer import cohort_range
from hage_transfer.viewer.cohort_range import CohortRanges
from hage_transfer.viewer.layer import Layer


@pytest.fixture
def paths(tmp_path, make_tiles):
    found = [tmp_path / f"{name}.h5ad" for name in "abc"]
    for seed, path in enumerate(found):
        make_tiles(path, genes=["ESR1"], seed=seed)
    return found


def test_a_range_goes_on_where_its_time_was_up(paths, monkeypatch):
    read, really = [], cohort_range.read_tile_table
    monkeypatch.setattr(cohort_range, "read_tile_table", lambda path: read.append(path) or really(path))
    ranges, layer = CohortRanges(), Layer("gene", "ESR1")
    assert ranges.of(paths, layer, {}, budget_s=0).n_read == 1
    found = ranges.of(paths, layer, {}, budget_s=60)
    assert (found.n_read, found.n_with) == (3, 3)
    assert read == paths  # each once
    low, high = (float(np.quantile([-1, 1], share)) for share in (0, 1))
    assert found.low < low < high < found.high  # of standard normal values


def test_a_slide_without_the_layer_or_that_is_damaged_is_left_out(paths, make_tiles):
    make_tiles(paths[0], genes=[])
    paths[1].write_bytes(b"no table")
    found = CohortRanges().of(paths, Layer("gene", "ESR1"), {}, budget_s=60)
    assert (found.n_with, found.n_read, found.n_slides) == (1, 3, 3)
    assert CohortRanges().of(paths[1:2], Layer("column", "attention"), {}, budget_s=60).low is None
    assert CohortRanges().of(paths, Layer("column", "percentile"), {}, budget_s=60).high == approx(100)
