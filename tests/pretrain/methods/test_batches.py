from collections.abc import Callable

import numpy as np
import pytest

from hage_transfer.errors import ConfigError
from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.methods.batches import lay_sections, row_loader, section_loader, spot_grid


def test_neighbours_never_cross_sections(sections: Callable[..., Spots]):
    spots = sections([30, 20, 1], seed=0, names=["A1", "A2", "B1"])  # the sections' coordinates coincide
    for laid in lay_sections(spots):
        joined = laid.rows[laid.neighbours[laid.neighbours >= 0]]
        assert len(set(spots.section[laid.rows])) == 1
        assert set(spots.section[joined]) == set(spots.section[laid.rows])


def test_a_section_past_the_limit_is_refused_by_name(sections: Callable[..., Spots]):
    spots = sections([8, 12], seed=0, names=["A1", "A2"])
    with pytest.raises(ConfigError, match=r"section A2 has 12 spots, more than the 10"):
        lay_sections(spots, limit=10)


def test_section_batches_score_the_given_rows_and_see_all_spots(sections: Callable[..., Spots]):
    spots = sections([8, 12, 5], seed=0, names=["A1", "A2", "B1"])
    rows = np.array([1, 3, 21, 22])
    batches = list(section_loader(spots, lay_sections(spots), rows, seed=None))
    assert [len(batch.target) for batch in batches] == [8, 5]  # a section without such rows gives no step
    assert [batch.scored.nonzero().ravel().tolist() for batch in batches] == [[1, 3], [1, 2]]


def test_few_sections_are_repeated_to_the_least_number_of_steps(sections: Callable[..., Spots]):
    spots = sections([4, 6], seed=0, names=["A1", "A2"])
    loader = section_loader(spots, lay_sections(spots), np.arange(10), seed=0, min_steps=7)
    sizes = [len(batch.target) for batch in loader]
    assert len(sizes) == 7
    assert abs(sizes.count(4) - sizes.count(6)) <= 1


def test_random_batches_hold_every_row_once(sections: Callable[..., Spots]):
    spots = sections([30], seed=0, names=["A1"])
    rows = np.arange(3, 25)
    loader = row_loader(spots, rows, spot_grid(spots), batch_size=8, seed=1)
    seen = np.concatenate([batch.inputs.features.numpy() for batch in loader])
    np.testing.assert_array_equal(seen[np.lexsort(seen.T)], spots.features[rows][np.lexsort(spots.features[rows].T)])
