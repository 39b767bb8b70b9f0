"""Whether a JPEG is whole: decoders paint what is cut off grey, and take sides that no tile has."""

import re

_START, _END = b"\xff\xd8", 0xD9
_LAST = b"\xff\xd9"
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_SCAN = 0xDA
_STANDS_ALONE = frozenset({0x00, 0x01, *range(0xD0, 0xD8), 0xFF})
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)
"""The first marker behind a scan's data that is not part of them."""
_SEGMENTS = frozenset({0xC4, 0xCC, *range(0xDA, 0xF0), 0xFE})
_LONGEST_PX = 2**16
_FILLING = b"\0\xff \r\n"
"""Bytes that writers fill a tile up with."""


def jpeg_fault(data: bytes, *, max_width_px: int, max_height_px: int) -> str | None:
    """What is wrong with a JPEG by its markers, in words; None where nothing is.

    Args:
        data: the tile as it is in the file, its tables elsewhere or in it.
        max_width_px: of the tile that it is.
        max_height_px: likewise.
    """
    found = _behind(data, max_width_px, max_height_px)
    return found if isinstance(found, str) else _early_end(found)


def early_end(data: bytes) -> str | None:
    """That a JPEG has data behind its end which belong to it, in words; None of a whole one, and of another fault."""
    found = _behind(data, _LONGEST_PX, _LONGEST_PX)
    return None if isinstance(found, str) else _early_end(found)


def _behind(data: bytes, max_width_px: int, max_height_px: int) -> bytes | str:
    """What stands behind the end of a JPEG; in words why there is no end."""
    if not data.startswith(_START):
        return f"not a JPEG: it starts with {data[:2].hex(' ')}"
    place = len(_START)
    while True:
        if place + 4 > len(data) and data[place : place + 2] != bytes((0xFF, _END)):
            return "a JPEG that is cut off"
        if data[place] != 0xFF:
            return f"a JPEG with {data[place]:02x} where a marker belongs"
        marker = data[place + 1]
        if marker == _END:
            return data[place + 2 :]
        if marker in _STANDS_ALONE:
            place += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAMES:
            height, width = (int.from_bytes(data[place + k : place + k + 2]) for k in (5, 7))
            if width > max_width_px or height > max_height_px:
                return f"a JPEG of {width} x {height} px in a tile of {max_width_px} x {max_height_px}"
        elif marker not in _SEGMENTS:
            return f"a JPEG with marker ff {marker:02x}"
        place += 2 + int.from_bytes(data[place + 2 : place + 4])
        if marker == _SCAN:
            found = _MARKER_IN_SCAN.search(data, place)
            place = len(data) if found is None else found.start()


def _early_end(rest: bytes) -> str | None:
    """A bit that turned a byte into the marker of the end leaves the data behind it unread, and their own end there.

    Data of a scan hold no start of an image, as another JPEG behind the first does.
    """
    rest = rest.rstrip(_FILLING)
    if not rest.endswith(_LAST) or _START + b"\xff" in rest or not rest.strip(_LAST):
        return None
    return f"a JPEG that ends {len(rest)} bytes before its data do"
