"""Tissue as GeoJSON that QuPath opens, and what a pathologist made of it there.

A FeatureCollection; one annotation a piece of tissue, class Tissue, in level-0 pixels, holes as inner rings, valid by
OGC's rules. A hash of its features tells whether anyone edited it. QuPath crops the empty border of MRXS slides and
counts from the crop's corner: those files are moved by it, both ways.
"""

import hashlib
import json
import logging
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hage_transfer.bounded import BoundsError, read_json
from hage_transfer.errors import DataError, nearest
from hage_transfer.running.atomic import write_text
from hage_transfer.slide_names import match_names, slide_name
from hage_transfer.slides.polygons import Piece, Ring
from hage_transfer.slides.valid_polygons import crossing_of, valid_pieces

log = logging.getLogger(__name__)

TISSUE_CLASS = "Tissue"
_ANNOTATION = "annotation"
_KINDS = ("detection", "cell", "tile", "tmacore", "root")
_CLASS_NAMES = ("class", "class_name", "classname", "category", "label")
"""Properties that other tools put a class into."""
_NO_CLASS = re.compile(r"((annotation|region|roi|area|contour|polygon|shape|object|piece)s?)?[ _#-]*\d*", re.IGNORECASE)
"""What other tools put there where it is a name alone: `Region 2`."""
_COLOUR = [0, 150, 90]
_DECIMALS = 2
_LEAST_EXTENT_PX = 2
_HEAD, _MIDDLE, _END = '{"type": "FeatureCollection", "features_sha256": "', '", "features": [\n', "\n]}\n"


def write_geojson(path: Path, pieces: Sequence[Piece], *, origin_px: tuple[int, int] = (0, 0)) -> None:
    """Writes pieces of tissue, in level-0 pixels, as a FeatureCollection of annotations, atomically; see ``is_edited``.

    Args:
        path: the file.
        pieces: outer ring and holes of each.
        origin_px: level-0 place of the viewer's origin, see ``Slide.origin_px``.
    """
    rounded = [[np.round(ring - origin_px, _DECIMALS) for ring in piece] for piece in pieces]
    valid = [piece for one in rounded for piece in valid_pieces(one[0], one[1:])]
    features = [_feature(piece, number) for number, piece in enumerate(valid, start=1)]
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

    Annotations of class Tissue or of no class count. Those of other classes are left out, and so is what QuPath finds
    and does not draw (detections, cells, tiles, TMA cores); the log says how many.

    Args:
        path: the file.
        width_px: of the slide at level 0, to notice a file of another slide.
        height_px: of the slide.
        origin_px: see ``write_geojson``.

    Returns:
        The drawn areas, each with its holes; none where the file has no feature at all.

    Raises:
        DataError: missing, no GeoJSON, features of which none is tissue, a geometry that has no area or crosses
            itself, one outside the slide, or a classification that is no name.
    """
    features = _features(path)
    pieces: list[Piece] = []
    others: Counter[str] = Counter()
    for number, feature in enumerate(features, start=1):
        where = f"{path}: feature {number}"
        if not isinstance(feature, dict):
            raise DataError(f"{where} is no feature; export annotations from QuPath as GeoJSON")
        other = _other_than_tissue(feature, where)
        if other is not None:
            others[other] += 1
            continue
        if not isinstance(feature.get("geometry"), dict):
            raise DataError(f"{where} has no geometry; export annotations from QuPath as GeoJSON")
        pieces += [[ring + origin_px for ring in piece] for piece in _pieces(feature["geometry"], where)]
    left = ", ".join(f"{count} of {name}" for name, count in sorted(others.items()))
    if features and not pieces:
        raise DataError(
            f"{path}: no annotation of class {TISSUE_CLASS} or of no class in it, so no tissue, only {left}; give what "
            f"is tissue the class {TISSUE_CLASS} in QuPath"
        )
    if others:
        log.info("%s: what is no annotation of class %s is left out: %s", path.name, TISSUE_CLASS, left)
    _refuse_other_units(path, pieces)
    for piece in pieces:
        low, high = piece[0].min(axis=0), piece[0].max(axis=0)
        if (high <= 0).any() or low[0] >= width_px or low[1] >= height_px:
            raise DataError(
                f"{path}: a polygon from ({low[0]:g}, {low[1]:g}) to ({high[0]:g}, {high[1]:g}) lies outside the slide "
                f"({width_px} x {height_px} px); coordinates are level-0 pixels; is it another slide's file?"
            )
    return pieces


def missing_geojson(path: Path) -> DataError:
    """What to say where a slide's file is not there, with the one that is called almost so."""
    names = {slide_name(one.stem): one.name for one in sorted(path.parent.glob("*.*json"))}
    other = match_names([path.stem], list(names)).get(path.stem)
    near = nearest(path.stem, names)
    hint = f"; nearest there: {names[near[0]]}" if near else ""
    hint = f"; rename {names[other]}, which lies there" if other is not None else hint
    return DataError(f"{path}: no such file{hint}; `tissue` writes one to edit, or use data.tissue.method=auto")


def _refuse_other_units(path: Path, pieces: Sequence[Piece]) -> None:
    """Areas of a pixel or less in all are fractions of the slide, or millimetres."""
    points = np.concatenate([piece[0] for piece in pieces]) if pieces else np.empty((0, 2))
    if len(points) and (extent := np.ptp(points, axis=0)).max() < _LEAST_EXTENT_PX:
        raise DataError(
            f"{path}: all that is drawn spans {extent[0]:.3g} x {extent[1]:.3g}; coordinates are level-0 pixels, no "
            "fractions and no millimetres; export it from QuPath again"
        )


def _feature(piece: Piece, number: int) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [_closed(ring) for ring in piece]},
        "properties": {
            "objectType": _ANNOTATION,
            "name": f"tissue {number}",
            "classification": {"name": TISSUE_CLASS, "color": _COLOUR},
        },
    }


def _hash(features: str) -> str:
    return hashlib.sha256(features.encode()).hexdigest()


def _closed(ring: Ring) -> list[list[float]]:
    points = ring.tolist()
    return [*points, points[0]]


def _features(path: Path) -> list[Any]:
    try:
        tree = read_json(path)
    except FileNotFoundError:
        raise missing_geojson(path) from None
    except BoundsError as error:
        raise DataError(f"{path}: cannot be read as GeoJSON ({error}); export it from QuPath again") from None
    if isinstance(tree, list):
        return tree
    kind = tree.get("type") if isinstance(tree, dict) else None
    if kind == "FeatureCollection" and isinstance(tree.get("features"), list):
        return list(tree["features"])
    if kind == "Feature":
        return [tree]
    met = f"{kind} without a list of features" if kind == "FeatureCollection" else kind or type(tree).__name__
    raise DataError(f"{path}: wanted a GeoJSON FeatureCollection, this is {met}")


def _other_than_tissue(feature: dict[str, Any], where: str) -> str | None:
    """What a feature is where it is no drawn tissue, in words; None for tissue. Errors as ``_class_name``."""
    kind = _kind(feature)
    name = _class_name(feature, where)
    if _plain_kind(kind) != _ANNOTATION:
        return f"objectType {kind}" + ("" if name is None else f" (class {name})")
    return None if name is None or name.lower() == TISSUE_CLASS.lower() else f"class {name}"


def _kind(feature: dict[str, Any]) -> str:
    """QuPath's ``objectType`` (0.3: ``object_type``); before, ``id`` said it (``PathDetectionObject``)."""
    properties = feature.get("properties")
    given = properties if isinstance(properties, dict) else {}
    kind = given.get("objectType", given.get("object_type"))
    if isinstance(kind, str):
        return kind
    old = _plain_kind(str(feature.get("id", "")))
    return old if old in _KINDS else _ANNOTATION


def _plain_kind(kind: str) -> str:
    """``PathAnnotationObject``, ``Annotation`` and ``annotation`` are one."""
    return kind.lower().replace("_", "").removeprefix("path").removesuffix("object")


def _class_name(feature: dict[str, Any], where: str) -> str | None:
    """The class; QuPath's ``classification``, else what other tools call it. None: it has none.

    Raises:
        DataError: a classification that is no name.
    """
    properties = feature.get("properties")
    given = {name.casefold(): value for name, value in properties.items()} if isinstance(properties, dict) else {}
    found = given.get("classification")
    if isinstance(found, dict):
        found = found.get("name") or found.get("names")
    if isinstance(found, list) and all(isinstance(part, str) for part in found):
        found = ": ".join(found)
    if found is not None and not isinstance(found, str):
        raise DataError(f"{where}: its classification is {found!r:.60}, wanted a name; export it from QuPath again")
    others = [given[name].strip() for name in _CLASS_NAMES if isinstance(given.get(name), str)]
    named = [(found or "").strip(), *(other for other in others if not _NO_CLASS.fullmatch(other))]
    return next(filter(None, named), None)


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
    return [piece for polygon in polygons for piece in _polygon(polygon, where)]


def _polygon(rings: list[Any], where: str) -> list[Piece]:
    """One polygon's area as pieces that are valid: its holes take away, and what of them sticks out adds nothing."""
    read = [_ring(points, where) for points in rings]
    found = valid_pieces(read[0], read[1:])
    if not found:
        raise DataError(f"{where}: an outline without an area, or with nothing but holes; draw it again")
    return found


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _ring(points: Any, where: str) -> Ring:
    try:
        ring = np.array([[_number(point[0]), _number(point[1])] for point in points])
    except (TypeError, ValueError, IndexError, KeyError, OverflowError):
        raise DataError(f"{where}: a ring is a list of [x, y] numbers; export it from QuPath again") from None
    finite = int(np.isfinite(ring).all(axis=1).sum()) if len(ring) else 0
    if len(ring) < 4 or finite < len(ring):
        raise DataError(
            f"{where}: a ring needs four finite points or more, this has {len(ring)}, {finite} of them finite; draw it "
            "again"
        )
    if not np.array_equal(ring[0], ring[-1]):
        raise DataError(f"{where}: a ring that is not closed (its last point must be its first); export it again")
    crossing = crossing_of(ring[:-1])
    if crossing is not None:
        raise DataError(
            f"{where}: its outline crosses itself near ({crossing[0]:g}, {crossing[1]:g}); mend it in QuPath"
        )
    return ring[:-1]
