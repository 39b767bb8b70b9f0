"""Which scanner made a slide, as far as its file says: maker and model, in a few words."""

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

import tifffile

_MAKERS = {
    "aperio": "Aperio",
    "hamamatsu": "Hamamatsu",
    "leica": "Leica",
    "mirax": "3DHISTECH",
    "philips": "Philips",
    "sakura": "Sakura",
    "trestle": "Trestle",
    "ventana": "Ventana",
    "zeiss": "Zeiss",
}
"""By OpenSlide's name of the format; plain TIFF and DICOM are of anybody."""
_MAKER = ("dicom.Manufacturer", "philips.DICOM_MANUFACTURER", "tiff.Make")
_MODEL = (
    "dicom.ManufacturerModelName",
    "philips.DICOM_MANUFACTURERS_MODEL_NAME",
    "leica.device-model",
    "ventana.ScannerModel",
    "hamamatsu.Product",
    "tiff.Model",
)
_APERIO = re.compile(r"Aperio (?!Image Library)(?:Leica Biosystems )?(.{1,40}?) v\d")
_MOST = 60


def scanner_of(properties: Mapping[str, str]) -> str:
    """Of OpenSlide's properties; empty where they name neither maker nor model."""
    maker = _first(properties, _MAKER) or _MAKERS.get(properties.get("openslide.vendor", ""), "")
    aperio = _APERIO.match(properties.get("tiff.ImageDescription", ""))
    return _joined(maker, aperio[1] if aperio else _first(properties, _MODEL))


def scanner_in_tiff(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> str:
    """Of a plain or OME TIFF: OME's microscope, else the tags of maker and model."""
    try:
        nodes = ET.fromstring(tiff.ome_metadata or "").iter() if tiff.is_ome else iter(())
        found = next((node for node in nodes if node.tag.rpartition("}")[2] == "Microscope"), None)
    except ET.ParseError:
        found = None
    if found is not None:
        return _joined(found.get("Manufacturer", ""), found.get("Model", ""))
    maker, model = (str(page.tags.valueof(code, "")) for code in (271, 272))
    return _joined(maker, model)


def _first(properties: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((properties[name] for name in names if properties.get(name, "").strip()), "")


def _joined(maker: str, model: str) -> str:
    maker, model = (" ".join("".join(c if c.isprintable() else " " for c in one).split()) for one in (maker, model))
    return (model if model.lower().startswith(maker.lower()) else f"{maker} {model}".strip())[:_MOST]
