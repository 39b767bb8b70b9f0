"""Units of length as image files write them, in micrometres."""

UM_PER_INCH, UM_PER_CM = 25_400.0, 10_000.0
_UM: dict[str, float] = {
    "pm": 1e-6,
    "å": 1e-4,
    "nm": 1e-3,
    "um": 1.0,
    "mm": 1e3,
    "cm": UM_PER_CM,
    "dm": 1e5,
    "m": 1e6,
    "in": UM_PER_INCH,
    "thou": UM_PER_INCH / 1e3,
    "ft": 12 * UM_PER_INCH,
    "pt": UM_PER_INCH / 72,
}
_SPELT = {
    "µm": "um",
    "μm": "um",
    "µ": "um",
    "μ": "um",
    "\\u00b5m": "um",
    "mil": "thou",
    '"': "in",
    "inches": "in",
    "feet": "ft",
    "ångström": "å",
    "micron": "um",
    **{
        f"{word}{ending}": unit
        for word, unit in (("nanomet", "nm"), ("micromet", "um"), ("millimet", "mm"), ("centimet", "cm"), ("met", "m"))
        for ending in ("er", "re")
    },
    "inch": "in",
    "foot": "ft",
    "angstrom": "å",
}
TIFF_UNITS = {2: "inch", 3: "cm", 4: "mm", 5: "um"}
"""Units of TIFF's tag ResolutionUnit: TIFF's own, then those of its extensions; 1 is none."""


def um_per(unit: str) -> float | None:
    """Micrometres in one of a unit, by its symbol or name; None for what is no length (``pixel``).

    >>> um_per("millimeter"), um_per("µm"), um_per("pixel")
    (1000.0, 1.0, None)
    """
    name = unit.strip().casefold()
    for known in (name, name.removesuffix("s")):
        if (found := _UM.get(_SPELT.get(known, known))) is not None:
            return found
    return None
