"""Rows of an image see each other, as a section's spots do, and none of other images."""

import numpy as np
import pytest
import torch
from feature_meta import feature_meta

from hage_transfer.data.feature_file import Features
from hage_transfer.data.spot_grid import grid_positions, nearest_spots
from hage_transfer.models.blocks import Standardise
from hage_transfer.models.section_encoders import GraphAttentionEncoder, HisToGeneEncoder, SageEncoder

META = feature_meta("set", encoder="uni", encoder_sha256="abc", config_sha256="hash")
COORDS = 224 * np.stack([np.arange(12) % 4, np.arange(12) // 4], axis=1)
ROWS = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)
CLASSES = [HisToGeneEncoder, SageEncoder, GraphAttentionEncoder]


def make(cls, *, n_positions=64):
    torch.manual_seed(0)
    return cls(Standardise(torch.randn(9, 6)), 6, n_positions=n_positions, width=16, depth=1, n_heads=2).eval()


def of(rows, coords, keys=None):
    return Features(rows, None if keys is None else np.array(keys), coords, META)


@pytest.mark.parametrize("cls", CLASSES)
def test_a_file_of_one_image_is_embedded_as_a_section(cls):
    encoder = make(cls)
    places = (grid_positions(COORDS.astype(float)), nearest_spots(COORDS.astype(float), k=4))
    with torch.inference_mode():
        wanted = encoder(*map(torch.from_numpy, (ROWS, *places)))
    np.testing.assert_array_equal(encoder.embed(of(ROWS, COORDS)), wanted.numpy())


@pytest.mark.parametrize("cls", CLASSES)
def test_tiles_of_a_patch_set_see_those_of_their_own_image_alone(cls):
    encoder = make(cls)
    order = np.random.default_rng(1).permutation(24)
    keys = np.array([f"{name}.tif#{x}_{y}" for name in "ab" for x, y in COORDS])
    rows, coords = np.concatenate([ROWS, 2 - ROWS]), np.concatenate([COORDS, COORDS])
    both = encoder.embed(of(rows[order], coords[order], keys[order]))
    own = np.concatenate([encoder.embed(of(part, COORDS)) for part in (ROWS, 2 - ROWS)])
    np.testing.assert_allclose(both, own[order], atol=1e-5)


@pytest.mark.parametrize("cls", CLASSES)
def test_patches_without_places_are_each_alone(cls):
    encoder = make(cls)
    together = encoder.embed(of(ROWS, None, [str(k) for k in range(12)]))
    np.testing.assert_allclose(together[3:4], encoder.embed(of(ROWS[3:4], COORDS[:1])), atol=1e-5)


def test_an_image_wider_than_the_position_table_is_taken_in_windows():
    encoder = make(HisToGeneEncoder, n_positions=2)
    found, left = encoder.embed(of(ROWS, COORDS)), (COORDS // 448 == 0).all(axis=1)
    np.testing.assert_allclose(found[left], encoder.embed(of(ROWS[left], COORDS[left])), atol=1e-5)
