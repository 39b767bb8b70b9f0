"""Tissue as GeoJSON that QuPath opens, and what a pathologist made of it there.

A FeatureCollection; one annotation a piece of tissue, class Tissue, in level-0 pixels, holes as inner rings. A hash of
its features tells whether anyone edited it. QuPath crops the empty border of MRXS slides and counts from the crop's
corner: those files are moved by it, both ways.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hage_transfer.errors import DataError
from hage_transfer.running.atomic import write_text
from hage_transfer.slides.polygons import Piece, Ring, self_crossing

log = logging.getLogger(__name__)

TISSUE_CLASS = "Tissue"
_COLOUR = [0, 150, 90]
_DECIMALS = 2
_HEAD, _MIDDLE, _END = '{"type": "FeatureCollection", "features_sha256": "', '", "features": [\n', "\n]}\n"


def write_geojson(path: Path, pieces: Sequence[Piece], *, origin_px: tuple[int, int] = (0, 0)) -> None:
    """Writes pieces of tissue, in level-0 pixels, as a FeatureCollection of annotations, atomically; see ``is_edited``.

    Args:
        path: the file.
        pieces: outer ring and holes of each.
        origin_px: level-0 place of the viewer's origin, see ``Slide.origin_px``.
    """
    features = [_feature(piece, number, origin_px) for number, piece in enumerate(pieces, start=1)]
    lines = ",\n".join(json.dumps(feature, allow_nan=False) for feature in features)
    write_text(path, f"{_HEAD}{_hash(lines)}{_MIDDLE}{lines}{_END}")


def is_edited(path: Path) -> bool:
    """Whether a file holds anything but what ``write_geojson`` wrote: then it is someone's work."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return True
    start, middle, features = text.partition(_MIDDLE)
    return not middle or start != f"{_HEAD}{_hash(features.removesuffix(_END))}"


def read_geojson(path: Path, *, width_px: int, height_px: int, origin_px: tuple[int, int] = (0, 0)) -> list[Piece]:
    """Reads the tissue of a slide as a viewer wrote it: a FeatureCollection, a list of features, or one feature.

    Annotations of class Tissue or of no class count; those of other classes are left out, and the log says how many.

    Args:
        path: the file.
        width_px: of the slide at level 0, to notice a file of another slide.
        height_px: of the slide.
        origin_px: see ``write_geojson``.

    Raises:
        DataError: missing, no GeoJSON, a geometry that has no area or crosses itself, or one outside the slide.
    """
    features = _features(path)
    pieces: list[Piece] = []
    others: dict[str, int] = {}
    for number, feature in enumerate(features, start=1):
        where = f"{path}: feature {number}"
        if not isinstance(feature, dict) or not isinstance(feature.get("geometry"), dict):
            raise DataError(f"{where} has no geometry; export annotations from QuPath as GeoJSON")
        name = _class_name(feature)
        if name is not None and name.lower() != TISSUE_CLASS.lower():
            others[name] = others.get(name, 0) + 1
            continue
        pieces += [[ring + origin_px for ring in piece] for piece in _pieces(feature["geometry"], where)]
    if others:
        left = ", ".join(f"{count} {name}" for name, count in sorted(others.items()))
        log.info("%s: annotations of other classes than %s are left out: %s", path.name, TISSUE_CLASS, left)
    for piece in pieces:
        low, high = piece[0].min(axis=0), piece[0].max(axis=0)
        if (high <= 0).any() or low[0] >= width_px or low[1] >= height_px:
            raise DataError(
                f"{path}: a polygon from ({low[0]:g}, {low[1]:g}) to ({high[0]:g}, {high[1]:g}) lies outside the slide "
                f"({width_px} x {height_px} px); coordinates are level-0 pixels; is it another slide's file?"
            )
    return pieces


def _feature(piece: Piece, number: int, origin_px: tuple[int, int]) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [_closed(ring - origin_px) for ring in piece]},
        "properties": {
            "objectType": "annotation",
            "name": f"tissue {number}",
            "classification": {"name": TISSUE_CLASS, "color": _COLOUR},
        },
    }


def _hash(features: str) -> str:
    return hashlib.sha256(features.encode()).hexdigest()


def _closed(ring: Ring) -> list[list[float]]:
    points = np.round(ring, _DECIMALS).tolist()
    return [*points, points[0]]


def _features(path: Path) -> list[Any]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; `hage tissue` writes one to edit, or use data.tissue.method=auto"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as GeoJSON ({error}); export it from QuPath again") from None
    if isinstance(tree, list):
        return tree
    kind = tree.get("type") if isinstance(tree, dict) else None
    if kind == "FeatureCollection" and isinstance(tree.get("features"), list):
        return list(tree["features"])
    if kind == "Feature":
        return [tree]
    raise DataError(f"{path}: wanted a GeoJSON FeatureCollection, this is {kind or type(tree).__name__}")


def _class_name(feature: dict[str, Any]) -> str | None:
    properties = feature.get("properties")
    given = properties.get("classification") if isinstance(properties, dict) else None
    if isinstance(given, dict):
        given = given.get("name") or ": ".join(map(str, given.get("names", ()))) or None
    return given if isinstance(given, str) else None


def _pieces(geometry: dict[str, Any], where: str) -> list[Piece]:
    kind = geometry.get("type")
    coordinates: Any = geometry.get("coordinates")
    if kind == "Polygon":
        polygons: list[Any] = [coordinates]
    elif kind == "MultiPolygon":
        polygons = coordinates if isinstance(coordinates, list) else []
    else:
        raise DataError(
            f"{where} is a {kind}; tissue is a Polygon or a MultiPolygon: draw an area or give it another class"
        )
    if not polygons or not all(isinstance(polygon, list) and polygon for polygon in polygons):
        raise DataError(f"{where}: a {kind} without rings; draw it again")
    return [[_ring(points, where) for points in polygon] for polygon in polygons]


def _ring(points: Any, where: str) -> Ring:
    try:
        ring = np.array([[float(point[0]), float(point[1])] for point in points])
    except (TypeError, ValueError, IndexError, KeyError):
        raise DataError(f"{where}: a ring is a list of [x, y] numbers; export it from QuPath again") from None
    if len(ring) < 4 or not np.isfinite(ring).all():
        raise DataError(f"{where}: a ring needs four finite points or more, this has {len(ring)}; draw it again")
    if not np.array_equal(ring[0], ring[-1]):
        raise DataError(f"{where}: a ring that is not closed (its last point must be its first); export it again")
    crossing = self_crossing(ring[:-1])
    if crossing is not None:
        raise DataError(
            f"{where}: its outline crosses itself near ({crossing[0]:g}, {crossing[1]:g}); mend it in QuPath"
        )
    return ring[:-1]
