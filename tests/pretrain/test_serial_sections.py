"""Sections of one patient are laid over each other by image, and lend what they measured there."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from hage_transfer.pretrain.dataset import Spots
from hage_transfer.pretrain.serial_sections import Laid, add_serial, registered_places, serial_expression

SIDE = 14


def field(places):
    """Six smooth features and three genes of a place in the tissue, without any symmetry."""
    x, y = places.T / SIDE
    waves = [np.sin(5 * x + 1), np.cos(4 * y), np.sin(6 * (x + y)), x * y, np.cos(7 * x - 2 * y), (x - 0.3) ** 2]
    return np.stack(waves, 1), np.stack([np.sin(4 * x), np.cos(3 * y + 1), x - y], 1)


def spots_of(sections):
    """Sections as (name, patient, turn in degrees): the same tissue, cut and laid down anew."""
    rng, parts = np.random.default_rng(0), []
    for _name, _, turn in sections:
        grid = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE - 3)), -1).reshape(-1, 2).astype(float)
        features, genes = field(grid)
        c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        noise = 0.1 * rng.standard_normal(features.shape)
        parts.append((features + noise, genes + 0.5, 290 * grid @ np.array([[c, -s], [s, c]])))
    features, target, coords = (np.concatenate(part) for part in zip(*parts, strict=True))
    n = [len(part[0]) for part in parts]
    return Spots(
        features=features.astype(np.float32),
        counts=np.zeros(target.shape, dtype=np.float32),
        target=target.astype(np.float32),
        coords_px=coords,
        section=np.repeat(np.arange(len(n)), n),
        section_names=tuple(name for name, *_ in sections),
        patient=tuple(patient for _, patient, _ in sections),
        spot_names=tuple(map(str, range(sum(n)))),
    )


@pytest.mark.parametrize("turn", [0, 90, -30])
def test_a_turned_section_is_laid_back_and_lends_its_expression(turn):
    train, test = spots_of([("A1", "A", 0), ("B1", "B", 0)]), spots_of([("A2", "A", turn)])
    lent = serial_expression(train, test)
    for gene in range(3):
        assert np.corrcoef(lent[:, gene], test.target[:, gene])[0, 1] > 0.8


def test_registered_places_are_those_of_the_same_tissue():
    places = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE - 3)), -1).reshape(-1, 2).astype(float)
    places -= places.mean(0)
    axes = field(places + SIDE / 2)[0]
    turned = places @ np.array([[0.0, -1.0], [1.0, 0.0]]) * [-1, 1]
    found = registered_places(Laid(turned, axes), Laid(places, axes))
    assert np.median(np.linalg.norm(found - places, axis=1)) < 0.75
    assert cKDTree(places).query(found)[0].max() < 1.5


def test_another_patient_lends_nothing_and_no_section_lends_to_itself():
    train, test = spots_of([("A1", "A", 0), ("B1", "B", 0)]), spots_of([("C1", "C", 0)])
    assert not serial_expression(train, test).any()
    assert not serial_expression(train, train).any()
    known, asked = np.ones((len(train), 3), dtype=np.float32), np.ones((len(test), 3), dtype=np.float32)
    for before, after in zip((known, asked), add_serial(train, test, (known, asked), weight=0.5), strict=True):
        np.testing.assert_array_equal(before, after)


def test_counts_of_the_asked_spots_are_not_read():
    train, test = spots_of([("A1", "A", 0)]), spots_of([("A2", "A", 0)])
    before = serial_expression(train, test)
    test.target[:] = np.nan
    np.testing.assert_array_equal(serial_expression(train, test), before)
