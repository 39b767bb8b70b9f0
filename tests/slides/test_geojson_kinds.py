"""What of a viewer's file is tissue: annotations of class Tissue or of none; everything else is named."""

import json
import logging

import pytest

from hage_transfer.config import SlideSetSettings
from hage_transfer.errors import DataError
from hage_transfer.slides.geojson import read_geojson
from hage_transfer.slides.survey import tissue_inputs

SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [50, 0], [50, 50], [0, 50], [0, 0]]]}


def feature(properties=None, **more):
    return {"type": "Feature", "geometry": SQUARE, "properties": properties or {}, **more}


TISSUE = {
    "QuPath's annotation": feature({"objectType": "annotation"}),
    "QuPath 0.3": feature({"object_type": "annotation"}),
    "QuPath before 0.3": feature({"isLocked": False}, id="PathAnnotationObject"),
    "a uuid for id": feature(id="3f1c9b1e-aaaa-4444-8888-000000000000"),
    "in capitals": feature({"objectType": "Annotation"}),
    "by its class of objects": feature({"objectType": "PathAnnotationObject"}),
    "class between spaces": feature({"classification": " Tissue "}),
    "class in capitals": feature({"classification": {"name": "TISSUE"}}),
    "names of a class": feature({"classification": {"names": ["Tissue"]}}),
    "a list of names": feature({"classification": ["Tissue"]}),
    "a class that is null": feature({"classification": {"name": None}}),
    "another tool's class": feature({"Class": "tissue"}),
    "another tool's name of one": feature({"label": "Region 2"}),
    "another tool's number of one": feature({"label": "1"}),
    "a name, which is no class": feature({"name": "Tumor"}),
    "no properties": {"type": "Feature", "geometry": SQUARE, "properties": None},
}
OTHERS = {
    "detection": feature({"objectType": "detection"}),
    "detection of class Tissue": feature({"objectType": "detection", "classification": {"name": "Tissue"}}),
    "cell": feature({"objectType": "cell", "classification": {"name": "Tumor"}}),
    "tile": feature({"objectType": "tile"}),
    "tmaCore": feature({"objectType": "tmaCore", "isMissing": True}),
    "tma_core": feature({"object_type": "tma_core"}),
    "old detection": feature(id="PathDetectionObject"),
    "old cell": feature(id="PathCellObject"),
    "old tile": feature(id="PathTileObject"),
    "old TMA core": feature(id="TMACoreObject"),
    "a cell that is a point": {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [1, 2]},
        "properties": {"objectType": "cell"},
    },
    "class Tumor": feature({"classification": {"name": "Tumor"}}),
    "a class as text": feature({"classification": "Tumor"}),
    "a class in a list": feature({"classification": ["Tumor", "Positive"]}),
    "names in a list": feature({"classification": {"name": ["Tumor"]}}),
    "another tool's class": feature({"label": "Tumor"}),
    "in other capitals": feature({"Classification": {"name": "Tumor"}}),
}


@pytest.fixture
def read(tmp_path):
    def reader(*features, start=b""):
        path = tmp_path / "s.geojson"
        path.write_bytes(start + json.dumps({"type": "FeatureCollection", "features": features}).encode())
        return read_geojson(path, width_px=100, height_px=100)

    return reader


@pytest.mark.parametrize("kind", TISSUE)
def test_annotations_of_tissue_or_of_no_class_are_tissue(read, kind):
    assert len(read(TISSUE[kind], start=b"\xef\xbb\xbf")) == 1


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_annotation_of_tissue_is_left_out_and_named(read, kind, caplog):
    with caplog.at_level(logging.INFO):
        assert len(read(feature(), OTHERS[kind])) == 1
    assert "left out: 1 of" in caplog.text


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("class Tumor", "1 of class Tumor"),
        ("cell", "objectType cell"),
        ("tmaCore", "objectType tmaCore"),
        ("old tile", "objectType tile"),
    ],
)
def test_a_file_without_tissue_says_what_is_drawn_in_it(read, kind, said):
    with pytest.raises(
        DataError, match=rf"no annotation of class Tissue .*only .*{said}.*give what is tissue the class"
    ):
        read(OTHERS[kind])


def test_a_file_in_which_nothing_is_drawn_is_no_tissue(read):
    assert read() == []


def test_numbers_past_floats_are_refused(read):
    with pytest.raises(DataError, match="list of"):
        read({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[10**400, 0]] * 4]}})


def polygon(*points):
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[*points, points[0]]]}, "properties": {}}


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([[0.1, 0.1], [0.6, 0.1], [0.6, 0.6]], "spans 0.5 x 0.5; coordinates are level-0 pixels, no fractions"),
        ([[0, 0], [float("nan"), 0], [9, 9]], "this has 4, 3 of them finite"),
        ([[0, 0], [True, 0], [9, 9]], "a ring is a list of"),
    ],
)
def test_coordinates_that_are_no_pixels_are_refused(read, points, said):
    with pytest.raises(DataError, match=said):
        read(polygon(*points))


@pytest.mark.parametrize("name", ["S.geojson", "s.svs.geojson", "s.json"])
def test_a_file_that_is_named_otherwise_is_named(tmp_path, name):
    (tmp_path / name).write_text("{}")
    with pytest.raises(DataError, match=rf"s\.geojson: no such file; rename {name}, which lies there"):
        read_geojson(tmp_path / "s.geojson", width_px=9, height_px=9)


@pytest.mark.parametrize("given", [3, {"name": 5}, [1, 2], True])
def test_a_classification_that_is_no_name_is_refused(read, given):
    with pytest.raises(DataError, match=r"s\.geojson: feature 1: its classification is .*, wanted a name"):
        read(feature({"classification": given}))


def test_a_slide_s_file_under_another_name_is_named_before_it_is_encoded(tmp_path):
    (tmp_path / "TCGA-AA-0001-01Z-00-DX1.geojson").touch()
    data = {"root": tmp_path, "labels": tmp_path / "l.csv", "tissue": {"method": "geojson", "folder": tmp_path}}
    settings = SlideSetSettings(**data)
    with pytest.raises(DataError, match=r"rename TCGA-AA-0001-01Z-00-DX1\.geojson, which lies there"):
        tissue_inputs("TCGA-AA-0001-01Z-00-DX1.f6e9a5df-d8fb-45cf-b4bd-c6b76294c291", settings)
    with pytest.raises(DataError, match=r"nearest there: TCGA-AA-0001-01Z-00-DX1\.geojson; `tissue` writes one"):
        tissue_inputs("TCGA-BB-0001-01Z-00-DX1", settings)
