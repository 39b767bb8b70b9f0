"""Masks as polygons and back, exactly: rings run along the edges of pixels, not through their centres.

A ring is (N, 2) float (x, y) without its first point repeated; a piece is its outer ring followed by its holes.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float

Ring = Float[np.ndarray, "_ 2"]
Piece = list[Ring]

# Right, down, left, up, with the mask's pixels on the right-hand side (y grows downwards) ...
_STEPS = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])
# ... so that the pixel beside an edge lies so from the edge's start
_PIXEL_OF = ((0, 0), (-1, 0), (-1, -1), (0, -1))


def trace_pieces(mask: Bool[np.ndarray, "height width"]) -> list[Piece]:
    """The pieces of a mask (pixels that share an edge) with their holes, largest first.

    ``fill_pieces`` of the result is the mask again. Pixels that touch at a corner alone are two pieces, so no ring
    crosses itself or touches itself along an edge; at a corner it may (see ``valid_pieces``).
    """
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    areas = np.bincount(labels.ravel())
    outer: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = {}
    for ring, (x, y) in _rings(mask):
        label = int(labels[y, x])
        if _signed_area(ring) > 0:
            outer[label] = ring
        else:
            holes.setdefault(label, []).append(ring)
    largest = sorted(outer, key=lambda label: (-int(areas[label]), label))
    return [[outer[label], *holes.get(label, [])] for label in largest]


def fill_pieces(pieces: Sequence[Piece], *, height_px: int, width_px: int) -> Bool[np.ndarray, "height_px width_px"]:
    """True at pixels whose centre lies in one of ``pieces`` (even-odd rule within a piece, so holes stay open)."""
    mask = np.zeros((height_px, width_px), bool)
    for piece in pieces:
        points = np.concatenate(piece)
        left, top = np.clip(np.floor(points.min(axis=0)).astype(int), 0, (width_px, height_px))
        right, bottom = np.clip(np.ceil(points.max(axis=0)).astype(int) + 1, 0, (width_px, height_px))
        if right > left and bottom > top:
            moved = [ring - (left, top) for ring in piece]
            mask[top:bottom, left:right] |= _even_odd(moved, bottom - top, right - left)
    return mask


def _rings(mask: Bool[np.ndarray, "height width"]) -> list[tuple[Ring, tuple[int, int]]]:
    """Closed rings along the pixels' edges, each with one pixel beside it; outer ones run clockwise as seen."""
    columns = mask.shape[1] + 1
    keys = _edge_keys(mask)
    following = _following(keys, columns).tolist()
    visited = bytearray(len(keys))
    rings = []
    for start in range(len(keys)):
        if visited[start]:
            continue
        walk, edge = [], start
        while not visited[edge]:
            visited[edge] = 1
            walk.append(edge)
            edge = following[edge]
        points, directions = np.divmod(keys[walk], 4)
        corner = directions != np.roll(directions, 1)
        ring = np.stack([points[corner] % columns, points[corner] // columns], axis=1).astype(float)
        dx, dy = _PIXEL_OF[directions[0]]
        rings.append((ring, (int(points[0] % columns) + dx, int(points[0] // columns) + dy)))
    return rings


def _edge_keys(mask: Bool[np.ndarray, "height width"]) -> np.ndarray:
    """Sorted keys ``4 * lattice point + direction`` of the edges between a pixel of the mask and one that is not."""
    padded = np.pad(mask, 1)
    beside = padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2]  # above, right, below, left
    keys = []
    for direction, neighbour in enumerate(beside):
        y, x = np.divmod(np.flatnonzero(mask & ~neighbour), mask.shape[1])  # many times faster than nonzero of an image
        dx, dy = _PIXEL_OF[direction]
        keys.append(((y - dy) * (mask.shape[1] + 1) + x - dx) * 4 + direction)
    return np.sort(np.concatenate(keys))


def _following(keys: np.ndarray, columns: int) -> np.ndarray:
    """Place of the edge after each: to the right where there is one, which keeps pixels that share a corner apart."""
    points, directions = np.divmod(keys, 4)
    ends = points + _STEPS[directions, 1] * columns + _STEPS[directions, 0]
    following = np.full(len(keys), -1)
    for turn in (3, 0, 1):  # left, straight, right: the last that is there stands
        wanted = ends * 4 + (directions + turn) % 4
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        following = np.where(keys[place] == wanted, place, following)
    return following


def _even_odd(rings: Sequence[Ring], height_px: int, width_px: int) -> Bool[np.ndarray, "height_px width_px"]:
    """Pixels whose centre has an odd number of edges to its left."""
    starts = np.concatenate(rings)
    ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    first, last = (np.clip(np.ceil(side - 0.5), 0, height_px).astype(int) for side in _sorted(starts[:, 1], ends[:, 1]))
    times = last - first
    edge = np.repeat(np.arange(len(starts)), times)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(times) - times, times) + first[edge]
    (x0, y0), (x1, y1) = starts[edge].T, ends[edge].T
    x = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    column = np.clip(np.ceil(x - 0.5), 0, width_px).astype(int)
    crossings = np.zeros((height_px, width_px + 1), np.uint8)
    np.add.at(crossings, (row, column), 1)
    return (np.bitwise_xor.accumulate(crossings & 1, axis=1)[:, :-1]).astype(bool)


def _sorted(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.minimum(a, b), np.maximum(a, b)


def _signed_area(ring: Ring) -> float:
    """Positive where the ring runs clockwise as seen (y grows downwards)."""
    x, y = ring.T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
