"""A picture of a slide with its tissue outlined, its tiles and ink marked: to look at before time is spent."""

import struct
import zlib
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
from jaxtyping import Float, Int32, UInt8

from hage_transfer.running.atomic import atomic_path
from hage_transfer.slides.polygons import Piece
from hage_transfer.slides.slide import Slide
from hage_transfer.slides.tiles import TileGrid
from hage_transfer.slides.tissue import TissueMask

MAX_PICTURE_PX, LEAST_PICTURE_PX = 1600, 512
_TISSUE, _TILE, _PEN = (0, 150, 90), (90, 90, 90), (230, 120, 0)
_LEAST_TILE_PX = 6.0
_SHIFT = 4
_PNG_RGB, _PNG_UP = 2, 2


def draw_outline(
    slide: Slide, tissue: TissueMask, pieces: list[Piece], grid: TileGrid | None
) -> UInt8[np.ndarray, "height width 3"]:
    """Thumbnail with the tissue's outline (green), ink (orange) and, where they are large enough to be seen, the tiles.

    Args:
        slide: an open slide.
        tissue: its tissue, for the ink, and for the thumbnail that it was found in.
        pieces: outlines of the tissue in level-0 px.
        grid: its tiles; None where there are none.
    """
    picture = _thumbnail(slide, tissue)
    height, width = picture.shape[:2]
    scale = np.array([width / slide.width_px, height / slide.height_px])
    if tissue.pen is not None and tissue.pen.any():
        pen = cv2.resize(tissue.pen.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        rims, _ = cv2.findContours(pen, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(picture, rims, -1, _PEN, 2)
    if grid is not None and min(np.array(grid.sizes_level0_px) * scale) >= _LEAST_TILE_PX:
        first, last = (_points(corners * scale) for corners in (grid.coords, grid.coords + grid.sizes_level0_px))
        for start, end in zip(first.tolist(), last.tolist(), strict=True):
            cv2.rectangle(picture, start, end, _TILE, 1, cv2.LINE_8, _SHIFT)
    for piece in pieces:
        rings = [_points(ring * scale) for ring in piece]
        cv2.polylines(picture, rings, True, _TISSUE, max(2, max(width, height) // 500), cv2.LINE_AA, _SHIFT)
    return picture


def write_picture(path: Path, picture: UInt8[np.ndarray, "height width 3"]) -> None:
    """Writes a PNG atomically: each row less the one above, packed by libdeflate.

    In half the time of libpng's fastest, and smaller; a picture took more of a core than reading a small slide did.
    """
    height, width = picture.shape[:2]
    rows = picture.reshape(height, -1)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0], filtered[0, 1:] = _PNG_UP, rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, _PNG_RGB, 0, 0, 0)
    packed = imagecodecs.deflate_encode(filtered.tobytes(), level=1)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")):
            file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))


def _thumbnail(slide: Slide, tissue: TissueMask) -> UInt8[np.ndarray, "height width 3"]:
    """The slide as the mask was found in it, reduced where it is large; 512 px of it where that is smaller.

    Those are of the coarsest level that has them: a small slide's pixels are not decoded for a picture of it alone.
    """
    seen = tissue.thumbnail
    longest = 0 if seen is None else max(seen.shape)
    if seen is None or longest < LEAST_PICTURE_PX:
        return slide.thumbnail(max_px=MAX_PICTURE_PX if seen is None else LEAST_PICTURE_PX)
    if longest <= MAX_PICTURE_PX:
        return seen.copy()
    sides = [max(1, round(side * MAX_PICTURE_PX / longest)) for side in (seen.shape[1], seen.shape[0])]
    return cv2.resize(seen, sides, interpolation=cv2.INTER_AREA)


def _points(places_px: Float[np.ndarray, "point 2"]) -> Int32[np.ndarray, "point 2"]:
    """Places in a picture as OpenCV draws them, at fractions of a pixel."""
    return np.round(places_px * 2**_SHIFT).astype(np.int32)
