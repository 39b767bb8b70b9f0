"""What the samples of a TIFF page mean, by its tags; every kind that is no brightfield picture is refused by name."""

from pathlib import Path

import numpy as np
import tifffile

from hage_transfer.errors import DataError
from hage_transfer.slides.samples import SAMPLES, Colour, SampleKind
from hage_transfer.slides.sources import PYRAMID_REMEDY
from hage_transfer.slides.tiff_facts import segment_shape

MASK = 4
"""PhotometricInterpretation of a page that is a mask of another."""
JPEG, _OLD_JPEG = 7, 6
_COLOURS: dict[int, Colour] = {0: "grey", 1: "grey", 2: "rgb", 3: "palette", 5: "cmyk", 6: "ycbcr"}
_NAMES = {4: "a mask", 8: "CIE Lab", 9: "ICC Lab", 10: "ITU Lab", 32803: "raw camera data", 34892: "raw camera data"}
_SAMPLE_FORMATS = {2: "signed", 3: "float", 5: "complex", 6: "complex"}
_REMEDY = "a brightfield slide is RGB, RGBA, grey, palette or CMYK; save it as 8-bit RGB"
_PREMULTIPLIED, _STRAIGHT = 1, 2
_CMYK_INKS = 1
_YCBCR_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
_MAX_SEGMENT_BYTES = 2**30


def compression_name(page: tifffile.TiffPage) -> str:
    """``compression 34712 (JPEG2000)``."""
    number = int(page.compression)
    try:
        return f"compression {number} ({tifffile.COMPRESSION(number).name})"
    except ValueError:
        return f"compression {number}"


def decodable(page: tifffile.TiffPage) -> bool:
    """Whether tifffile and imagecodecs decode a page's compression."""
    if int(page.compression) == _OLD_JPEG:  # of a form that was given up for its ambiguities
        return False
    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
        tifffile.TIFF.UNPREDICTORS[page.predictor]
    except KeyError:
        return int(page.compression) in (2, 3, 4) and int(page.predictor) == 1  # fax: tifffile's own branch
    return True


def kind_of(path: Path, page: tifffile.TiffPage) -> SampleKind:
    """The kind of a page's samples; for 9 to 16 bits, all of them are taken as data.

    Raises:
        DataError: no picture by transmitted light, or a compression that nothing here decodes.
    """
    if not decodable(page):
        raise DataError(
            f"{path}: {compression_name(page)} is decoded by no library here; save it with deflate, LZW or JPEG"
        )
    check_samples(path, page)
    photometric = int(page.photometric)
    samples = int(page.samplesperpixel)
    colour = _COLOURS.get(photometric)
    if colour is None:
        raise DataError(
            f"{path}: {_NAMES.get(photometric, f'photometric {photometric}')} instead of colours; {_REMEDY}"
        )
    if colour == "ycbcr":
        colour = _settled_ycbcr(path, page)
    if colour == "cmyk" and page.tags.valueof(332, _CMYK_INKS) != _CMYK_INKS:
        raise DataError(f"{path}: inks other than CMYK; {_REMEDY}")
    alpha = _alpha(path, page, samples - SAMPLES[colour])
    bits = int(page.bitspersample)
    if colour == "grey" and bits > 8:
        raise DataError(
            f"{path}: {bits}-bit grey, which is a channel (fluorescence, a mask, a height) and no picture of a stained "
            "slide; save it as 8-bit RGB"
        )
    return SampleKind(
        colour=colour,
        bits=bits,
        alpha=alpha,  # type: ignore[arg-type]
        alpha_bits=bits,
        white_is_zero=photometric == 0,
        palette=_palette(path, page) if colour == "palette" else None,
    )


def recorded_bits(page: tifffile.TiffPage) -> int | None:
    """Bits that a page's largest sample, by its tags SMaxSampleValue or MaxSampleValue, needs; None without them."""
    for tag in (341, 281):
        value = page.tags.valueof(tag)
        try:
            largest = int(np.max(value)) if value is not None else 0
        except (TypeError, ValueError, OverflowError):
            continue
        if largest > 0:
            return max(8, largest.bit_length())
    return None


def check_samples(path: Path, page: tifffile.TiffPage) -> None:
    """Refuses samples that no camera of a slide scanner writes, and volumes.

    Raises:
        DataError: signed, float or complex samples, more than 16 bits, several depths, or strips too large to decode.
    """
    formats, bits = page.sampleformat, page.bitspersample
    name = next((_SAMPLE_FORMATS[code] for code in np.atleast_1d(formats).tolist() if code in _SAMPLE_FORMATS), None)
    if name is not None or not isinstance(bits, int) or page.dtype is None or page.dtype.kind not in "ub" or bits > 16:
        depth = bits if isinstance(bits, int) else " and ".join(map(str, bits))
        raise DataError(
            f"{path}: {name + ' ' if name else ''}samples of {depth} bits; a brightfield slide has 8 or 16 bits, "
            "unsigned; save it as 8-bit RGB"
        )
    if int(page.imagedepth) > 1 or (page.is_tiled and int(page.tiledepth) > 1):
        raise DataError(f"{path}: a volume of {page.imagedepth} planes, of which none is the slide; save one")
    height, width = segment_shape(page)
    size = height * width * page.samplesperpixel * page.dtype.itemsize
    if size > _MAX_SEGMENT_BYTES and int(page.compression) != 1:
        raise DataError(
            f"{path}: {page.imagewidth} x {page.imagelength} px in strips or tiles of {size / 2**30:.0f} GiB; "
            f"{PYRAMID_REMEDY}"
        )


def _settled_ycbcr(path: Path, page: tifffile.TiffPage) -> Colour:
    """JPEG's decoder gives RGB; other YCbCr is read where it is stored a sample a pixel, in full range."""
    if int(page.compression) == JPEG:
        return "rgb"
    limits = page.tags.valueof(532)
    flat = None if limits is None else _rationals(limits)
    if page.is_subsampled or int(page.bitspersample) != 8 or flat not in (None, _YCBCR_RANGE):
        raise DataError(f"{path}: YCbCr with {compression_name(page)}, thinned or of a range of its own; {_REMEDY}")
    return "ycbcr"


def _rationals(values: object) -> tuple[float, ...] | None:
    flat = np.asarray(values, dtype=np.float64).ravel()
    if flat.size != 2 * len(_YCBCR_RANGE) or (flat[1::2] == 0).any():
        return ()
    return tuple((flat[::2] / flat[1::2]).tolist())


def _alpha(path: Path, page: tifffile.TiffPage, extra: int) -> str:
    kinds = [int(kind) for kind in np.atleast_1d(page.extrasamples).tolist()] if extra else []
    if extra == 0:
        return ""
    if extra == 1 and kinds in ([_PREMULTIPLIED], [_STRAIGHT]):
        return "premultiplied" if kinds == [_PREMULTIPLIED] else "straight"
    raise DataError(
        f"{path}: {page.samplesperpixel} channels (samples a pixel), photometric {int(page.photometric)}, and its "
        f"ExtraSamples do not say that the last is alpha; {_REMEDY}"
    )


def _palette(path: Path, page: tifffile.TiffPage) -> np.ndarray:
    colours = page.colormap
    if colours is None or colours.ndim != 2 or len(colours) != 3:
        raise DataError(f"{path}: palette colours without a palette; fetch it again")
    if colours.max(initial=0) < 256:  # some writers store 8 bits where 16 are due
        return np.ascontiguousarray(colours.T.astype(np.uint8))
    return np.ascontiguousarray((colours.T >> 8).astype(np.uint8))
