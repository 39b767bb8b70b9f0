"""Maker and model of a scanner, by the properties that each vendor's files have."""

import pytest

from hage_transfer.slides.scanner import scanner_of


@pytest.mark.parametrize(
    ("properties", "wanted"),
    [
        (
            {"openslide.vendor": "aperio", "tiff.ImageDescription": "Aperio Image Library v11.2.1\r\n46000x3291"},
            "Aperio",
        ),
        (
            {"openslide.vendor": "aperio", "tiff.ImageDescription": "Aperio Leica Biosystems GT450 v1.0.1\n1x1"},
            "Aperio GT450",
        ),
        ({"openslide.vendor": "hamamatsu", "hamamatsu.Product": "C9600-12"}, "Hamamatsu C9600-12"),
        ({"openslide.vendor": "leica", "leica.device-model": "Leica SCN400"}, "Leica SCN400"),
        ({"openslide.vendor": "ventana", "ventana.ScannerModel": "VENTANA DP 200"}, "VENTANA DP 200"),
        (
            {"openslide.vendor": "dicom", "dicom.Manufacturer": "Roche", "dicom.ManufacturerModelName": "DP 600"},
            "Roche DP 600",
        ),
        ({"openslide.vendor": "generic-tiff"}, ""),
        ({"openslide.vendor": "generic-tiff", "tiff.Make": "A\x00\nB " + "x" * 200}, "A B " + "x" * 56),
    ],
)
def test_scanner_is_maker_and_model(properties, wanted):
    assert scanner_of(properties) == wanted
