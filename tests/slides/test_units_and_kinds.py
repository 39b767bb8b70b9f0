"""Resolution in every unit that files record it in, and fluorescence refused as such."""

import numpy as np
import pytest
import tifffile

from hage_transfer.errors import DataError
from hage_transfer.slides.reader import open_slide
from hage_transfer.slides.units import um_per

PICTURE = np.full((64, 80, 3), 200, np.uint8)
MPP = 0.5


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        *((name, 1) for name in ("µm", "μm", "um", "micron", "microns", "Micrometer", "\\u00B5m")),
        *((name, 25_400) for name in ("inch", "in", "inches")),
        *(("nm", 1e-3), ("mm", 1e3), ("Millimeter", 1e3), ("cm", 1e4), ("centimetres", 1e4), ("m", 1e6), ("Å", 1e-4)),
        *(("thou", 25.4), ("ft", 304_800), ("pt", 25_400 / 72)),
        *((name, None) for name in ("pixel", "reference frame", "")),
    ],
)
def test_units_by_symbol_and_name(unit, um):
    assert um_per(unit) == (None if um is None else pytest.approx(um))


@pytest.mark.parametrize("unit", ["µm", "nm", "mm", "cm", "m", "in", "thou", "pt", "Å"])
def test_ome_sizes_are_read_in_their_unit(tmp_path, unit):
    metadata = {"axes": "YXS"}
    for axis in "XY":
        metadata |= {f"PhysicalSize{axis}": MPP / um_per(unit), f"PhysicalSize{axis}Unit": unit}
    tifffile.imwrite(tmp_path / "s.ome.tif", PICTURE, photometric="rgb", tile=(32, 32), metadata=metadata)
    with open_slide(tmp_path / "s.ome.tif") as slide:
        assert slide.mpp_um_per_px == pytest.approx(MPP)
        assert slide.resolution.source == "its OME metadata"


@pytest.mark.parametrize(("unit", "um"), [(2, 25_400), (3, 10_000), (4, 1_000), (5, 1)])
@pytest.mark.parametrize("tile", [(32, 32), None])
def test_resolution_tags_are_read_in_their_unit(tmp_path, unit, um, tile):
    per_unit = um / MPP, um / MPP
    tifffile.imwrite(
        tmp_path / "s.tif", PICTURE, photometric="rgb", resolution=per_unit, resolutionunit=unit, tile=tile
    )
    with open_slide(tmp_path / "s.tif") as slide:
        assert slide.mpp_um_per_px == pytest.approx(MPP)
        assert slide.resolution.source.startswith(("its TIFF resolution tags (px per ", "its metadata"))


def imagej(path, unit, per_unit):
    how = {"resolution": (per_unit, per_unit), "metadata": {"unit": unit}}
    tifffile.imwrite(path, PICTURE, imagej=True, photometric="rgb", **how)


@pytest.mark.parametrize(
    ("unit", "um"), [("micron", 1), ("um", 1), ("\\u00B5m", 1), ("mm", 1e3), ("cm", 1e4), ("inch", 25_400)]
)
def test_imagej_units_are_read(tmp_path, unit, um):
    imagej(tmp_path / "s.tif", unit, um / MPP)
    with open_slide(tmp_path / "s.tif") as slide:
        assert slide.mpp_um_per_px == pytest.approx(MPP)


def test_a_unit_that_is_no_length_gives_no_resolution(tmp_path):
    imagej(tmp_path / "s.tif", "pixel", 2)
    with pytest.raises(DataError, match="records no resolution"), open_slide(tmp_path / "s.tif"):
        pass


def test_aperio_s_mpp_is_read_from_any_description(tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", PICTURE, photometric="rgb", description="converted|AppMag = 20|MPP = 0.4990")
    with open_slide(tmp_path / "s.tif") as slide:
        assert slide.mpp_um_per_px == pytest.approx(0.499)
        assert slide.resolution.source == "MPP in its description"


def ome(path, channels, names=None, **more):
    pixels = np.zeros((channels, 64, 64), np.uint8)
    metadata = {"axes": "CYX", "Channel": {"Name": names, **more}} if names else {"axes": "CYX"}
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata=metadata)


def qptiff(path):
    root = "PerkinElmer-QPI-ImageDescription"
    how = {"photometric": "minisblack", "tile": (32, 32), "software": "PerkinElmer-QPI 1.0", "metadata": None}
    with tifffile.TiffWriter(path) as file:
        for name in ("DAPI", "Opal 520", "Opal 690"):
            text = f"<?xml version='1.0'?><{root}><Name>{name}</Name></{root}>"
            file.write(np.zeros((64, 64), np.uint8), description=text, **how)


WAVES = {"EmissionWavelength": [450, 520], "EmissionWavelengthUnit": ["nm", "nm"]}
FLUORESCENT = {
    "four channels": lambda path: ome(path, 4),
    "dyes": lambda path: ome(path, 3, ["DAPI", "CD3", "CD8"]),
    "one dye": lambda path: ome(path, 1, ["Hoechst 33342"]),
    "wavelengths": lambda path: ome(path, 2, ["a", "b"], **WAVES),
    "a contrast method": lambda path: ome(path, 3, ["a", "b", "c"], ContrastMethod=["Fluorescence"] * 3),
    "QPTIFF": qptiff,
}


@pytest.mark.parametrize("kind", FLUORESCENT)
def test_fluorescence_is_refused_as_such(tmp_path, kind):
    path = tmp_path / ("s.qptiff" if kind == "QPTIFF" else "s.ome.tif")
    FLUORESCENT[kind](path)
    said = r"a fluorescence slide, \d channels.*brightfield"
    with pytest.raises(DataError, match=said), open_slide(path, mpp_um_per_px=0.5):
        pass


def test_brightfield_is_not_taken_for_fluorescence(tmp_path):
    metadata = {"axes": "YXS", "Channel": {"Name": ["Alexa"]}}
    tifffile.imwrite(tmp_path / "s.ome.tif", PICTURE, photometric="rgb", tile=(32, 32), metadata=metadata)
    with open_slide(tmp_path / "s.ome.tif", mpp_um_per_px=0.5) as slide:
        assert slide.width_px == 80
