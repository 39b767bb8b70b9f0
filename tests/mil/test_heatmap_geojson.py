"""Attention as QuPath reads it: see its documentation of GeoJSON, and slides/geojson.py for tissue."""

import json

import numpy as np
import pytest
import shapely

from hage_transfer.mil.heatmap_geojson import write_attention_geojson

CORNERS = np.array([[0, 0], [443, 0], [0, 443], [443, 443]])
MEASURED = {"attention": np.array([0.1, 0.2, 0.3, 0.4]), "probability x": np.array([0.5, np.nan, 0.1, 1.0])}


@pytest.fixture
def features(tmp_path):
    def write(**options):
        path = tmp_path / "attention.geojson"
        values = {"percentile": np.array([0.0, 9.99, 55.0, 100.0]), "measurements": MEASURED}
        write_attention_geojson(path, CORNERS, (443.2, 443.2), colour=lambda p: (int(p), 0, 1), **{**values, **options})
        tree = json.loads(path.read_text())
        assert tree["type"] == "FeatureCollection"
        return tree["features"]

    return write


def test_geojson_has_a_closed_rectangle_a_tile_in_their_order(features):
    found = features()
    assert len(found) == 4
    for feature, (x, y) in zip(found, CORNERS.tolist(), strict=True):
        (ring,) = feature["geometry"]["coordinates"]
        assert feature["geometry"]["type"] == "Polygon"
        assert ring[0] == ring[-1] == [x, y]
        assert ring[2] == [pytest.approx(x + 443.2), pytest.approx(y + 443.2)]
        assert shapely.Polygon(ring).is_valid


def test_geojson_names_type_class_colour_and_measurements_as_qupath_does(features):
    properties = features()[3]["properties"]
    assert properties["objectType"] == "tile"
    assert properties["classification"] == {"name": "attention 90-100%", "color": [95, 0, 1]}
    assert properties["measurements"] == {"attention": 0.4, "probability x": 1.0}


def test_geojson_classes_are_tenths_of_the_slide(features):
    names = [feature["properties"]["classification"]["name"] for feature in features()]
    assert names == ["attention 0-10%", "attention 0-10%", "attention 50-60%", "attention 90-100%"]


def test_geojson_leaves_out_what_is_not_defined(features):
    assert "probability x" not in features()[1]["properties"]["measurements"]


def test_geojson_counts_from_the_corner_that_qupath_shows(features):
    assert features(origin_px=(100, 40))[1]["geometry"]["coordinates"][0][0] == [343, -40]
