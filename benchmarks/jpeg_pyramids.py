"""Pyramids of JPEG tiles in Aperio's form, which every slide reader knows, from plain images.

python benchmarks/jpeg_pyramids.py IMAGES... --mpp 0.78 --out FOLDER
"""

import argparse
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

TILE_PX, QUALITY, LEAST_PX = 256, 85, 1024


def write_jpeg_pyramid(path: Path, image: np.ndarray, *, mpp_um_per_px: float) -> None:
    """Writes an RGB image as levels 1, 1/2, 1/4, ... of JPEG tiles, its resolution in the description and the tags.

    A TIFF writer of its own, since tifffile writes JPEG only with a codec that this project does not need.
    """
    levels = [image]
    while max(levels[-1].shape) > LEAST_PX:
        levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    with path.open("wb") as file:
        file.write(struct.pack("<2sHI", b"II", 42, 0))
        link = 4  # where the next directory's place is to be written
        for number, level in enumerate(levels):
            places, sizes = [], []
            for data in _tiles(level):
                places.append(file.tell())
                sizes.append(file.write(data))
            link = _write_directory(file, link, level, places, sizes, mpp_um_per_px=mpp_um_per_px * 2**number)


def _write_directory(
    file: BinaryIO, link: int, level: np.ndarray, places: list[int], sizes: list[int], *, mpp_um_per_px: float
) -> int:
    """Writes one image file directory; returns the place of its link to the next."""
    per_cm = round(1e4 / mpp_um_per_px * 1000), 1000
    height, width = level.shape[:2]
    description = f"Aperio Image Library|AppMag = {10 / mpp_um_per_px:.3g}|MPP = {mpp_um_per_px:g}".encode() + b"\0"
    tags = [
        (254, "I", [int(link != 4)]), (256, "I", [width]), (257, "I", [height]), (258, "H", [8, 8, 8]),
        (259, "H", [7]), (262, "H", [6]), (270, "B", [*description]), (277, "H", [3]),
        (282, "R", per_cm), (283, "R", per_cm), (284, "H", [1]),
        (296, "H", [3]), (322, "I", [TILE_PX]), (323, "I", [TILE_PX]), (324, "I", places), (325, "I", sizes),
        (530, "H", [2, 2]),
    ]  # fmt: skip
    entries = b""
    for tag, kind, values in tags:
        packed = struct.pack(f"<{len(values)}{kind.replace('R', 'I')}", *values)
        if len(packed) > 4:
            place = file.tell() + file.tell() % 2
            file.seek(place)
            file.write(packed)
            packed = struct.pack("<I", place)
        count = 1 if kind == "R" else len(values)
        entries += struct.pack("<HHI", tag, {"B": 2, "H": 3, "I": 4, "R": 5}[kind], count) + packed.ljust(4, b"\0")
    start = file.tell() + file.tell() % 2
    file.seek(start)
    file.write(struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0))
    end = file.tell()
    file.seek(link)
    file.write(struct.pack("<I", start))
    file.seek(end)
    return end - 4


def _tiles(image: np.ndarray) -> Iterator[bytes]:
    for top in range(0, image.shape[0], TILE_PX):
        for left in range(0, image.shape[1], TILE_PX):
            tile = image[top : top + TILE_PX, left : left + TILE_PX]
            missing = TILE_PX - tile.shape[0], TILE_PX - tile.shape[1]
            tile = np.pad(tile, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
            buffer = io.BytesIO()
            Image.fromarray(tile).save(buffer, format="JPEG", quality=QUALITY, subsampling="4:2:0")
            yield buffer.getvalue()


def main() -> None:
    """Writes one pyramid an image, by its stem."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--mpp", type=float, required=True, help="um per px of the images")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    Image.MAX_IMAGE_PIXELS = None
    options.out.mkdir(parents=True, exist_ok=True)
    for path in options.images:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
        target = options.out / f"{path.stem}.svs"
        write_jpeg_pyramid(target, pixels, mpp_um_per_px=options.mpp)
        print(f"{target}: {pixels.shape[1]} x {pixels.shape[0]} px, {target.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
