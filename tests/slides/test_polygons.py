import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hage_transfer.config import SlideSetSettings, TissueSettings
from hage_transfer.errors import DataError
from hage_transfer.slides.geojson import read_geojson, write_geojson
from hage_transfer.slides.polygons import fill_pieces, trace_pieces
from hage_transfer.slides.reader import open_slide
from hage_transfer.slides.survey import level0_pieces
from hage_transfer.slides.tiles import cut_tiles
from hage_transfer.slides.tissue import TissueMask, find_tissue


@settings(deadline=None)  # the machine may be shared
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1), height=st.integers(1, 40), width=st.integers(1, 40))
def test_fill_of_trace_is_the_mask(seed, share, height, width):
    mask = np.random.default_rng(seed).random((height, width)) < share
    np.testing.assert_array_equal(fill_pieces(trace_pieces(mask), height_px=height, width_px=width), mask)


def test_trace_gives_holes_to_their_pieces_and_sorts_by_area():
    mask = np.zeros((20, 30), bool)
    mask[2:10, 2:12] = True
    mask[4:6, 4:6] = False
    mask[1:19, 15:29] = True
    mask[5:8, 20:24] = mask[10:12, 20:22] = False
    large, small = trace_pieces(mask)
    assert (len(large), len(small)) == (3, 2)
    assert sorted(map(tuple, small[1].tolist())) == [(4, 4), (4, 6), (6, 4), (6, 6)]


def test_trace_keeps_pixels_that_touch_at_a_corner_apart():
    assert len(trace_pieces(np.eye(3, dtype=bool))) == 3


def test_fill_follows_slanted_edges():
    triangle = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    mask = fill_pieces([[triangle]], height_px=10, width_px=10)
    y, x = np.mgrid[:10, :10]
    np.testing.assert_array_equal(mask, x + y + 1 < 10)


def feature(coordinates, kind="Polygon", **properties):
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}


SQUARE = [[0, 0], [50, 0], [50, 50], [0, 50], [0, 0]]


def save(tmp_path, *features, name="s"):
    path = tmp_path / f"{name}.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), scale=st.floats(1.0, 64.0))
def test_geojson_round_trip_gives_the_mask_again(tmp_path_factory, seed, scale):
    mask = np.random.default_rng(seed).random((20, 25)) < 0.6
    path = tmp_path_factory.mktemp("geojson") / "s.geojson"
    pieces = level0_pieces(TissueMask(mask, scale, scale))
    write_geojson(path, pieces, origin_px=(300, 400))
    back = read_geojson(path, width_px=2000, height_px=2000, origin_px=(300, 400))
    mine = [[ring / scale for ring in piece] for piece in back]
    np.testing.assert_array_equal(fill_pieces(mine, height_px=20, width_px=25), mask)


def test_geojson_is_what_qupath_opens(tmp_path):
    mask = np.ones((9, 9), bool)
    mask[3:5, 3:5] = False
    path = tmp_path / "s.geojson"
    write_geojson(path, level0_pieces(TissueMask(mask, 10, 10)))
    tree = json.loads(path.read_text())
    assert tree["type"] == "FeatureCollection"
    (one,) = tree["features"]
    assert one["type"] == "Feature"
    assert one["properties"]["objectType"] == "annotation"
    assert one["properties"]["classification"]["name"] == "Tissue"
    outer, hole = one["geometry"]["coordinates"]
    assert outer[0] == outer[-1]
    assert hole[0] == hole[-1]
    assert [90.0, 90.0] in outer
    assert [30.0, 50.0] in hole


def test_geojson_counts_tissue_and_unclassified_of_all_kinds_of_polygon(tmp_path):
    path = save(
        tmp_path,
        feature([SQUARE], classification={"name": "Tissue"}),
        feature([[[[60, 0], [90, 0], [90, 30], [60, 0]]], [[[0, 60], [9, 60], [9, 90], [0, 60]]]], "MultiPolygon"),
        feature([SQUARE], classification={"name": "Tumor"}),
    )
    assert len(read_geojson(path, width_px=100, height_px=100)) == 3


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (feature([[[0, 0], [40, 40], [40, 0], [0, 40], [0, 0]]]), "feature 1: its outline crosses itself near"),
        (feature([SQUARE[:-1]]), "not closed"),
        (feature([[[0, 0], [1, 1], [0, 0]]]), "four finite points or more, this has 3"),
        (feature([[[0, 0], [1, "a"], [1, 1], [0, 0]]]), r"list of \[x, y\] numbers"),
        (feature([[[0, 0], [float("nan"), 1], [1, 1], [0, 0]]]), "four finite points"),
        (feature([1, 2], "Point"), "feature 1 is a Point"),
        (feature([]), "without rings"),
        (feature(None, "MultiPolygon"), "without rings"),
        ({"type": "Feature", "geometry": None}, "feature 1 has no geometry"),
        (feature([[[500, 0], [550, 0], [550, 50], [500, 0]]]), r"lies outside the slide \(100 x 100 px\)"),
    ],
)
def test_geojson_names_invalid_geometry(tmp_path, broken, said):
    path = save(tmp_path, broken)
    with pytest.raises(DataError, match=rf"s\.geojson: .*{said}"):
        read_geojson(path, width_px=100, height_px=100)


@pytest.mark.parametrize("text", ["", "{", '{"type": "Topology"}', "3", "\x00"])
def test_geojson_names_a_file_that_is_none(tmp_path, text):
    path = tmp_path / "s.geojson"
    path.write_text(text)
    with pytest.raises(DataError, match=r"s\.geojson: .*GeoJSON"):
        read_geojson(path, width_px=100, height_px=100)


def test_edited_polygon_changes_the_tiles_accordingly(tmp_path, write_pyramid, stained):
    path = write_pyramid(tmp_path / "s.tif", [stained(1024, 1024, box=(128, 896, 128, 896))], mpp=1.0)
    found = SlideSetSettings(labels="l.csv", mpp_um_per_px=1.0, tile_px=64, min_tissue=0.5)
    drawn = found.model_copy(update={"tissue": TissueSettings(method="geojson", folder=tmp_path)})
    with open_slide(path) as slide:
        before = find_tissue(slide)
        write_geojson(tmp_path / "s.geojson", level0_pieces(before))
        tiles = cut_tiles(slide, before, found).coords
        same = cut_tiles(slide, find_tissue(slide, drawn.tissue), drawn).coords
        np.testing.assert_array_equal(same, tiles)
        save(tmp_path, feature([[[128, 128], [512, 128], [512, 896], [128, 896], [128, 128]]]))
        half = cut_tiles(slide, find_tissue(slide, drawn.tissue), drawn).coords
    np.testing.assert_array_equal(half, tiles[tiles[:, 0] < 512 - 32])
    with open_slide(path) as slide, pytest.raises(DataError, match=r"t/s\.geojson: no such file"):
        find_tissue(slide, TissueSettings(method="geojson", folder=tmp_path / "t"))
