"""What the page is told, as JSON values: the run, a slide, its tissue, its tiles."""

import math
from typing import Any

from hage_transfer.slides.polygons import Piece
from hage_transfer.viewer.contents import Contents
from hage_transfer.viewer.deep_zoom import OVERLAP_PX, TILE_PX
from hage_transfer.viewer.layer import GeneSets, among
from hage_transfer.viewer.slide_pool import OpenSlide
from hage_transfer.viewer.tile_table import TileTable

_DECIMALS = 1


def described_run(contents: Contents) -> dict[str, Any]:
    """The list of slides."""
    return {
        "title": contents.title,
        "kind": contents.kind,
        "columns": dict(contents.columns),
        "sources": list(contents.sources),
        "hint": contents.hint,
        "slides": [
            {
                "name": slide.name,
                "found": slide.path is not None,
                "sought": slide.sought,
                "facts": {source: dict(facts) for source, facts in slide.facts.items()},
                "overlays": list(slide.overlays),
                "tissue": slide.tissue is not None,
            }
            for slide in contents.slides.values()
        ],
    }


def described_slide(opened: OpenSlide) -> dict[str, Any]:
    """Size, resolution and tiling of an open slide."""
    slide = opened.slide
    mpp = None if slide.resolution is None else [slide.resolution.x_um_per_px, slide.resolution.y_um_per_px]
    return {
        "file": slide.path.name,
        "width": slide.width_px,
        "height": slide.height_px,
        "mpp": mpp,
        "levels": len(slide.levels),
        "notes": list(slide.notes),
        "origin": list(slide.origin_px),
        "tileSize": TILE_PX,
        "overlap": OVERLAP_PX,
        "maxLevel": opened.zoom.n_levels - 1,
        "stamp": opened.stamp,
    }


def described_tiles(table: TileTable, sets: GeneSets) -> dict[str, Any]:
    """Names of what tiles have; the numbers themselves come as binary."""
    scores, there = None, set(table.genes)
    if table.scores is not None:
        scores = [round(float(score), 3) if math.isfinite(score) else None for score in table.scores]
    return {
        "stamp": table.stamp,
        "count": len(table),
        "shape": table.shape,
        "columns": list(table.columns),
        "genes": list(table.genes),
        "scores": scores,
        "scoreName": table.score_name.replace("heldout", "held-out").replace("_", " ").replace("pcc", "PCC"),
        "unit": table.unit,
        "sets": [
            {"name": name, "known": known, "of": len(genes)}
            for name, genes in sets.items()
            if (known := len(among(genes, there)))
        ],
        "cautions": list(table.cautions),
    }


def outlines(pieces: list[Piece]) -> list[list[list[float]]]:
    """Pieces of tissue: rings of flat x, y, x, y at level 0."""
    return [[ring.round(_DECIMALS).ravel().tolist() for ring in piece] for piece in pieces]
