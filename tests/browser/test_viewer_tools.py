"""Tools of the viewer: side by side, deciding tiles, legend, snapshot, ruler, areas, annotations, statistics."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from pytest import approx

from hage_transfer.viewer.tile_table import gene_values, read_tile_table

pytestmark = pytest.mark.slow  # a browser takes more than all other pages and their tests

HAGE = "#slide=s1&source=hage"
PAINTED = """selector => {
  const heat = document.querySelector(`${selector} canvas.overlay`);
  const pixels = heat.getContext('2d').getImageData(0, 0, heat.width, heat.height).data;
  return pixels.some((value, k) => k % 4 === 3 && value > 0);
}"""


def tiles_of(run, source="hage", slide="s1"):
    return read_tile_table(run / "heatmaps" / source / slide / "tiles.h5ad")


def still(page):
    """Waits until nothing is loaded any more."""
    expect(page.locator("#busy")).to_be_hidden(timeout=20_000)


def drag(page, start, end, selector="#viewer"):
    """Drags between two places, as shares of the pane."""
    box = page.locator(selector).bounding_box()
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (start, end)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=4)
    page.mouse.up()
    return np.subtract(*places[::-1])


def region(left, top, right, bottom, **properties):
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "id": f"f{left}", "geometry": geometry, "properties": properties}


def give(page, content, name="drawn.geojson"):
    """Chooses a file of annotations."""
    text = content if isinstance(content, str) else json.dumps(content)
    page.set_input_files("#geojson-file", {"name": name, "mimeType": "application/json", "buffer": text.encode()})


def collection(*features):
    return {"type": "FeatureCollection", "features": list(features)}


def test_two_sources_are_shown_side_by_side_and_move_together(opened, until):
    page = opened(HAGE).page
    page.keyboard.press("c")
    expect(page.locator("#beside-name")).to_have_text("frozen")
    expect(page.locator("#first-name")).to_have_text("hage")
    until(lambda: page.evaluate(PAINTED, "#viewer") and page.evaluate(PAINTED, "#beside"))
    assert "beside=frozen" in page.url
    first, second = (page.locator(f"{pane} .openseadragon-canvas").first for pane in ("#viewer", "#beside"))
    assert (first.bounding_box()["width"], first.bounding_box()["height"]) == (
        second.bounding_box()["width"],
        second.bounding_box()["height"],
    )
    shown = """() => ['#viewer', '#beside'].map((pane) => {
      const heat = document.querySelector(`${pane} canvas.overlay`).getContext('2d').getTransform();
      return [heat.a, heat.e, heat.f].map((value) => Math.round(value * 100) / 100);
    })"""
    seen = [page.evaluate(shown)[0]]
    for pane in ("#viewer", "#beside"):  # either leads
        drag(page, (0.6, 0.6), (0.4, 0.45), pane)
        page.locator(pane).hover()
        page.mouse.wheel(0, -240)
        until(lambda: page.evaluate(shown)[0] == page.evaluate(shown)[1] != seen[-1])
        page.wait_for_timeout(600)
        one, other = page.evaluate(shown)
        assert one == other
        seen.append(one)
    page.click("#compare")
    expect(page.locator("#beside-pane")).to_be_hidden()
    assert "beside" not in page.url


def test_side_by_side_has_one_scale_and_says_what_the_other_lacks(opened, mil_run):
    page = opened(HAGE + "&beside=frozen&layer=column%3Aattention").page
    both = np.concatenate([tiles_of(mil_run, source).columns["attention"] for source in ("hage", "frozen")])
    opacity = "all => all.map((one) => one.style.opacity)"
    assert page.locator("canvas.overlay").evaluate_all(opacity).count("0.55") == 2
    assert float(page.inner_text("#legend-high").strip("≥ ")) == approx(
        np.quantile(both, 0.99, method="nearest"), rel=1e-3
    )
    page.select_option("#layer", "gene:ESR1")
    expect(page.locator("#beside-name")).to_have_text("frozen: has no ESR1 here")
    assert not page.evaluate(PAINTED, "#beside")


def test_thumbnails_come_when_their_row_is_in_sight(opened, until):
    page = opened(width=390, height=320).page
    pictures = page.locator("#slides img.thumbnail")
    assert pictures.count() == 2  # the third slide is not there
    assert pictures.first.get_attribute("src") is None
    pictures.last.scroll_into_view_if_needed()
    until(lambda: pictures.evaluate_all("all => all.every((one) => one.naturalWidth > 60)"))


def test_deciding_tiles_are_gone_to_in_order_and_back(opened, until, mil_run):
    page = opened(HAGE).page
    attention = tiles_of(mil_run).columns["attention"]
    order = np.argsort(-attention)
    before = page.inner_text("#magnification")
    for step, key in ((0, "d"), (1, "d"), (0, "D")):
        page.keyboard.press(key if key == "d" else "Shift+D")
        expect(page.locator("#deciding-text")).to_contain_text(f"{step + 1} of 5, attention")
        assert f"Tile {order[step]} at" in page.inner_text("#tile-name")
    expect(page.locator("#magnification")).not_to_have_text(before)
    page.keyboard.press("b")
    expect(page.locator("#magnification")).to_have_text(before)
    expect(page.locator("#deciding-back")).to_be_disabled()


def test_the_legend_has_a_unit_and_the_cohorts_range(opened, mil_run):
    page = opened(HAGE + "&layer=gene%3AESR1").page
    expect(page.locator("#legend-unit")).to_contain_text("log10(1 + counts per 10,000")
    expect(page.locator("#range-text")).to_contain_text("2 slides")
    values = [gene_values(tiles_of(mil_run, slide=name), ["ESR1"]) for name in ("s0", "s1")]
    low, high = (
        choose([np.quantile(one, share, method="nearest") for one in values])
        for choose, share in ((min, 0.01), (max, 0.99))
    )
    page.check("#cohort-scale")
    ends = [float(page.inner_text(f"#legend-{end}").strip("≤≥ ")) for end in ("low", "high")]
    assert ends == approx([low, high], rel=1e-3)


def test_a_loading_sign_stands_while_parts_are_missing(open_page, address):
    page = open_page().page
    held, holding = [], [True]
    page.route(re.compile(r"/slides/s0/\d+/"), lambda one: held.append(one) if holding else one.continue_())
    page.goto(address)
    expect(page.locator("#busy")).to_have_text("Loading")
    holding.clear()
    for one in held:
        one.continue_()
    still(page)


def test_a_snapshot_has_the_slide_its_scale_bar_and_its_legend(opened):
    page = opened(HAGE).page
    still(page)
    with page.expect_download() as given:
        page.click("#snapshot")
    assert given.value.suggested_filename == "s1_Attention_percentile.png"
    picture = np.asarray(Image.open(io.BytesIO(given.value.path().read_bytes())).convert("RGB")).astype(int)
    pane = page.locator("#viewer").bounding_box()
    height = round(pane["height"])
    assert picture.shape[:2] == (height + 92, round(pane["width"]))
    bar = np.abs(picture[height + 48, :] - [28, 33, 38]).max(axis=1) < 30
    assert bar.sum() == approx(page.locator("#scale-bar").bounding_box()["width"], abs=6)
    legend = picture[height + 39, picture.shape[1] // 2 + 2 : -16]
    assert np.abs(legend[0] - [68, 1, 84]).max() < 12  # viridis, from one end to the other
    assert np.abs(legend[-1] - [253, 231, 37]).max() < 12
    assert picture[:height].std() > 20


def test_ruler_and_rectangle_measure_in_micrometres(opened):
    page = opened(HAGE).page
    still(page)
    um_per_px = float(re.search(r"([\d.]+) µm/px", page.inner_text("#magnification"))[1])
    page.keyboard.press("l")
    across, down = drag(page, (0.3, 0.3), (0.6, 0.5))
    page.keyboard.press("r")
    wide, high = drag(page, (0.4, 0.4), (0.7, 0.6))
    length, area = page.locator("#annotations .number").all_inner_texts()
    assert float(length.removesuffix(" µm")) == approx(np.hypot(across, down) * um_per_px, rel=0.01)
    assert float(area.removesuffix(" µm²")) == approx(wide * high * um_per_px**2, rel=0.02)
    page.keyboard.press("Escape")
    expect(page.locator("[data-tool=rectangle]")).to_have_attribute("aria-pressed", "false")


def test_an_outline_is_closed_by_enter_and_refused_where_it_crosses_itself(opened):
    page = opened(HAGE).page
    box = page.locator("#viewer").bounding_box()

    def click(*places):
        for x, y in places:
            page.mouse.click(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
            page.wait_for_timeout(350)  # else two clicks are a double one

    page.click("[data-tool=outline]")
    click((0.3, 0.3), (0.6, 0.6), (0.6, 0.3), (0.3, 0.6))
    page.locator("#viewer .openseadragon-canvas").first.press("Enter")
    expect(page.locator("#message")).to_contain_text("crosses itself")
    assert page.locator("#annotations li").count() == 0
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    expect(page.locator("#annotations li")).to_have_count(1)
    expect(page.locator("#message")).to_be_hidden()


def test_a_region_has_the_means_of_its_tiles(opened, mil_run):
    page = opened(HAGE + "&layer=gene%3AESR1").page
    give(page, collection(region(100, 100, 700, 460, name="Nest", classification={"name": "Tumor"})))
    page.click("#annotations li button")
    table = tiles_of(mil_run)
    x, y = (table.boxes[:, :2] + table.boxes[:, 2:] / 2).T
    inside = (x > 100) & (x < 700) & (y > 100) & (y < 460)
    expect(page.locator("#region-tiles")).to_contain_text(f"{inside.sum()} of 48 tiles")
    assert (page.input_value("#region-name"), page.input_value("#region-class")) == ("Nest", "Tumor")
    expect(page.locator("#region-values tr")).to_have_count(4)
    rows = {
        row.locator("th").inner_text(): row.locator("td").all_inner_texts()
        for row in page.locator("#region-values tr").all()
    }
    for name, values in (("ESR1", gene_values(table, ["ESR1"])), ("Attention", table.columns["attention"])):
        assert [float(one) for one in rows[name]] == approx([values[inside].mean(), values[~inside].mean()], rel=1e-3)


def test_annotations_are_written_back_as_they_were_read_with_what_was_drawn_and_measured(opened):
    page = opened(HAGE).page
    own = {"objectType": "annotation", "name": "Nest", "isLocked": True, "measurements": {"Old": 3}}
    hole = [[200, 200], [300, 200], [300, 300], [200, 200]]
    given = region(100, 100, 700, 460, **own)
    given["geometry"]["coordinates"].append(hole)
    line = {
        "type": "Feature",
        "geometry": {"type": "LineString", "coordinates": [[0, 0], [300, 400]]},
        "properties": None,
    }
    give(page, collection(given, line))
    expect(page.locator("#annotations li")).to_have_count(2)
    give(page, collection(given))  # again: nothing is written over
    expect(page.locator("#message")).to_contain_text("left as they are")
    page.keyboard.press("v")
    expect(page.locator("#annotations li")).to_have_count(3)
    page.fill("#region-class", "Stroma")
    with page.expect_download() as kept:
        page.click("#geojson-save")
    assert kept.value.suggested_filename == "s1.annotations.geojson"
    written = json.loads(kept.value.path().read_text())["features"]
    assert [one["geometry"] for one in written[:2]] == [given["geometry"], line["geometry"]]
    assert written[0]["properties"].items() > {"name": "Nest", "isLocked": True}.items()
    assert written[0]["properties"]["measurements"]["Old"] == 3
    assert written[0]["properties"]["measurements"]["Area µm^2"] == approx((600 * 360 - 5000) * 0.25)
    assert written[1]["properties"]["measurements"]["Length µm"] == approx(250)
    assert written[2]["properties"]["classification"]["name"] == "Stroma"
    assert written[2]["properties"]["measurements"]["Tiles"] == 48
    page.locator("h1").click()  # out of the field
    for key, name, count in (("p", "s0", 0), ("n", "s1", 3)):  # another slide and back: they are kept
        page.keyboard.press(key)
        expect(page.locator("#slide-name")).to_have_text(name)
        expect(page.locator("#annotations li")).to_have_count(count)


BOWTIE = {"type": "Polygon", "coordinates": [[[0, 0], [99, 99], [99, 0], [0, 99], [0, 0]]]}
OPEN = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}
HOSTILE = {
    "no GeoJSON": "{",
    "wanted a GeoJSON": '{"type": "Topology"}',
    "no annotation": collection(),
    "no Feature": collection(7),
    "feature 2": collection(region(0, 0, 9, 9), {"type": "Feature", "geometry": None}),
    "GeometryCollection": collection({"type": "Feature", "geometry": {"type": "GeometryCollection", "geometries": []}}),
    "outside the slide": collection(region(9e5, 9e5, 9.1e5, 9.1e5)),
    "crosses itself": collection({"type": "Feature", "geometry": BOWTIE}),
    "two numbers": collection({"type": "Feature", "geometry": {"type": "Point", "coordinates": ["<b>", None]}}),
    "not closed": collection({"type": "Feature", "geometry": OPEN}),
    "or more parts": collection({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[]]}}),
    "20000 at most": collection(*[0] * 20_001),
    "Nothing was read": '{"type": "FeatureCollection", "features": ' + "[" * 200_000 + "]" * 200_000 + "}",
    "properties are no object": collection({**region(0, 0, 9, 9), "properties": [1]}),
}  # fmt: skip


def test_places_of_a_slide_whose_border_qupath_crops_move_both_ways(opened):
    moved = """async () => {
      const { newAnnotation, readGeojson, writeGeojson } = await import('/assets/geojson.js');
      const options = { width: 1500, height: 1100, origin: [100, 50], file: 'f' };
      const drawn = newAnnotation('LineString', [[110, 70], [210, 70]], 'a', options.origin);
      const [read] = readGeojson(writeGeojson([drawn], () => ({})), options);
      return [read.feature.geometry.coordinates, read.lines[0]];
    }"""
    assert opened().page.evaluate(moved) == [[[10, 20], [110, 20]], [[110, 70], [210, 70]]]


def test_hostile_files_are_refused_with_a_message_and_add_nothing(opened):
    page = opened(HAGE).page
    for words, content in HOSTILE.items():
        give(page, content, name="<img src=x>.geojson")
        expect(page.locator("#message")).to_contain_text(words)
        assert page.locator("#annotations li").count() == 0, words
    assert page.locator("#message img").count() == 0
    give(page, collection(region(0, 0, 90, 90, name="<img src=x onerror=alert(1)>", __proto__={"x": 1})))
    expect(page.locator("#annotations li")).to_have_count(1)
    assert page.locator("#annotations img").count() == 0


def test_gene_sets_are_layers(opened, mil_run):
    page = opened(HAGE + "&layer=set%3AHORMONE").page
    expect(page.locator("#legend-name")).to_have_text("HORMONE, mean predicted expression")
    assert page.locator("#layer option[value^='set:']").all_inner_texts() == ["HORMONE 2 of 3 genes"]
    values = gene_values(tiles_of(mil_run), ["ESR1", "ERBB2"])
    assert float(page.inner_text("#legend-high").strip("≥ ")) == approx(
        np.quantile(values, 0.99, method="nearest"), rel=1e-3
    )


def test_new_cohorts_show_their_calls_and_doubts(open_page, run_server, application, mil_run, until):
    with run_server(application / "as_run", mil_run.parent / "slides") as server:
        watched = open_page()
        page = watched.page
        page.goto(server.address + "#slide=s1")
        page.wait_for_selector("body[data-ready]")
        row = page.locator("#slides tr[data-name=s1]")
        assert row.locator("td").all_inner_texts() == ["tumour (abstained)", "0.200", "0.400", "1.400"]
        assert row.locator("td.doubtful").get_attribute("title") == "its tiles are unlike training's"
        assert page.inner_text("#slide-doubt") == "Doubtful: its tiles are unlike training's"
        until(lambda: page.evaluate(PAINTED, "#viewer"))
        assert not watched.faults


@pytest.mark.parametrize(
    ("kind", "words", "cells"),
    [
        (
            "survival",
            "survival, risk is the log hazard from the training mean",
            ["event", "12.5", "1", "1.250", "1.400"],
        ),
        ("regression", "regression, ki67 in its own unit", ["31.5", "44.250", "1.400"]),
    ],
)
def test_new_cohorts_of_a_target_show_their_scores(
    open_page, run_server, make_target_application, mil_run, kind, words, cells
):
    with run_server(make_target_application(kind) / "as_run", mil_run.parent / "slides") as server:
        watched = open_page()
        page = watched.page
        page.goto(server.address + "#slide=s1")
        page.wait_for_selector("body[data-ready]")
        assert page.inner_text("#kind") == f"application to new slides: {words}"
        names = page.locator("#slides tbody tr").evaluate_all("rows => rows.map(row => row.dataset.name)")
        assert names == ["s1", "gone", "s0"]  # the highest score first
        row = page.locator("#slides tr[data-name=s1]")
        assert row.locator("td").all_inner_texts() == cells
        assert row.locator("td.wrong").count() == 0
        assert page.inner_text("#slide-doubt") == "Doubtful: its tiles are unlike training's"
        assert not watched.faults


def test_no_serious_fault_of_access_with_all_tools_open(opened, axe_faults):
    page = opened(HAGE + "&beside=frozen&layer=gene%3AESR1").page
    page.keyboard.press("v")
    page.keyboard.press("d")
    page.keyboard.press("l")
    page.click("summary")
    expect(page.locator("#region-values tr")).not_to_have_count(0)
    assert axe_faults(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert axe_faults(page) == []
