import numpy as np
import pytest

from hage_transfer.data.spot_context import spot_context

GRID = np.stack(np.meshgrid(np.arange(5), np.arange(4)), axis=-1).reshape(-1, 2) * 290.0
ROWS = np.random.default_rng(0).normal(3, 2, (20, 6)).astype(np.float32)


def test_context_of_nothing_is_the_features():
    np.testing.assert_array_equal(spot_context(ROWS, GRID), ROWS)


def test_neighbours_of_an_inner_spot_are_the_ring_around_it():
    inner = 1 * 5 + 2
    ring = [r * 5 + c for r in (0, 1, 2) for c in (1, 2, 3) if (r, c) != (1, 2)]
    context = spot_context(ROWS, GRID, neighbours=8)
    np.testing.assert_allclose(context[inner, 6:], ROWS[ring].mean(0), rtol=1e-5)
    np.testing.assert_array_equal(context[:, :6], ROWS)


def test_neighbours_of_a_corner_leave_out_what_is_far():
    np.testing.assert_allclose(spot_context(ROWS, GRID, neighbours=8)[0, 6:], ROWS[[1, 5, 6]].mean(0), rtol=1e-5)


def test_a_spot_alone_is_its_own_neighbour():
    far = np.concatenate([GRID, [[1e6, 1e6]]])
    rows = np.concatenate([ROWS, ROWS[:1] + 1])
    np.testing.assert_array_equal(spot_context(rows, far, neighbours=8)[-1, 6:], rows[-1])
    np.testing.assert_array_equal(spot_context(rows[:1], far[:1], neighbours=8)[0, 6:], rows[0])


@pytest.mark.parametrize("scale", [0.1, 40.0])
def test_neighbours_do_not_depend_on_the_unit_of_coordinates(scale):
    np.testing.assert_array_equal(
        spot_context(ROWS, GRID * scale, neighbours=8), spot_context(ROWS, GRID, neighbours=8)
    )


def test_standardised_sections_forget_their_stain():
    stained = ROWS * np.float32(1.7) + np.float32(0.4)
    plain, other = (spot_context(rows, GRID, standardise=True) for rows in (ROWS, stained))
    np.testing.assert_allclose(plain, other, atol=1e-4)
    np.testing.assert_allclose(plain.mean(0), 0, atol=1e-5)
    assert not spot_context(np.ones((4, 2)), GRID[:4], standardise=True).any()
