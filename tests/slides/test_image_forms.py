# ruff: noqa: E501 a table, a line each
"""One door: every form of one picture, as a slide, as a section's image and as a patch, is the same or is refused."""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import tifffile
from PIL import Image

from hage_transfer.config import PatchSetSettings
from hage_transfer.data.patches import read_patch_set
from hage_transfer.data.spot_patches import iter_spot_patches
from hage_transfer.errors import DataError
from hage_transfer.slides.reader import open_picture, open_slide

SIDE = 96


def picture() -> np.ndarray:
    """Textured pink on white glass, no two corners alike, values over all of 0 to 255."""
    rng = np.random.default_rng(5)
    small = rng.integers(60, 220, (12, 12, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BICUBIC)).copy()
    image[:, :, 0] = np.maximum(image[:, :, 0], 120)
    image[:20], image[:, :24] = 255, 255
    image[80:, 80:] = (0, 40, 90)
    return image


RGB = picture()
GREY = RGB[..., 1]
GREY_RGB = np.repeat(GREY[..., None], 3, axis=2)
GLASS = (RGB == 255).all(axis=2)
ALPHA = np.where(GLASS, 0, 255).astype(np.uint8)
RGBA = np.dstack([np.where(GLASS[..., None], 0, RGB), ALPHA]).astype(np.uint8)
HALF = np.dstack([RGB, np.full((SIDE, SIDE), 128, np.uint8)])
HALF_RGB = np.round(RGB * (128 / 255) + 255 * (127 / 255)).astype(np.uint8)
DEEP = RGB.astype(np.uint16)


@dataclass(frozen=True)
class Form:
    """How a picture is saved, and what is right.

    Attributes:
        name: of the form.
        ending: of the file.
        write: writes it.
        wanted: its pixels; None where it is refused.
        words: what the refusal says.
        within: largest difference of a pixel's channel, on average for lossy forms.
        note: what the reader says of it.
    """

    name: str
    ending: str
    write: Callable[[Path], object]
    wanted: np.ndarray | None = None
    words: str = ""
    within: float = 0.0
    note: str = ""


FORMS: list[Form] = []


def form(name: str, ending: str, write: Callable[[Path], object], **right: object) -> None:
    FORMS.append(Form(name, ending, write, **right))  # type: ignore[arg-type]


def tiff(image: np.ndarray, **options: object) -> Callable[[Path], object]:
    how = {"metadata": None, **({} if "photometric" in options else {"photometric": "rgb"}), **options}
    return lambda path: tifffile.imwrite(path, image, **how)


def pillow(image: np.ndarray | Image.Image, **options: object) -> Callable[[Path], object]:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    return lambda path: image.save(path, **options)


def pages(*images: tuple[np.ndarray, dict[str, object]], **file: object) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with tifffile.TiffWriter(path, **file) as out:
            for image, options in images:
                out.write(image, **{"photometric": "rgb", "metadata": None, **options})

    return write


def tagged(write: Callable[[Path], object], tag: int, value: int) -> Callable[[Path], object]:
    """The same TIFF with a short tag's value overwritten in its first page."""

    def patched(path: Path) -> None:
        write(path)
        with tifffile.TiffFile(path) as file:
            found = file.pages[0].tags[tag]
            place = found.valueoffset
            size = {3: "<H", 4: "<I"}[int(found.dtype)]
            count = found.count
        content = bytearray(path.read_bytes())
        content[place : place + struct.calcsize(size) * count] = struct.pack(size, value) * count
        path.write_bytes(content)

    return patched


OME_12_BITS = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels '
    f'ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SignificantBits="12" SizeX="{SIDE}" SizeY="{SIDE}" SizeC="3" '
    'SizeZ="1" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0"/></Pixels></Image></OME>'
)
TURNED = {
    1: RGB, 2: RGB[:, ::-1], 3: RGB[::-1, ::-1], 4: RGB[::-1], 5: RGB.transpose(1, 0, 2), 6: np.rot90(RGB, 1),
    7: RGB[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(RGB, -1),
}  # fmt: skip
"""What is stored for each orientation, so that RGB is what is shown."""


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[274] = orientation
    return found


# fmt: off
# ---- lossless TIFF: compression x container x layout
for compression in (None, "lzw", "deflate", "packbits", "zstd", "lzma", "lerc", "jpeg2000", "jpegxl", "png"):
    codec = {"compression": compression}
    lossless = {"jpeg2000": {"level": 0, "reversible": True}, "jpegxl": {"lossless": True}}.get(compression or "")
    codec |= {"compressionargs": lossless} if lossless else {}
    within = 1.0 if compression == "jpegxl" else 0.0
    form(f"tiled TIFF, {compression}", "tif", tiff(RGB, tile=(32, 32), **codec), wanted=RGB, within=within)
    if compression not in ("jpeg2000", "jpegxl", "png"):
        form(f"strips, {compression}", "tif", tiff(RGB, rowsperstrip=7, **codec), wanted=RGB)
form("tiled TIFF, webp", "tif", tiff(RGB, tile=(32, 32), compression="webp"), wanted=RGB, within=4.0)
form("tiled TIFF, jpeg", "tif", tiff(RGB, tile=(32, 32), compression="jpeg", compressionargs={"level": 95}), wanted=RGB, within=6.0)
form("strips, jpeg", "tif", tiff(RGB, rowsperstrip=16, compression="jpeg", compressionargs={"level": 95}), wanted=RGB, within=6.0)
form("BigTIFF", "tif", tiff(RGB, bigtiff=True, tile=(32, 32), compression="deflate"), wanted=RGB)
form("big-endian TIFF", "tif", tiff(RGB, byteorder=">"), wanted=RGB)
form("big-endian 16 bits", "tif", tiff(DEEP * 257, byteorder=">"), wanted=RGB, note="16 bits")
form("predictor", "tif", tiff(RGB, compression="lzw", predictor=True), wanted=RGB)
form("planar strips", "tif", tiff(np.moveaxis(RGB, 2, 0), planarconfig="separate", rowsperstrip=10), wanted=RGB)
form("planar tiles, deflate", "tif", tiff(np.moveaxis(RGB, 2, 0), planarconfig="separate", tile=(32, 32), compression="deflate"), wanted=RGB)
# ---- depth
form("16 bits", "tif", tiff(DEEP * 257), wanted=RGB, note="16 bits, of which the upper 8")
form("16 bits, tiled", "tif", tiff(DEEP << 8, tile=(32, 32), compression="deflate"), wanted=RGB)
form("12 in 16, MaxSampleValue", "tif", tiff(DEEP << 4, extratags=[(281, "H", 3, (4095,) * 3)]), wanted=RGB, note="12 by its own record")
form("12 in 16, SMaxSampleValue", "tif", tiff(DEEP << 4, extratags=[(341, "H", 3, (4095,) * 3)]), wanted=RGB, note="12 by its own record")
form("12 in 16, said nowhere", "tif", tiff((DEEP << 4) | 15, tile=(32, 32)), wanted=RGB, note="12 by its values")
form("10 in 16, said nowhere", "tif", tiff((DEEP << 2) | 3), wanted=RGB, note="10 by its values")
form("8 in 16, said nowhere", "tif", tiff(DEEP), wanted=RGB, note="8 by its values")
form("12 in 16, said to be 16", "tif", tiff((DEEP << 4) | 15, extratags=[(281, "H", 3, (65535,) * 3)]), wanted=RGB, note="12 by its values")
form("12 in 16, OME SignificantBits", "ome.tif", tiff(DEEP << 4, description=OME_12_BITS), wanted=RGB, note="12 by its own record")
form("16-bit RGBA, transparent glass", "tif", tiff(RGBA.astype(np.uint16) * 257, extrasamples=["unassalpha"]), wanted=RGB)
form("12-in-16 RGBA, alpha of 16", "tif", tiff(np.dstack([DEEP << 4 | 15, ALPHA.astype(np.uint16) * 257]), extrasamples=["unassalpha"]), wanted=RGB)
form("record that the values exceed", "tif", tiff(DEEP * 257, extratags=[(281, "H", 3, (1023,) * 3)]), words="10 bits")
form("16-bit grey", "tif", tiff(GREY.astype(np.uint16) * 257, photometric="minisblack"), words="16-bit grey")
form("16-bit grey, tiled", "tif", tiff(GREY.astype(np.uint16) * 257, photometric="minisblack", tile=(32, 32)), words="16-bit grey")
form("16-bit grey, 0 is white", "tif", tiff(65535 - GREY.astype(np.uint16) * 257, photometric="miniswhite"), words="16-bit grey")
for kind in (np.int8, np.int16, np.float16, np.float32, np.float64, np.uint32, np.int32):
    words = {"i": "signed", "f": "float", "u": "32 bits"}[np.dtype(kind).kind]
    form(f"{np.dtype(kind).name} RGB", "tif", tiff((RGB // 4).astype(kind), tile=(32, 32)), words=words)
form("complex grey", "tif", tiff(GREY.astype(np.complex64), photometric="minisblack"), words="complex")
form("1 bit", "tif", tiff(GREY > 128, photometric="minisblack"), wanted=((GREY_RGB > 128) * 255).astype(np.uint8), note="black and white")
form("1 bit, fax", "tif", pillow(Image.fromarray(GREY > 128), compression="group4"), wanted=((GREY_RGB > 128) * 255).astype(np.uint8))
form("1 bit, PNG", "png", pillow(Image.fromarray(GREY > 128)), wanted=((GREY_RGB > 128) * 255).astype(np.uint8), note="black and white")
form("4-bit grey", "tif", tiff(GREY >> 4, photometric="minisblack", bitspersample=4), wanted=(GREY_RGB >> 4) * 17)
# ---- colour
form("grey", "tif", tiff(GREY, photometric="minisblack", tile=(32, 32)), wanted=GREY_RGB, note="grey")
form("grey, 0 is white", "tif", tiff(255 - GREY, photometric="miniswhite"), wanted=GREY_RGB, note="grey")
form("grey and alpha", "tif", tiff(np.dstack([np.where(GLASS, 0, GREY), ALPHA]), photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"]), wanted=np.where(GLASS[..., None], 255, GREY_RGB))
form("RGBA, transparent glass", "tif", tiff(RGBA, extrasamples=["unassalpha"], tile=(32, 32)), wanted=RGB)
form("RGBA, half transparent", "tif", tiff(HALF, extrasamples=["unassalpha"]), wanted=HALF_RGB, within=1.0)
form("RGBA, colours multiplied", "tif", tiff(np.dstack([np.round(RGB * (128 / 255)).astype(np.uint8), HALF[..., 3]]), extrasamples=["assocalpha"]), wanted=HALF_RGB, within=1.0)
form("a fourth channel that is no alpha", "tif", tiff(np.dstack([RGB, GREY]), extrasamples=["unspecified"], tile=(32, 32)), words="channels")
form("two grey channels", "tif", tiff(np.dstack([GREY, GREY]), photometric="minisblack", planarconfig="contig"), words="channels")
form("three channels that are not called RGB", "tif", tiff(RGB, photometric="minisblack", planarconfig="contig"), words="channels")
form("five channels", "tif", tiff(np.dstack([RGB, GREY, GREY]), extrasamples=["unspecified"] * 2), words="channels")
PALETTE = Image.fromarray(RGB).quantize(64)
PALETTE_RGB = np.asarray(PALETTE.convert("RGB"))
form("palette", "tif", pillow(PALETTE), wanted=PALETTE_RGB)
form("palette, LZW", "tif", pillow(PALETTE, compression="tiff_lzw"), wanted=PALETTE_RGB)
CMYK = Image.fromarray(RGB).convert("CMYK")
form("CMYK", "tif", pillow(CMYK), wanted=RGB, within=1.0, note="CMYK")
form("CMYK of other inks", "tif", tiff(np.asarray(CMYK), photometric="separated", extratags=[(332, "H", 1, 2)]), words="inks")
YCBCR = Image.fromarray(RGB).convert("YCbCr")
form("YCbCr without JPEG", "tif", pillow(YCBCR), wanted=np.asarray(YCBCR.convert("RGB")))
form("CIE Lab", "tif", tiff(RGB, photometric="cielab"), words="CIE Lab")
form("a mask", "tif", tagged(tiff(GREY > 128, photometric="minisblack"), 262, 4), words="mask")
# ---- compressions that nothing here reads
for number, label in ((6, "OJPEG"), (34661, "JBIG"), (34676, "SGILOG"), (32809, "THUNDERSCAN"), (65535, "65535")):
    form(f"compression {number}", "tif", tagged(tiff(RGB, tile=(32, 32)), 259, number), words=rf"compression {number}.*save it with deflate|compression {number} \({label}\)")
# ---- pages
small = {"tile": (32, 32), "compression": "deflate"}
form("pyramid, marked", "tif", pages((RGB, small), (RGB[::2, ::2], {**small, "subfiletype": 1})), wanted=RGB)
form("pyramid, not marked", "tif", pages((RGB, small), (RGB[::2, ::2], small), (RGB[::4, ::4], small)), wanted=RGB)
form("pyramid, smallest first", "tif", pages((RGB[::4, ::4], {}), (RGB[::2, ::2], {}), (RGB, {})), wanted=RGB)
form("thumbnail first", "tif", pages((RGB[::3, ::3], {"subfiletype": 1}), (RGB, {})), wanted=RGB)
form("label of another shape first", "tif", pages((np.zeros((20, 60, 3), np.uint8), {}), (RGB, {})), wanted=RGB, note="1 other image")
form("a mask beside it", "tif", pages((RGB, {}), (GREY > 128, {"photometric": "minisblack", "subfiletype": 4})), wanted=RGB, note="1 other image")
form("a grey map of its size beside it", "tif", pages((GREY, {"photometric": "minisblack"}), (RGB, {})), wanted=RGB, note="1 other image")
form("another picture of its shape, smaller", "tif", pages((RGB, {}), (np.zeros((48, 48, 3), np.uint8), {})), wanted=RGB, note="1 other image")
form("reduced images alone", "tif", pages((RGB[::2, ::2], {"subfiletype": 1})), words="reduced forms or masks")
form("a larger grey image beside it", "tif", pages((RGB[::2, ::2], {}), (GREY, {"photometric": "minisblack"})), words="nothing says which is the picture")
form("three grey pages", "tif", pages(*[(RGB[..., k], {"photometric": "minisblack"}) for k in range(3)]), words="channels")
CHANNELS = np.ascontiguousarray(np.moveaxis(RGB, 2, 0))
form("OME, three grey pages", "ome.tif", lambda path: tifffile.imwrite(path, CHANNELS, photometric="minisblack", ome=True, metadata={"axes": "CYX"}), words="channels")
form("ImageJ, three channels", "tif", lambda path: tifffile.imwrite(path, CHANNELS, imagej=True, metadata={"axes": "CYX"}), words="channels")
form("ImageJ, a stack of RGB", "tif", lambda path: tifffile.imwrite(path, np.stack([RGB, RGB]), imagej=True, metadata={"axes": "ZYXS"}), words="2 images of one place")
form("OME, depths of RGB", "ome.tif", lambda path: tifffile.imwrite(path, np.stack([RGB, RGB]), photometric="rgb", ome=True, metadata={"axes": "ZYXS"}), words="2 images of one place")
form("OME, RGB twice as channels", "ome.tif", lambda path: tifffile.imwrite(path, np.stack([RGB, RGB]), photometric="rgb", ome=True, metadata={"axes": "CYXS"}), words="channels")


def ome_pyramid(path: Path) -> None:
    with tifffile.TiffWriter(path, ome=True) as out:
        out.write(RGB, subifds=2, metadata={"axes": "YXS"}, photometric="rgb", **small)
        out.write(RGB[::2, ::2], subfiletype=1, photometric="rgb", **small)
        out.write(RGB[::4, ::4], subfiletype=1, photometric="rgb", **small)


form("OME pyramid in SubIFDs", "ome.tif", ome_pyramid, wanted=RGB)
# ---- orientation
for turn in range(1, 9):
    stored = np.ascontiguousarray(TURNED[turn])
    form(f"TIFF stored as orientation {turn}", "tif", tiff(stored, tile=(32, 32), compression="lzw", extratags=[(274, "H", 1, turn)]), wanted=RGB, note="turned" if turn > 1 else "")
    form(f"PNG stored as orientation {turn}", "png", pillow(stored, exif=exif(turn)), wanted=RGB)
form("JPEG of orientation 6", "jpg", pillow(np.ascontiguousarray(TURNED[6]), quality=95, subsampling=0, exif=exif(6)), wanted=RGB, within=4.0, note="turned")
form("WebP of orientation 8", "webp", pillow(np.ascontiguousarray(TURNED[8]), lossless=True, exif=exif(8)), wanted=RGB, note="turned")


def png_with_late_exif(path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "PNG", exif=exif(6))
    content = buffer.getvalue()
    start = content.index(b"eXIf") - 4
    length = 12 + int.from_bytes(content[start : start + 4])
    end = content.index(b"IEND") - 4
    path.write_bytes(content[:start] + content[start + length : end] + content[start : start + length] + content[end:])


form("PNG whose orientation stands last", "png", png_with_late_exif, words="orientation")
# ---- plain images
form("PNG", "png", pillow(RGB), wanted=RGB)
form("BMP", "bmp", pillow(RGB), wanted=RGB)
form("JPEG", "jpg", pillow(RGB, quality=95, subsampling=0), wanted=RGB, within=4.0)
form("progressive JPEG", "jpeg", pillow(RGB, quality=95, subsampling=0, progressive=True), wanted=RGB, within=4.0)
form("grey JPEG", "jpg", pillow(GREY, quality=98), wanted=GREY_RGB, within=3.0, note="grey")
form("CMYK JPEG", "jpg", pillow(CMYK, quality=98), wanted=RGB, within=6.0, note="CMYK")
form("WebP", "webp", pillow(RGB, lossless=True), wanted=RGB)
form("lossy WebP", "webp", pillow(RGB, quality=95), wanted=RGB, within=6.0)
form("WebP, transparent glass", "webp", pillow(RGBA, lossless=True, exact=True), wanted=RGB)
form("grey PNG", "png", pillow(GREY), wanted=GREY_RGB, note="grey")
form("PNG, transparent glass", "png", pillow(RGBA), wanted=RGB)
form("PNG, half transparent", "png", pillow(HALF), wanted=HALF_RGB, within=1.0)
form("grey PNG with alpha", "png", pillow(Image.merge("LA", [Image.fromarray(np.where(GLASS, 0, GREY).astype(np.uint8)), Image.fromarray(ALPHA)])), wanted=np.where(GLASS[..., None], 255, GREY_RGB), note="grey")
form("palette PNG", "png", pillow(PALETTE), wanted=PALETTE_RGB)
CLEAR = Image.fromarray(RGBA).quantize(64)
form("palette PNG, transparent glass", "png", pillow(CLEAR), wanted=RGB, within=8.0)
form("PNG with a transparent colour", "png", pillow(np.where(GLASS[..., None], np.uint8([1, 2, 3]), RGB).astype(np.uint8), transparency=(1, 2, 3)), wanted=RGB)
form("16-bit grey PNG", "png", pillow(GREY.astype(np.uint16) * 257), words="16-bit grey")


def deep_png(samples: np.ndarray) -> Callable[[Path], object]:
    import imagecodecs

    return lambda path: path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(samples)))


form("16-bit RGB PNG", "png", deep_png(DEEP * 257), wanted=RGB, note="16 bits")
form("12-in-16 RGB PNG", "png", deep_png((DEEP << 4) | 15), wanted=RGB, note="12 by its values")
form("16-bit RGBA PNG", "png", deep_png(RGBA.astype(np.uint16) * 257), wanted=RGB)
form("16-bit grey PNG with alpha", "png", deep_png(RGBA[..., 2:].astype(np.uint16) * 257), words="16-bit grey")
form("animated PNG", "png", pillow(RGB, save_all=True, append_images=[Image.fromarray(RGB[::-1].copy())]), words="2 frames")
form("animated WebP", "webp", pillow(RGB, save_all=True, append_images=[Image.fromarray(RGB[::-1].copy())], lossless=True), words="2 frames")
form("text under an image's name", "png", lambda path: path.write_text("no image"), words="neither a slide nor an image")
form("an empty file", "tif", lambda path: path.write_bytes(b""), words="the file is empty")


# ---- damage
def damaged(write: Callable[[Path], object], at: float, filling: int = 0xFF, n: int = 24) -> Callable[[Path], object]:
    def spoilt(path: Path) -> None:
        write(path)
        content = bytearray(path.read_bytes())
        start = int(len(content) * at)
        content[start : start + n] = bytes([filling]) * n
        path.write_bytes(content)

    return spoilt


def first_tile(write: Callable[[Path], object], content: bytes) -> Callable[[Path], object]:
    def spoilt(path: Path) -> None:
        write(path)
        with tifffile.TiffFile(path) as file:
            start = file.pages[0].dataoffsets[4]
        whole = bytearray(path.read_bytes())
        whole[start : start + len(content)] = content
        path.write_bytes(whole)

    return spoilt


for compression in ("jpeg", "deflate", "lzw", "zstd", "jpeg2000", "webp", "png"):
    write = tiff(RGB, tile=(32, 32), compression=compression)
    form(f"damaged tile, {compression}", "tif", first_tile(write, b"\xff\x11" * 20), words="damaged in tile or strip 4")
form("damaged PNG", "png", damaged(pillow(RGB), 0.5), words="damaged image")
form("cut JPEG", "jpg", lambda path: (pillow(RGB)(path), path.write_bytes(path.read_bytes()[:900])), words="damaged image")


# fmt: on
def as_slide(path: Path) -> np.ndarray:
    with open_slide(path, needs_resolution=False) as slide:
        return slide.read_region(0, 0, level=0, width_px=slide.width_px, height_px=slide.height_px)


def as_section(path: Path) -> np.ndarray:
    section = ad.AnnData(np.zeros((1, 1), np.float32))
    section.obsm["spatial"] = np.array([[SIDE / 2, SIDE / 2]])
    section.uns["section"] = {"name": "S1", "image_path": str(path), "mpp_um_per_px": 1.0}
    return next(iter_spot_patches(section, size_px=SIDE))


def as_patch(path: Path) -> np.ndarray:
    manifest = path.with_name("manifest.csv")
    manifest.write_text(f"path,label\n{path.name},t\n")
    return next(read_patch_set(PatchSetSettings(root=path.parent, manifest=manifest)).images())


DOORS = {"slide": as_slide, "section": as_section, "patch": as_patch}


def test_there_are_sixty_forms_and_more():
    assert len(FORMS) >= 60
    assert len({one.name for one in FORMS}) == len(FORMS)


@pytest.mark.parametrize("one", FORMS, ids=lambda one: one.name)
def test_form_is_one_picture_or_one_refusal_through_every_door(tmp_path, one):
    path = tmp_path / f"image.{one.ending}"
    one.write(path)
    if one.wanted is None:
        said = set()
        for read in DOORS.values():
            with pytest.raises(DataError, match=one.words) as caught:
                read(path)
            said.add(str(caught.value))
        assert len(said) == 1
        assert path.name in said.pop()
        return
    found = {door: read(path) for door, read in DOORS.items()}
    for pixels in found.values():
        np.testing.assert_array_equal(pixels, found["slide"])
    apart = np.abs(found["slide"].astype(int) - one.wanted)
    assert (apart.mean() if one.within > 1 else apart.max()) <= one.within
    with open_slide(path, needs_resolution=False) as slide:
        assert one.note in "; ".join(slide.notes)


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("pyramid, not marked", (1.0, 2.0, 4.0)),
        ("pyramid, smallest first", (1.0, 2.0, 4.0)),
        ("pyramid, marked", (1.0, 2.0)),
        ("thumbnail first", (1.0, 3.0)),
        ("OME pyramid in SubIFDs", (1.0, 2.0, 4.0)),
        ("another picture of its shape, smaller", (1.0,)),
        ("label of another shape first", (1.0,)),
    ],
)
def test_levels_are_the_pages_that_show_the_picture(tmp_path, name, levels):
    one = next(one for one in FORMS if one.name == name)
    path = tmp_path / f"image.{one.ending}"
    one.write(path)
    with open_slide(path, needs_resolution=False) as slide:
        assert slide.level_downsamples == levels


@pytest.mark.parametrize(
    ("name", "deep"),
    [("mapped", False), ("mapped planar", False), ("mapped big-endian", False), ("mapped 16 bits", True)],
)
def test_large_uncompressed_image_is_mapped(tmp_path, monkeypatch, name, deep):
    monkeypatch.setattr("hage_transfer.slides.tiff_segments._MAPPED_BYTES", 1)
    image = (DEEP << 4) | 15 if deep else RGB
    options = {"byteorder": ">"} if name.endswith("endian") else {}
    if name.endswith("planar"):
        image, options = np.moveaxis(image, 2, 0), {"planarconfig": "separate"}
    path = tmp_path / "image.tif"
    tiff(image, **options)(path)
    decoded = []
    monkeypatch.setattr("hage_transfer.slides.tiff_segments.TiffSegments.samples", lambda *asked: decoded.append(asked))
    with open_slide(path, needs_resolution=False) as slide:
        np.testing.assert_array_equal(slide.read_region(5, 7, level=0, width_px=80, height_px=60), RGB[7:67, 5:85])
    assert not decoded


@pytest.mark.parametrize("missing", [0, 3, 11])
def test_strip_that_is_not_in_the_file_is_glass_among_its_neighbours(tmp_path, missing):
    path = tmp_path / "image.tif"
    tiff(RGB, rowsperstrip=8, compression="deflate")(path)
    with tifffile.TiffFile(path) as file:
        counts = file.pages[0].tags[279]
        size = {3: "<H", 4: "<I"}[int(counts.dtype)]
        place = counts.valueoffset + missing * struct.calcsize(size)
    content = bytearray(path.read_bytes())
    content[place : place + struct.calcsize(size)] = bytes(struct.calcsize(size))
    path.write_bytes(content)
    wanted = RGB.copy()
    wanted[8 * missing : 8 * missing + 8] = 255
    np.testing.assert_array_equal(as_slide(path), wanted)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_jpeg_has_pillows_pixels_whole_and_in_parts(tmp_path, subsampling, progressive):
    pixels = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    path = tmp_path / "s.jpg"
    Image.fromarray(pixels).save(path, subsampling=subsampling, progressive=progressive, quality=80)
    wanted = np.asarray(Image.open(path))
    with open_picture(path) as picture:
        whole = picture.read_region(0, 0, level=0, width_px=53, height_px=37)
        part = picture.read_region(11, 5, level=0, width_px=20, height_px=30)
    np.testing.assert_array_equal(whole, wanted)
    np.testing.assert_array_equal(part, wanted[5:35, 11:31])
    assert part.base is None or part.base.size < wanted.size  # a part does not keep the image


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_jpeg_that_is_cut_short_is_refused_not_filled_with_grey(tmp_path, kept):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / "s.jpg"
    Image.fromarray(pixels).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with open_picture(path) as picture, pytest.raises(DataError, match=r"s\.jpg: damaged image"):
        picture.read_region(0, 0, level=0, width_px=64, height_px=64)
