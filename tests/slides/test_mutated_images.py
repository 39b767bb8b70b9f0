"""Headers with a few bytes changed: read or refused in our own words, never a traceback."""

from contextlib import suppress

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hage_transfer.errors import HageError
from hage_transfer.slides.reader import open_slide

HEAD_BYTES = 700
BYTES = st.one_of(st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 16, 127, 128, 254, 255]), st.integers(0, 255))
CHANGES = st.lists(
    st.tuples(st.integers(0, HEAD_BYTES), st.booleans(), st.sampled_from(["set", "four", "cut", "drop", "put"]), BYTES),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module")
def wholes(tmp_path_factory):
    """Folder, and whole files of many kinds by name."""
    folder = tmp_path_factory.mktemp("wholes")
    image = np.asarray(Image.effect_noise((80, 80), 60).convert("RGB")).copy()
    tiled = {"photometric": "rgb", "metadata": None, "tile": (32, 32)}
    for kind in ("deflate", "lzw", "jpeg", "webp", "jpeg2000", "zstd", "packbits"):
        tifffile.imwrite(folder / f"{kind}.tif", image, compression=kind, **tiled)
    tifffile.imwrite(folder / "big.tif", image, bigtiff=True, **tiled)
    tifffile.imwrite(folder / "strips.tif", image, photometric="rgb", metadata=None, rowsperstrip=9)
    tifffile.imwrite(folder / "deep.tif", image.astype(np.uint16) << 4, compression="deflate", **tiled)
    tifffile.imwrite(folder / "alpha.tif", np.dstack([image, image[..., 0]]), extrasamples=["unassalpha"], **tiled)
    tifffile.imwrite(folder / "imagej.tif", image, imagej=True)
    tifffile.imwrite(folder / "a.svs", image, compression="jpeg", description="Aperio Image Library|MPP = 0.5", **tiled)
    with tifffile.TiffWriter(folder / "s.ome.tif", ome=True) as tiff:
        tiff.write(image, subifds=1, photometric="rgb", tile=(32, 32), metadata={"axes": "YXS"})
        tiff.write(image[::2, ::2], subfiletype=1, photometric="rgb", tile=(32, 32))
    with tifffile.TiffWriter(folder / "pages.tif") as tiff:
        for page in (image[::2, ::2], image):
            tiff.write(page, photometric="rgb", metadata=None)
    turned = Image.Exif()
    turned[274] = 6
    shown = Image.fromarray(image)
    for name in ("a.png", "a.jpg", "a.webp", "a.bmp", "a.jp2", "cmyk.tif", "palette.tif", "palette.png", "a.gif"):
        mode = {"cmyk": "CMYK", "palette": "P"}.get(name.split(".")[0], "P" if name.endswith("gif") else "RGB")
        shown.convert(mode).save(folder / name, **({"exif": turned} if name[2:] in ("png", "jpg", "webp") else {}))
    (folder / "deep.png").write_bytes(imagecodecs.png_encode(image.astype(np.uint16) * 257))
    return folder, {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def changed(whole: bytes, changes: list[tuple[int, bool, str, int]]) -> bytes:
    """Changes near the file's start, or near its end where a TIFF's directories may stand."""
    content = bytearray(whole)
    for offset, from_end, what, value in changes:
        place = min(offset, len(content) - 1)
        place = len(content) - 1 - place if from_end else place
        if what == "set":
            content[place] = value
        elif what == "four":
            content[place : place + 4] = bytes([value]) * 4
        elif what == "cut":
            content = content[: place + 1]
        elif what == "drop":
            content = bytearray(b"".join((content[:place], content[place + 1 + value % 9 :]))) or content
        else:
            content[place:place] = bytes([value]) * (1 + value % 9)
    return bytes(content)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(which=st.integers(0, 10_000), changes=CHANGES)
def test_changed_header_is_read_or_refused(wholes, which, changes):
    folder, whole = wholes
    name = sorted(whole)[which % len(whole)]
    path = folder / f"changed-{name}"
    path.write_bytes(changed(whole[name], changes))
    with suppress(HageError), open_slide(path, needs_resolution=False) as slide:
        for level, size in enumerate(slide.levels):
            sides = {"width_px": min(size.width_px, 300), "height_px": min(size.height_px, 300)}
            slide.read_region(0, 0, level=level, **sides)
