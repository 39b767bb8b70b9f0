"""The space of training features: what one call of all parts but one says is what a fit of their rows says."""

import numpy as np
import pytest

from hage_transfer.apply.cohort import FeatureSpace


@pytest.mark.parametrize(("n", "width"), [(40, 16), (300, 90), (30, 80)])
def test_a_space_without_a_part_is_that_of_the_others(n, width):
    random = np.random.default_rng(n)
    rows = (random.normal(size=(n, width)) @ random.normal(size=(width, width)) + 50).astype(np.float32)
    rows[:, 3] = 7
    parts = np.array_split(rows, 5)
    for number, space in enumerate(FeatureSpace.fit_without(parts)):
        others = np.concatenate(parts[:number] + parts[number + 1 :]).astype(np.float64)
        np.testing.assert_allclose(space.mean, others.mean(axis=0))
        std = others.std(axis=0)
        np.testing.assert_allclose(space.scale, np.where(std > 0, std, np.inf))
        scaled = (others - others.mean(axis=0)) / space.scale
        np.testing.assert_allclose((scaled @ space.axes.T).var(axis=0, ddof=1), space.variances, rtol=1e-6)
        assert space(others) == pytest.approx(FeatureSpace.fit(others)(others))
        assert space(parts[number] + 100) > 2 * space(others)
