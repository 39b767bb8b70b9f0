import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hage_transfer.data.sections.grid import spacing_px


def grid(n: int = 8) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(n), np.arange(n)), axis=-1).reshape(-1, 2).astype(float)


@given(pitch=st.floats(1, 1e4))
def test_spacing_of_a_square_grid_is_its_pitch(pitch):
    assert spacing_px(grid() * pitch) == pytest.approx(pitch)


def test_spacing_of_a_hexagonal_grid_is_its_pitch():
    hexagonal = grid() * [1, np.sqrt(3) / 2]
    hexagonal[:, 0] += (grid()[:, 1] % 2) / 2
    assert spacing_px(hexagonal * 138) == pytest.approx(138)


@given(seed=st.integers(0, 2**32 - 1))
def test_spacing_is_not_biased_by_spots_that_stray(seed):
    rng = np.random.default_rng(seed)
    assert spacing_px(grid(16) * 290 + rng.normal(scale=10, size=(256, 2))) == pytest.approx(290, rel=0.02)


def test_spacing_survives_holes_in_the_grid():
    kept = np.random.default_rng(0).permutation(64)[:40]
    assert spacing_px(grid()[kept] * 100) == pytest.approx(100)


def test_spacing_of_one_spot_is_unknown():
    assert np.isnan(spacing_px(np.zeros((1, 2))))
