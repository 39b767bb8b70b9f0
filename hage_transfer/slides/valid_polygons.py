"""Polygons by OGC's rules: areas of rings as they were drawn, without a crossing, a touching ring or a stray hole."""

import re
from collections.abc import Sequence

import numpy as np
import shapely
from jaxtyping import Float

from hage_transfer.slides.polygons import Piece, Ring

_PLACE = re.compile(r"\[(\S+) (\S+)\]")


def crossing_of(ring: Ring) -> tuple[float, float] | None:
    """Where a ring crosses itself or runs over an area twice, so that its inside is not defined; None: nowhere.

    A ring may touch itself at a point or along a line: its inside is where it winds around once, one way all over.
    """
    polygon = shapely.Polygon(ring)
    if polygon.is_valid:
        return None
    faces = shapely.get_parts(shapely.polygonize([shapely.node(polygon.exterior)]))
    windings = {_winding(ring, face.representative_point()) for face in faces}
    if windings <= {0, 1} or windings <= {0, -1}:
        return None
    place = _PLACE.search(shapely.is_valid_reason(polygon))
    return (float(place[1]), float(place[2])) if place else (float(ring[0, 0]), float(ring[0, 1]))


def valid_pieces(outer: Ring, holes: Sequence[Ring]) -> list[Piece]:
    """The area within ``outer`` and outside all ``holes`` as valid polygons; none where nothing is left.

    Args:
        outer: a ring that does not cross itself.
        holes: rings that may touch or leave the outer one; what of them lies outside adds nothing.
    """
    whole = shapely.Polygon(outer, holes)
    if not whole.is_valid:
        taken = [_area(hole) for hole in holes]
        whole = shapely.difference(_area(outer), shapely.union_all(taken)) if taken else _area(outer)
    return [[_points(ring) for ring in (part.exterior, *part.interiors)] for part in _areas(whole)]


def _area(ring: Ring) -> shapely.Geometry:
    polygon = shapely.Polygon(ring)
    return polygon if polygon.is_valid else shapely.union_all(_areas(shapely.make_valid(polygon)))


def _areas(geometry: shapely.Geometry) -> list[shapely.Polygon]:
    """The polygons in any geometry, without its points and lines."""
    parts = shapely.get_parts(shapely.get_parts(geometry))
    return [part for part in parts if isinstance(part, shapely.Polygon) and part.area > 0]


def _points(ring: shapely.LinearRing) -> Float[np.ndarray, "point 2"]:
    return shapely.get_coordinates(ring)[:-1]


def _winding(ring: Ring, point: shapely.Point) -> int:
    """How often a ring runs around a point that is not on it, positive one way and negative the other."""
    x, y = (ring - (point.x, point.y)).T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    side = np.sign(x * next_y - next_x * y)
    up, down = (y <= 0) & (next_y > 0) & (side > 0), (y > 0) & (next_y <= 0) & (side < 0)
    return int(up.sum()) - int(down.sum())
