import re
import shutil
from urllib.parse import parse_qs

import numpy as np
import pytest
from playwright.sync_api import expect
from pytest import approx

from hage_transfer.viewer.tile_table import gene_values, read_tile_table

pytestmark = pytest.mark.slow  # a browser takes more than all other pages and their tests

PAINTED = """() => {
  const heat = document.querySelector('canvas.overlay');
  const pixels = heat.getContext('2d').getImageData(0, 0, heat.width, heat.height).data;
  let count = 0;
  for (let k = 3; k < pixels.length; k += 4) count += pixels[k] > 0;
  return count;
}"""
COLOURS = """() => {
  const heat = document.querySelector('canvas.overlay');
  return new Set(new Uint32Array(heat.getContext('2d').getImageData(0, 0, heat.width, heat.height).data.buffer)).size;
}"""


def levels(watched):
    """Deep-zoom levels that the page asked for."""
    return [int(found[1]) for url in watched.asked if (found := re.search(r"/slides/[^/]+/(\d+)/", url))]


def state(page):
    return {key: values[0] for key, values in parse_qs(page.evaluate("location.hash")[1:]).items()}


def test_viewer_shows_a_slide_and_zooms_into_it(opened):
    watched = opened()
    page = watched.page
    assert page.inner_text("#slide-name") == "s0"
    expect(page.locator("#magnification")).to_contain_text("µm/px")
    before = page.inner_text("#magnification"), max(levels(watched))
    with page.expect_response(re.compile(r"/slides/s0/11/\d+_\d+\.jpg")) as tile:
        for _ in range(4):
            page.click("#zoom-in")
    assert tile.value.ok
    assert max(levels(watched)) > before[1]
    expect(page.locator("#magnification")).not_to_have_text(before[0])
    page.click("#whole")
    expect(page.locator("#magnification")).to_have_text(before[0])


def test_a_slide_opens_whole_and_stays_so_in_a_window_of_another_size(opened):
    page = opened().page
    for size in (None, (1920, 700), (390, 844), (1280, 900)):
        if size is not None:
            page.set_viewport_size({"width": size[0], "height": size[1]})
        page.wait_for_timeout(300)
        opens_at = page.inner_text("#magnification")
        page.click("#whole")
        page.wait_for_timeout(700)  # it moves there for half a second
        assert page.inner_text("#magnification") == opens_at


def test_viewer_shows_a_real_slide(open_page, run_server, real_data, tmp_path):
    folder = tmp_path / "tissue"
    folder.mkdir()
    slide = real_data / "slides" / "CMU-1-Small-Region.svs"
    (folder / "tissue.csv").write_text(f"slide,path,tissue_mm2,pieces,tiles\nCMU-1-Small-Region,{slide},1,1,60\n")
    with run_server(folder) as server:
        watched = open_page()
        page = watched.page
        page.goto(server.address)
        page.wait_for_selector("body[data-ready]")
        assert page.inner_text("#slide-facts").startswith("2220 × 2967 px · 0.499 µm/px")
        with page.expect_response(re.compile(r"/slides/CMU-1-Small-Region/12/")) as tile:
            page.click("#native")
        assert tile.value.ok
        expect(page.locator("#magnification")).to_have_text("20× · 0.499 µm/px")
        assert "hage heatmap" in page.inner_text("#hint")
        assert not watched.faults
        assert not watched.outside(server.address)


def test_overlay_is_painted_and_switched_and_fades(opened, until):
    page = opened().page
    until(lambda: page.evaluate(PAINTED) > 1000)
    heat = page.locator("canvas.overlay").first
    opacity = "element => element.style.opacity"
    assert float(heat.evaluate(opacity)) == approx(0.55)
    page.uncheck("#overlay-on")
    assert heat.evaluate(opacity) == "0"
    page.check("#overlay-on")
    page.fill("#opacity", "20")
    assert float(heat.evaluate(opacity)) == approx(0.2)
    assert page.inner_text("#opacity-value") == "20 %"


def test_smooth_overlay_has_more_colours_and_cautions_are_told(opened, until):
    page = opened("#slide=s0&source=hage").page
    until(lambda: page.evaluate(PAINTED) > 1000)
    assert page.locator("#cautions li").all_inner_texts() == ["attention is nearly even"]
    sharp = page.evaluate(COLOURS)
    page.check("#smooth")
    assert page.evaluate(COLOURS) > 10 * sharp


def test_threshold_leaves_the_highest_tiles(opened, until):
    page = opened().page
    until(lambda: page.evaluate(PAINTED) > 1000)
    everything = page.evaluate(PAINTED)
    page.fill("#threshold", "75")
    assert page.evaluate(PAINTED) / everything == approx(0.25, abs=0.03)  # of percentiles
    assert page.inner_text("#threshold-value") == "75 and more"


def test_gene_is_found_by_search_and_its_value_under_the_pointer_is_the_files(opened, mil_run):
    page = opened("#slide=s1&source=hage").page
    expect(page.locator("#legend-name")).to_contain_text("Attention")
    page.fill("#layer-search", "esr")
    assert page.locator("#layer option[value^='gene:']").all_inner_texts() == ["ESR1 0.30"]
    page.select_option("#layer", "gene:ESR1")
    expect(page.locator("#legend-name")).to_contain_text("ESR1")
    box = page.locator("#viewer").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#tile-values tr")
    tile = int(re.search(r"Tile (\d+)", page.inner_text("#tile-name"))[1])
    values = gene_values(read_tile_table(mil_run / "heatmaps" / "hage" / "s1" / "tiles.h5ad"), ["ESR1"])
    shown = page.locator("#tile-values tr", has_text="ESR1").locator("td").inner_text()
    assert float(shown) == approx(values[tile], abs=1e-3)
    left, top = (750 // 128) * 128, (550 // 128) * 128  # the slide's middle
    assert f"at ({left}, {top})" in page.inner_text("#tile-name")
    low, high = np.quantile(values, [0, 1])
    assert (
        low
        <= float(page.inner_text("#legend-low").strip("≤ "))
        < float(page.inner_text("#legend-high").strip("≥ "))
        <= high
    )


def test_other_source_keeps_the_slide_and_lacks_genes(opened):
    page = opened("#slide=s1&source=hage&layer=gene%3AESR1").page
    expect(page.locator("#legend-name")).to_contain_text("ESR1")
    page.select_option("#source", "frozen")
    expect(page.locator("#legend-name")).to_contain_text("Attention")
    assert page.inner_text("#slide-name") == "s1"
    assert page.locator("#layer option[value^='gene:']").count() == 0


def test_page_opens_with_the_source_that_has_values_and_names_it_where_another_has_none(
    open_page, run_server, make_mil_run, tmp_path, until
):
    run = make_mil_run(tmp_path)
    shutil.rmtree(run / "heatmaps" / "frozen")
    with run_server(run) as server:
        page = open_page().page
        page.goto(server.address)
        page.wait_for_selector("body[data-ready]")
        until(lambda: page.evaluate(PAINTED) > 1000)
        assert page.input_value("#source") == "hage"
        page.select_option("#source", "frozen")
        expect(page.locator("#hint")).to_have_text("No values of frozen for this slide. There are some of hage.")


def test_slides_are_sorted_and_searched(opened):
    page = opened().page
    names = page.locator("#slides tbody th button")
    score = page.locator("#slides thead th", has_text="P(tumour)")
    assert names.all_inner_texts() == ["s0", "s1", "gone"]  # the highest score first
    assert score.get_attribute("aria-sort") == "descending"
    score.locator("button").click()
    assert names.all_inner_texts() == ["gone", "s1", "s0"]
    assert score.get_attribute("aria-sort") == "ascending"
    score.locator("button").click()
    assert names.all_inner_texts() == ["s0", "s1", "gone"]
    page.fill("#search", "S1")
    assert names.all_inner_texts() == ["s1"]
    assert page.inner_text("#count") == "1 of 3 slides"
    page.click("#slides tbody button")
    expect(page.locator("#slide-name")).to_have_text("s1")


def test_slide_that_is_not_there_is_told_and_has_no_layers(opened):
    page = opened().page
    page.click("#slides tbody tr[data-name=gone]")
    page.wait_for_selector("#message:visible")
    assert "--slides FOLDER" in page.inner_text("#message")
    assert page.evaluate(PAINTED) == 0
    assert not page.is_visible("#layers")
    page.click("#slides tbody tr[data-name=s1]")
    page.wait_for_selector("#message", state="hidden")


def test_address_keeps_slide_view_and_layer(opened):
    wanted = {"slide": "s1", "source": "hage", "layer": "gene:COL1A1", "x": "0.40000", "y": "0.30000", "zoom": "3.0000"}
    page = opened("#" + "&".join(f"{key}={value.replace(':', '%3A')}" for key, value in wanted.items())).page
    expect(page.locator("#legend-name")).to_contain_text("COL1A1")
    assert state(page) == wanted


def test_keys_zoom_and_switch_the_overlay(opened, until):
    page = opened().page
    zoom = float(state(page)["zoom"])
    page.focus(".openseadragon-canvas")
    page.keyboard.press("+")
    until(lambda: float(state(page)["zoom"]) > zoom)
    page.keyboard.press("o")
    assert not page.is_checked("#overlay-on")
    page.focus("#search")
    page.keyboard.press("o")
    assert not page.is_checked("#overlay-on")  # there it is a letter


def test_the_letter_o_switches_the_overlay_and_the_digit_0_shows_the_whole_slide(opened, until):
    page = opened().page
    expect(page.locator("#whole")).to_have_attribute("title", re.compile("digit 0"))
    expect(page.locator("label:has(#overlay-on) kbd")).to_have_text("letter O")
    whole = float(state(page)["zoom"])
    page.focus(".openseadragon-canvas")
    for key in ("O", "o"):
        is_on = page.is_checked("#overlay-on")
        page.keyboard.press(key)
        assert page.is_checked("#overlay-on") is not is_on
    assert float(state(page)["zoom"]) == whole
    page.keyboard.press("+")
    until(lambda: float(state(page)["zoom"]) > whole)
    page.keyboard.press("0")
    until(lambda: float(state(page)["zoom"]) == whole)
    assert page.is_checked("#overlay-on")


def test_keys_go_to_the_next_and_the_previous_slide_of_the_list(opened):
    page = opened().page
    for key, name in (("n", "s1"), ("p", "s0"), ("p", "s0"), ("N", "s1")):
        page.keyboard.press(key)
        expect(page.locator("#slide-name")).to_have_text(name)


def test_a_gene_that_is_not_there_is_told(opened):
    page = opened("#slide=s1&source=hage").page
    page.fill("#layer-search", "NOSUCH")
    assert "no layer or gene “nosuch” in hage of this slide" in page.inner_text("#layer-count")


def test_overlapping_tiles_are_averaged(opened):
    paint = """async () => {
      const { TileRaster } = await import('/assets/raster.js');
      const shown = (boxes, values) => {
        const raster = new TileRaster(new Float32Array(boxes), 'square');
        const grey = Uint8Array.from({ length: 768 }, (_, k) => Math.floor(k / 3));
        const options = { low: 0, high: 255, least: -Infinity, colours: grey };
        const canvas = raster.paint(new Float32Array(values), options);
        const at = (x) => canvas.getContext('2d').getImageData(x * raster.scale, 5, 1, 1).data[0];
        return [at(10), at(96), at(180)];
      };
      return [shown([0, 0, 128, 128, 64, 0, 128, 128], [40, 200]), shown([0, 0, 96, 128, 96, 0, 96, 128], [40, 200])];
    }"""
    assert opened().page.evaluate(paint) == [[40, 120, 200], [40, 200, 200]]


@pytest.mark.parametrize("width", [390, 1280])
def test_scores_are_whole_in_the_list(opened, width):
    page = opened(width=width, height=844).page
    scrolled = page.locator(".scrolled").bounding_box()
    for cell in page.locator("#slides tbody td.number").all():
        box = cell.bounding_box()
        assert cell.evaluate("cell => cell.scrollWidth <= cell.clientWidth")
        if re.fullmatch(r"[01]\.\d{3}", cell.inner_text()):
            assert box["x"] + box["width"] <= scrolled["x"] + scrolled["width"] + 1


def test_viewer_has_no_serious_fault_of_access(opened, axe_faults):
    assert axe_faults(opened().page) == []


def test_skip_link_leads_to_the_slide_and_keeps_it(opened):
    page = opened("#slide=s1&source=hage&layer=gene%3AESR1").page
    before = state(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Slide: arrow keys")
    assert (page.inner_text("#slide-name"), state(page)) == ("s1", before)


@pytest.mark.parametrize("width", [390, 1200])
def test_every_control_has_a_name_and_the_page_fits_its_width(opened, width):
    page = opened(width=width, height=844).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    nameless = page.eval_on_selector_all(
        "input, select, button",
        "all => all.filter(e => !(e.labels?.length || e.ariaLabel || e.textContent.trim())).map(e => e.outerHTML)",
    )
    assert nameless == []
    assert page.locator("#viewer").bounding_box()["height"] > 300
