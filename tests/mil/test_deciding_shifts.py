"""A slide's own chance: the pattern of deciding tiles moved as a whole."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from hage_transfer.mil.deciding_genes import deciding_tiles
from hage_transfer.mil.deciding_shifts import MIN_SHIFTS, Shifted, shift_p_values, shifted_patterns

SIDE = 24


def grid(side=SIDE, step=224):
    y, x = np.divmod(np.arange(side * side), side)
    return np.stack([x, y], axis=1) * step


def fields(number, seed, *, width=2.5):
    rng = np.random.default_rng(seed)
    return np.stack([gaussian_filter(rng.normal(size=(SIDE, SIDE)), width, mode="wrap").ravel() for _ in range(number)])


def top_of(field):
    scores = np.exp(field / field.std())
    return deciding_tiles(scores / scores.sum(), share=0.1)


def test_shifted_patterns_are_translations_of_the_pattern():
    deciding = top_of(fields(1, 0)[0])
    square = deciding.reshape(SIDE, SIDE)
    every = {np.roll(square, (down, right), (0, 1)).tobytes() for down in range(SIDE) for right in range(SIDE)}
    shifted = shifted_patterns(grid(), deciding, number=50)
    assert len(shifted.masks) == 50
    assert all(mask.tobytes() in every for mask in shifted.masks)
    assert not any(np.array_equal(mask, deciding) for mask in shifted.masks)


def test_shifted_patterns_see_the_grid_through_rounded_corners():
    deciding = top_of(fields(1, 0)[0])
    rounded = np.floor(grid(step=443.2) + 0.5)
    np.testing.assert_array_equal(shifted_patterns(rounded, deciding).masks, shifted_patterns(grid(), deciding).masks)


def test_shifts_off_the_tissue_are_left_out():
    coords = grid()
    tissue = (coords[:, 0] < 224 * SIDE / 2) | (coords[:, 1] < 224 * SIDE / 2)
    deciding = top_of(fields(1, 1)[0])[tissue]
    shifted = shifted_patterns(coords[tissue], deciding, number=400)
    assert MIN_SHIFTS <= len(shifted.masks) <= 400
    assert shifted.masks.sum(1).min() >= deciding.sum() / 2


def test_p_values_hold_for_smooth_fields_where_shuffled_tiles_do_not():
    rng = np.random.default_rng(5)
    shifted_p, shuffled_p = [], []
    for seed in range(12):
        values = fields(31, seed)
        deciding, genes = top_of(values[0]), values[1:]
        shifted_p.append(shift_p_values(genes, deciding, shifted_patterns(grid(), deciding, seed=seed)))
        shuffled = Shifted(np.stack([rng.permutation(deciding) for _ in range(99)]))
        shuffled_p.append(shift_p_values(genes, deciding, shuffled))
    assert (np.concatenate(shifted_p) <= 0.05).mean() < 0.12
    assert (np.concatenate(shuffled_p) <= 0.05).mean() > 0.4


def test_p_is_smallest_for_a_gene_that_lies_where_the_tiles_decided():
    deciding = top_of(fields(1, 0)[0])
    shifted = shifted_patterns(grid(), deciding)
    assert shift_p_values(deciding[None].astype(float), deciding, shifted)[0] == pytest.approx(1 / 200)


def test_few_tiles_give_no_p_and_say_why():
    deciding = np.array([True, False, False, False])
    shifted = shifted_patterns(grid(2), deciding)
    assert "3 shifts" in shifted.reason
    assert np.isnan(shift_p_values(np.ones((2, 4)), deciding, shifted)).all()
