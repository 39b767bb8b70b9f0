"""The picture of a slide's attention, and the contact sheet: what is where, and nothing that is not."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from hage_transfer.report.attention_contact import ContactRow, draw_contact_sheet
from hage_transfer.report.attention_map import (
    Layer,
    TilePlaces,
    blended,
    draw_attention_map,
    percentile_colour,
    tile_means,
)
from hage_transfer.report.thumbnail import Thumbnail


def test_tile_means_are_those_of_the_tiles_over_each_pixel():
    rng = np.random.default_rng(0)
    corners = rng.integers(-10, 95, size=(40, 2)).astype(float)  # some reach over the edge
    values = rng.random(40)
    found = tile_means((50, 60), 0.5, TilePlaces(corners, (16.0, 12.0)), values)
    total, count = np.zeros((50, 60)), np.zeros((50, 60))
    for (x, y), value in zip(corners, values, strict=True):
        rows = slice(max(round(y / 2), 0), max(round((y + 12) / 2), 0))
        columns = slice(max(round(x / 2), 0), max(round((x + 16) / 2), 0))
        total[rows, columns] += value
        count[rows, columns] += 1
    wanted = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_tile_smaller_than_a_pixel_takes_one():
    found = tile_means((4, 4), 0.01, TilePlaces(np.array([[250.0, 120.0]]), (20.0, 20.0)), np.array([7.0]))
    assert np.isfinite(found).sum() == 1
    assert found[1, 2] == 7


def test_pixels_without_a_tile_stay_grey_and_others_take_the_colour():
    image = np.full((2, 2, 3), (200, 80, 160), dtype=np.uint8)
    percentile = np.array([[np.nan, 100.0], [0.0, np.nan]], dtype=np.float32)
    found = blended(image, percentile).astype(int)
    assert len(set(found[0, 0])) == 1
    assert found[0, 1, 0] - found[0, 1, 2] > 80  # yellow
    assert found[1, 0, 2] > found[1, 0, 1]  # violet


def test_colours_of_percentiles_run_from_dark_to_light():
    lightness = [sum(percentile_colour(value)) for value in (0, 50, 100)]
    assert lightness == sorted(lightness)


@pytest.fixture
def tiles():
    y, x = np.divmod(np.arange(30), 6)
    return TilePlaces(np.stack([x, y], axis=1) * 100.0, (100.0, 100.0))


def test_the_map_shows_high_attention_where_it_is(tmp_path, tiles):
    percentile = np.where(np.arange(30) == 5, 100.0, 0.0)  # top right
    picture = Thumbnail(np.full((250, 300, 3), 255, np.uint8), 0.5)
    path = tmp_path / "map.png"
    draw_attention_map(path, picture, tiles, percentile, title="t", mpp_um_per_px=0.5)
    image = np.asarray(Image.open(path).convert("RGB")).astype(int)
    yellow = (image[..., 0] > 200) & (image[..., 1] > 200) & (image[..., 2] < 160)
    rows, columns = np.nonzero(yellow[: int(0.75 * len(image))])  # without the legend
    assert len(rows) > 500
    assert columns.min() > 0.75 * image.shape[1]
    assert rows.max() < 0.5 * len(image)


@pytest.mark.parametrize(("side", "said"), [(100.0, "numbers"), (5.0, "boxes"), (160.0, "numbers"), (0.0, "")])
def test_the_map_says_what_its_numbers_are(tmp_path, tiles, monkeypatch, side, said):
    titles = []
    monkeypatch.setattr(Axes, "set_title", lambda self, text, **_: titles.append(text))
    places, ranked = TilePlaces(tiles.corners_px, (side, side)), (3, 4) if side else ()
    picture = Thumbnail(np.full((250, 300, 3), 240, np.uint8), 0.5)
    layer = Layer("each tile alone", "log hazard", (0.0, 100.0))
    draw_attention_map(tmp_path / "m.png", picture, places, np.arange(30.0), title="t", ranked=ranked, layer=layer)
    assert titles[1] == "each tile alone" + (f"; {said}: the 2 tiles of highest attention" if said else "")


def test_the_same_attention_gives_the_same_picture(tmp_path, tiles):
    picture = Thumbnail(np.full((250, 300, 3), 240, np.uint8), 0.5)
    for name in ("a.png", "b.png"):
        draw_attention_map(tmp_path / name, picture, tiles, np.linspace(0, 100, 30), title="t", ranked=(3, 4))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_contact_sheet_reads_the_tiles_it_shows_and_no_other(tmp_path):
    asked = []

    def read(tile):
        asked.append(tile)
        return np.full((8, 8, 3), (255, 0, 0) if tile == 4 else (0, 0, 255), np.uint8)

    groups = [
        ContactRow("highest", (4, 9), ("1.", "2."), ((255, 255, 0), (0, 255, 0))),
        ContactRow("lowest", (0,), ("30.",), ((0, 0, 0),)),
    ]
    draw_contact_sheet(tmp_path / "sheet.png", groups, read, title="t")
    assert asked == [4, 9, 0]
    image = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    red = np.nonzero((image == (255, 0, 0)).all(-1))
    blue = np.nonzero((image == (0, 0, 255)).all(-1))
    assert len(red[0]) > 0.4 * len(blue[0])
    assert red[1].max() < image.shape[1] / 2
    assert blue[0].max() > image.shape[0] / 2
