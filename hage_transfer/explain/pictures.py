"""Pictures of an explained slide: maps, the contact sheet, and the tiles for QuPath."""

import re
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np

from hage_transfer.explain.files import ExplainedTiles
from hage_transfer.mil.heatmap_geojson import write_attention_geojson
from hage_transfer.report.attention_contact import ContactRow, draw_contact_sheet
from hage_transfer.report.attention_map import (
    THUMBNAIL_PX,
    Layer,
    TilePlaces,
    draw_attention_map,
    limits,
    percentile_colour,
)
from hage_transfer.report.thumbnail import Thumbnail
from hage_transfer.slides.slide import Slide

MAP_FILE, CONTACT_FILE, GEOJSON_FILE = "attention.png", "contact_sheet.png", "attention.geojson"
SCORE_MAPS = "score_*.png"
_NOTE_LETTERS = 110


def draw_pictures(
    folder: Path, slide: Slide, places: TilePlaces, table: ExplainedTiles, *, px: int, source: str, top: int
) -> None:
    """Writes the map, the contact sheet and the GeoJSON.

    Args:
        folder: to write to.
        slide: open.
        places: of the tiles.
        table: of the tiles.
        px: side of a tile as the encoder saw it.
        source: named feature source.
        top: tiles of highest and of lowest attention.
    """
    explanation = table.explanation
    order = np.argsort(-explanation.attention, kind="stable").tolist()
    title = f"{explanation.slide.name}: label {explanation.slide.label}, {explanation.call}"
    notes = (_made_by(table, source), *(_short(caution) for caution in explanation.cautions(table.deciding)))
    image = slide.thumbnail(max_px=THUMBNAIL_PX)
    draw = partial(
        draw_attention_map,
        picture=Thumbnail(image, image.shape[1] / slide.width_px),
        tiles=places,
        title=title,
        notes=notes,
        mpp_um_per_px=None if slide.resolution is None else slide.resolution.mean_um_per_px,
        ranked=tuple(order[:top]) if np.ptp(explanation.attention) > 0 else (),
    )
    draw(folder / MAP_FILE, values=explanation.percentile)
    for one, values in zip(explanation.shown, explanation.tile_columns.values(), strict=False):
        layer = Layer("each tile alone", one.unit, limits(values))
        draw(folder / _score_map(explanation.shown.index(one), one.name), values=values, layer=layer)
    width, height = places.size_px

    def read(tile: int) -> np.ndarray:
        x, y = places.corners_px[tile]
        return slide.read_box(
            float(x), float(y), width_level0_px=width, height_level0_px=height, out_width_px=px, out_height_px=px
        )

    shown = min(top, len(order) // 2) or len(order)
    groups = [_row(table, "highest attention", order[:shown], first=1)]
    if len(order) > 1:
        groups.append(_row(table, "lowest attention", order[: -shown - 1 : -1], first=len(order), step=-1))
    note = "frame: percentile of attention; × even: attention times the number of tiles"
    if explanation.tile_probabilities is not None:
        place = explanation.classes.index(explanation.predicted)
        what = explanation.shown[place].unit if explanation.shown else f"p of {explanation.predicted}"
        note += f"; alone: {what} if the tile were the whole slide"
    draw_contact_sheet(folder / CONTACT_FILE, groups, read, title=title, subtitles=notes, note=note)
    measured = {"attention": explanation.attention, "attention percentile": explanation.percentile}
    measured |= {name.replace("_", " ", 1): values for name, values in explanation.tile_columns.items()}
    write_attention_geojson(
        folder / GEOJSON_FILE,
        places.corners_px,
        places.size_px,
        percentile=explanation.percentile,
        measurements=measured,
        colour=percentile_colour,
        origin_px=slide.origin_px,
    )


def _score_map(place: int, name: str) -> str:
    """Of a file: labels are columns of a table, and may hold what a file's name may not."""
    return f"score_{place + 1}_{re.sub(r'[^A-Za-z0-9-]+', '_', name)[:60]}.png"


def _made_by(table: ExplainedTiles, source: str) -> str:
    explanation = table.explanation
    folds = explanation.slide.folds
    models = len(explanation.slide.probabilities)
    mean = f"mean of {models} models" if models > 1 else "one model"
    return f"source {source}, {explanation.kind}, fold {' '.join(folds)}, {mean} that never saw it; {len(table)} tiles"


def _row(table: ExplainedTiles, heading: str, tiles: list[int], *, first: int, step: int = 1) -> ContactRow:
    """Tiles of ranks ``first``, ``first + step``, and so on."""
    explanation = table.explanation
    captions = []
    for rank, tile in zip(count(first, step), tiles, strict=False):
        times = explanation.attention[tile] * len(table)
        lines = f"{rank}.  {_times(times)} × even"
        if explanation.tile_probabilities is not None:
            place = explanation.classes.index(explanation.predicted)
            lines += f"\nalone {explanation.tile_probabilities[tile, place]:{'.3g' if explanation.shown else '.2f'}}"
        captions.append(lines)
    return ContactRow(heading, tiles, captions, [percentile_colour(explanation.percentile[tile]) for tile in tiles])


def _times(value: float) -> str:
    return f"{value:.1f}" if value >= 0.95 else f"{value:.2g}"


def _short(text: str) -> str:
    return text if len(text) <= _NOTE_LETTERS else f"{text[: _NOTE_LETTERS - 1]}…"
