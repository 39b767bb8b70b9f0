"""Areas of rings as viewers draw them, by OGC's rules: what touches is kept, what crosses is named."""

import json

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from hage_transfer.slides.geojson import write_geojson
from hage_transfer.slides.polygons import fill_pieces
from hage_transfer.slides.survey import level0_pieces
from hage_transfer.slides.tissue import TissueMask
from hage_transfer.slides.valid_polygons import crossing_of, valid_pieces

SQUARE = [[0, 0], [8, 0], [8, 8], [0, 8]]
TOUCHING = {
    "two triangles that meet in a point": ([[0, 0], [8, 0], [4, 4], [8, 8], [0, 8], [4, 4]], 32),
    "a hole that hangs on the outline": ([*SQUARE[:3], [4, 8], [6, 4], [2, 4], [4, 8], [0, 8]], 56),
    "a point twice": ([[0, 0], [8, 0], [8, 0], [8, 8], [0, 8]], 64),
    "a spike": ([[0, 0], [8, 0], [12, 0], [8, 0], [8, 8], [0, 8]], 64),
    "a square": (SQUARE, 64),
}
CROSSING = {
    "a bow tie": [[0, 0], [8, 8], [8, 0], [0, 8]],
    "a bow tie with a point where it crosses": [[0, 0], [4, 4], [8, 8], [8, 0], [4, 4], [0, 8]],
    "a square that is run around twice": [*SQUARE, *SQUARE],
    "a loop that runs over its own inside": [[0, 0], [8, 0], [8, 8], [4, 8], [4, 4], [7, 4], [7, 12], [0, 12]],
}


def area(pieces):
    for outer, *holes in pieces:
        assert shapely.Polygon(outer, holes).is_valid
    return sum(shapely.Polygon(outer, holes).area for outer, *holes in pieces)


@pytest.mark.parametrize("name", TOUCHING)
def test_a_ring_that_touches_itself_has_the_area_it_winds_around(name):
    ring, right = TOUCHING[name]
    assert crossing_of(np.array(ring, float)) is None
    assert area(valid_pieces(np.array(ring, float), [])) == right


@pytest.mark.parametrize("name", CROSSING)
def test_a_ring_that_crosses_itself_is_found(name):
    assert crossing_of(np.array(CROSSING[name], float)) is not None


@pytest.mark.parametrize(
    ("holes", "right"),
    [
        ([[[2, 2], [4, 2], [4, 4], [2, 4]]], 60),
        ([[[4, 4], [12, 4], [12, 12], [4, 12]]], 48),  # sticks out
        ([[[20, 20], [22, 20], [22, 22], [20, 22]]], 64),  # lies outside
        ([[[2, 2], [4, 2], [4, 4], [2, 4]], [[3, 3], [5, 3], [5, 5], [3, 5]]], 57),  # overlap
        ([[[0, 3], [8, 3], [8, 5], [0, 5]]], 48),  # cuts it in two
        ([[[0, 2], [2, 2], [2, 4], [0, 4]]], 60),  # runs along the outline
        ([SQUARE], 0),
    ],
)
def test_holes_take_away_and_never_add(holes, right):
    assert area(valid_pieces(np.array(SQUARE, float), [np.array(hole, float) for hole in holes])) == right


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), share=st.floats(0.1, 0.9), scale=st.floats(0.3, 64.0))
def test_every_polygon_that_is_written_is_valid_and_fills_the_mask(tmp_path_factory, seed, share, scale):
    mask = np.random.default_rng(seed).random((18, 23)) < share
    path = tmp_path_factory.mktemp("written") / "s.geojson"
    write_geojson(path, level0_pieces(TissueMask(mask, scale, scale * 1.01)))
    rings = []
    for feature in json.loads(path.read_text())["features"]:
        assert shapely.from_geojson(json.dumps(feature["geometry"])).is_valid
        rings.append([np.array(ring[:-1]) / (scale, scale * 1.01) for ring in feature["geometry"]["coordinates"]])
    np.testing.assert_array_equal(fill_pieces(rings, height_px=18, width_px=23), mask)
