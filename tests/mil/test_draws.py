"""Draws of a visit's tiles: how many, which, and that they change."""

import numpy as np
import pytest
import torch

from hage_transfer.mil.draws import Dropout, epoch_order, generator_of, kept_tiles, n_kept_tiles


def kept(n_tiles, *, seed=0, share_dropped=0.0, most=None):
    n_kept = n_kept_tiles(n_tiles, share_dropped=share_dropped, most=most)
    return kept_tiles(n_tiles, n_kept, generator=generator_of(seed, 0, 0))


@pytest.mark.parametrize(("share", "most", "wanted"), [(0.25, None, 75), (0.0, 30, 30), (0.5, 80, 50), (0.999, 7, 1)])
def test_kept_tiles_are_so_many_different_ones_in_order(share, most, wanted):
    tiles = kept(100, share_dropped=share, most=most)
    assert len(tiles) == wanted
    assert (np.diff(tiles) > 0).all()
    assert 0 <= tiles[0] <= tiles[-1] < 100


def test_kept_tiles_are_all_of_a_bag_of_few():
    assert kept(30, most=30) is None


def test_kept_tiles_leave_no_tile_of_the_bag_out_for_good():
    seen = np.zeros(50, dtype=int)
    for seed in range(200):
        seen[kept(50, seed=seed, most=10)] += 1
    assert seen.min() > 15  # 40 expected, std 5.7
    assert seen.max() < 65


def test_epoch_order_of_some_slides_is_that_of_all():
    every = [f"s{number}" for number in range(40)]
    some = every[30:4:-3]
    of_all = [every[place] for place in epoch_order(every, seed=1, epoch=2)]
    assert [some[place] for place in epoch_order(some, seed=1, epoch=2)] == [name for name in of_all if name in some]


def test_epoch_order_puts_every_slide_in_every_place():
    places = np.array([np.argsort(epoch_order("abcde", seed=0, epoch=epoch)) for epoch in range(500)])
    counts = np.stack([np.bincount(column, minlength=5) for column in places.T])
    assert counts.min() > 60  # 100 expected, std 9
    assert counts.max() < 140


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5])
def test_dropout_keeps_its_share_of_each_layer_and_follows_its_seed(p):
    first, again, other = (Dropout.draw({"a": 33, "b": 33}, 3001, p=p, seed=seed) for seed in (1, 1, 2))
    kept = first.kept(slice(None), torch.device("cpu"))
    for factors in kept.values():  # 99,033 units: five standard errors are 0.008 at most
        assert factors.shape == (3001, 33)
        assert float((factors > 0).float().mean()) == pytest.approx(1 - p, abs=0.008)
        assert float((factors > 0).float().mean(dim=0).sub(1 - p).abs().max()) < 0.05
        torch.testing.assert_close(factors.unique(), torch.tensor([0, 1 / (1 - p)]), rtol=1e-4, atol=0)
    assert all(torch.equal(first.masks[name], again.masks[name]) for name in "ab")
    both = torch.stack([first.masks["a"], first.masks["b"], other.masks["a"]]).flatten(1).float()
    assert torch.corrcoef(both).fill_diagonal_(0).abs().max() < 0.02
