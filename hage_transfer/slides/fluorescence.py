"""Slides of fluorescence: refused as such, since channels of dyes are no picture of stained tissue."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

import tifffile

from hage_transfer.errors import DataError, some
from hage_transfer.slides.tiff_facts import ome_pixels, ome_tag

_DYES = re.compile(
    r"dapi|hoechst|fitc|tritc|texas ?red|cy[2357]|alexa|opal ?\d|gfp|rfp|mcherry|atto|sytox|autofluo|\baf\d|spectrum",
    re.I,
)
_SIGNS = ("Fluor", "EmissionWavelength", "ExcitationWavelength")


def refuse_fluorescence(path: Path, tiff: tifffile.TiffFile) -> None:
    """Refuses a TIFF whose metadata say that its channels are of fluorescence.

    OME: channels of one sample with a dye, a wavelength or a fluorescent contrast method, or a dye's name; or four and
    more channels of one sample. QPTIFF (PerkinElmer, Akoya): images of one sample, each a dye's.

    Raises:
        DataError: see above; the channels are named.
    """
    if tiff.pages.first.samplesperpixel >= 3:
        return
    if tiff.is_ome:
        channels = _ome_channels(tiff.ome_metadata)
        if len(channels) > 3 or any(sign for _, sign in channels):
            raise _fluorescence(path, [name for name, _ in channels])
    elif tiff.is_qpi:
        raise _fluorescence(path, _qptiff_names(tiff))


def refuse_fluorescence_properties(path: Path, properties: Mapping[str, str]) -> None:
    """The same by what OpenSlide says of a MIRAX slide."""
    if "FLUOR" in properties.get("mirax.GENERAL.SLIDE_TYPE", "").upper():
        raise _fluorescence(path, [])


def _fluorescence(path: Path, names: Sequence[str]) -> DataError:
    named = [name for name in names if name]
    said = f" ({some(named, 6)})" if named else ""
    channels = f"{len(names)} channels{said}" if names else "by its metadata"
    return DataError(
        f"{path}: a fluorescence slide, {channels}; encoders of brightfield slides (H&E) cannot read it: give the "
        "brightfield scan"
    )


def _ome_channels(xml: str | None) -> list[tuple[str, bool]]:
    """Name of each channel of one sample, and whether it says that it is of fluorescence."""
    found = []
    for node in next(iter(ome_pixels(xml)), ()):
        if ome_tag(node) != "Channel" or node.get("SamplesPerPixel", "1") != "1":
            continue
        name = node.get("Name", "")
        contrast = node.get("ContrastMethod", "") + node.get("IlluminationType", "")
        sign = any(node.get(key) for key in _SIGNS) or "fluor" in contrast.lower() or "epifl" in contrast.lower()
        found.append((name, sign or _DYES.search(name) is not None))
    return found


def _qptiff_names(tiff: tifffile.TiffFile) -> list[str]:
    """Names of the full-size images of a QPTIFF."""
    first = tiff.pages[0]
    names = []
    for page in tiff.pages:
        if not isinstance(page, tifffile.TiffPage) or page.shape != first.shape:
            break
        try:
            node = ET.fromstring(page.description).find("Name")
        except ET.ParseError:
            node = None
        names.append("" if node is None else (node.text or "").strip())
    return names
