"""Attention as GeoJSON that QuPath opens: a tile object for each tile, coloured by its tenth of the slide's attention.

QuPath reads ``properties.objectType`` (``tile``: drawn with the detections), ``classification`` (name and RGB, which
colours the tile and lets a class be hidden) and ``measurements`` (a mapping of names to numbers, from version 0.4 on),
for Measure > Show measurement maps. Coordinates are level-0 pixels from the corner that QuPath shows.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Real

from hage_transfer.running.atomic import atomic_path

_DECIMALS = 2
TENTHS = 10


def write_attention_geojson(
    path: Path,
    corners_px: Real[np.ndarray, "tile 2"],
    size_px: tuple[float, float],
    *,
    percentile: Float[np.ndarray, " tile"],
    measurements: Mapping[str, Float[np.ndarray, " tile"]],
    colour: Callable[[float], Sequence[int]],
    origin_px: tuple[int, int] = (0, 0),
) -> None:
    """Writes one polygon a tile, in the tiles' order, atomically; a tile at a time, so memory does not grow.

    Args:
        path: the file.
        corners_px: top-left of each tile, level-0 (x, y).
        size_px: width and height of a tile.
        percentile: 0 to 100, decides the class.
        measurements: numbers of each tile; NaN is left out.
        colour: RGB of a percentile.
        origin_px: level-0 place of the viewer's origin, see ``Slide.origin_px``.
    """
    classes = [
        {"name": f"attention {10 * tenth}-{10 * tenth + 10}%", "color": list(colour(10 * tenth + 5))}
        for tenth in range(TENTHS)
    ]
    left_top = np.asarray(corners_px, dtype=np.float64) - origin_px
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [\n')
        for tile, (x, y) in enumerate(left_top.tolist()):
            feature = {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [_rectangle(x, y, *size_px)]},
                "properties": {
                    "objectType": "tile",
                    "name": f"tile {tile}",
                    "classification": classes[min(int(percentile[tile] / 10), TENTHS - 1)],
                    "measurements": {
                        name: float(f"{values[tile]:.6g}")
                        for name, values in measurements.items()
                        if np.isfinite(values[tile])
                    },
                },
            }
            file.write(("" if tile == 0 else ",\n") + json.dumps(feature, allow_nan=False))
        file.write("\n]}\n")


def _rectangle(x: float, y: float, width: float, height: float) -> list[list[float]]:
    right, bottom = round(x + width, _DECIMALS), round(y + height, _DECIMALS)
    x, y = round(x, _DECIMALS), round(y, _DECIMALS)
    return [[x, y], [right, y], [right, bottom], [x, bottom], [x, y]]
