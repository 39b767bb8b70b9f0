"""Panels that the field hands from file to file, which were chosen on the sections that test."""

import hashlib
from collections.abc import Iterable

_KNOWN = {
    "b938be8e90a57c6c5ac169cfe1f044e3bd588c1090aff07a4e1e314dbaa54cec": ("785", "HER2+ (her2st)", "her2st"),
    "40a10f2dbd0184cabc27d7c56ecdce9854c426fc25621f99772d6e3072150d9b": ("171", "cSCC (GSE144240)", "gse144240"),
}
"""Hash of the symbols to how many there are, whose sections chose them, and the layout of those."""


def panel_sha256(symbols: Iterable[str]) -> str:
    """Hash of the genes of a panel, whatever their order and case."""
    return hashlib.sha256("\n".join(sorted({name.strip().upper() for name in symbols})).encode()).hexdigest()


def panel_warnings(symbols: Iterable[str], *, layout: str) -> list[str]:
    """What a known panel has seen of the sections that test; nothing of other panels and other data."""
    count, whose, own_layout = _KNOWN.get(panel_sha256(symbols), ("", "", ""))
    if not count or layout != own_layout:
        return []
    return [
        f"the panel is the field's list of {count} genes, variable over all {whose} sections, those that test here "
        "among them; genes.panel = hvg chooses on the training sections alone"
    ]
