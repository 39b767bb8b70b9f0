import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hage_transfer.data.spot_grid import grid_positions, nearest_spots, spot_pitch


def square(side: int, *, pitch_px: float = 256.0) -> np.ndarray:
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    return pitch_px * np.stack([x.ravel(), y.ravel()], axis=1).astype(float)


def test_grid_positions_undo_pitch_origin_and_jitter():
    jitter = np.random.default_rng(0).uniform(-25, 25, size=(1225, 2))
    positions = grid_positions(square(35) + 1234.5 + jitter)
    np.testing.assert_array_equal(positions, square(35, pitch_px=1.0))


def test_inner_spots_of_a_square_grid_have_their_four_sides():
    neighbours = nearest_spots(square(5), k=4)
    assert set(neighbours[12]) == {7, 11, 13, 17}


def test_neighbours_past_the_reach_are_cut():
    coords = np.array([[0.0, 0], [100, 0], [200, 0], [300, 0], [5000, 0]])
    neighbours = nearest_spots(coords, k=4)
    assert set(neighbours[0]) == {1, 2, -1}
    assert neighbours[4].tolist() == [4, -1, -1, -1]


def test_one_spot_is_its_own_neighbour_at_the_origin():
    coords = np.array([[812.0, 93.0]])
    assert nearest_spots(coords, k=4).tolist() == [[0, -1, -1, -1]]
    assert grid_positions(coords).tolist() == [[0, 0]]
    assert spot_pitch(coords) == 1.0


@given(st.integers(0, 2**32 - 1))
def test_neighbours_do_not_depend_on_the_order_of_spots(seed: int):
    rng = np.random.default_rng(seed)
    coords = square(6)[rng.permutation(36)[:25]]
    order = rng.permutation(25)
    place = np.append(np.argsort(order), -1)  # old row -> new row; -1 stays
    expected = np.sort(place[nearest_spots(coords, k=4)[order]], axis=1)
    np.testing.assert_array_equal(np.sort(nearest_spots(coords[order], k=4), axis=1), expected)
