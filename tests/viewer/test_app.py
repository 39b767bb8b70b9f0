import io
import json

import numpy as np
import pytest
from PIL import Image

from hage_transfer.slides.reader import open_slide
from hage_transfer.viewer.deep_zoom import DeepZoom
from hage_transfer.viewer.opened_run import JPEG
from hage_transfer.viewer.tile_table import gene_values, read_tile_table

HUGE = "9" * 5000


def told(server, path):
    status, _, body = server.ask(path)
    assert status == 200, body
    return json.loads(body)


def test_page_and_its_files_are_served_with_their_types(server):
    for path, kind in (
        ("/", "text/html"),
        ("/assets/main.js", "text/javascript"),
        ("/assets/viewer.css", "text/css"),
        ("/assets/vendor/openseadragon.min.js", "text/javascript"),
        ("/assets/vendor/LICENSE.txt", "text/plain"),
    ):
        status, headers, body = server.ask(path)
        assert (status, headers["content-type"].split(";")[0]) == (200, kind)
        assert body


def test_run_lists_slides_and_which_are_not_there(server):
    run = told(server, "/api/run")
    assert {slide["name"]: slide["found"] for slide in run["slides"]} == {"s0": True, "s1": True, "gone": False}
    assert run["sources"] == ["frozen", "hage"]


def test_slide_tells_size_resolution_and_tiling(server):
    facts = told(server, "/api/slides/s0")
    assert (facts["width"], facts["height"], facts["mpp"]) == (1500, 1100, [0.5, 0.5])
    assert facts["maxLevel"] == DeepZoom(1500, 1100).n_levels - 1


@pytest.mark.parametrize(("column", "row"), [(0, 0), (2, 2), (1, 0)])
def test_tile_pixels_are_the_slides(server, column, row):
    zoom = DeepZoom(1500, 1100)
    level = zoom.n_levels - 1
    status, headers, body = server.ask(f"/slides/s0/{level}/{column}_{row}.jpg")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    left, top, width, height = zoom.box(level, column, row)
    with open_slide(server.contents.slides["s0"].path) as slide:
        pixels = slide.read_region(left, top, level=0, width_px=width, height_px=height)
    expected = io.BytesIO()
    Image.fromarray(pixels).save(expected, **JPEG)
    served = np.asarray(Image.open(io.BytesIO(body)))
    np.testing.assert_array_equal(served, np.asarray(Image.open(expected)))
    assert np.abs(served[..., :2].astype(int) - pixels[..., :2]).mean() < 6  # JPEG of noise, but of this very place


def test_gene_values_are_the_files(server, mil_run):
    table = read_tile_table(mil_run / "heatmaps" / "hage" / "s1" / "tiles.h5ad")
    for gene in table.genes:
        status, _, body = server.ask(f"/api/slides/s1/values?source=hage&gene={gene}")
        assert status == 200
        np.testing.assert_array_equal(np.frombuffer(body, "<f4"), gene_values(table, [gene]))
    _, _, body = server.ask("/api/slides/s1/values?source=hage&column=attention")
    np.testing.assert_array_equal(np.frombuffer(body, "<f4"), table.columns["attention"])
    _, _, body = server.ask("/api/slides/s1/boxes?source=hage")
    np.testing.assert_array_equal(np.frombuffer(body, "<f4").reshape(-1, 4), table.boxes)
    assert told(server, "/api/slides/s1/tiles?source=hage")["genes"] == list(table.genes)
    assert told(server, "/api/slides/s1/tiles?source=frozen")["genes"] == []


def test_a_gene_sets_values_are_the_mean_of_its_predicted_genes(server, mil_run):
    table = read_tile_table(mil_run / "heatmaps" / "hage" / "s1" / "tiles.h5ad")
    told_sets = told(server, "/api/slides/s1/tiles?source=hage")["sets"]
    assert told_sets == [{"name": "HORMONE", "known": 2, "of": 3}]
    assert told(server, "/api/slides/s1/tiles?source=frozen")["sets"] == []
    _, _, body = server.ask("/api/slides/s1/values?source=hage&set=HORMONE")
    expected = (gene_values(table, ["ESR1"]) + gene_values(table, ["ERBB2"])) / 2
    np.testing.assert_allclose(np.frombuffer(body, "<f4"), expected, rtol=1e-6)


def test_the_range_of_a_layer_is_that_of_all_slides_of_a_source(server, mil_run):
    tables = [read_tile_table(mil_run / "heatmaps" / "hage" / name / "tiles.h5ad") for name in ("s0", "s1")]
    found = told(server, "/api/range?source=hage&gene=ESR1")
    ends = np.array([np.quantile(gene_values(table, ["ESR1"]), [0.01, 0.99], method="nearest") for table in tables])
    np.testing.assert_allclose([found["low"], found["high"]], [ends[:, 0].min(), ends[:, 1].max()], rtol=1e-5)
    assert (found["n_with"], found["n_read"], found["n_slides"]) == (2, 2, 2)
    assert told(server, "/api/range?source=frozen&gene=ESR1")["n_with"] == 0


def test_a_thumbnail_is_the_whole_slide(server):
    status, headers, body = server.ask("/slides/s0/thumbnail.jpg")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(body)).size == (94, 69)  # 1500 x 1100 by 16


def test_tissue_is_the_files_outline(server):
    assert told(server, "/api/slides/s0/tissue") == [[[100, 100, 900, 100, 900, 700, 100, 700]]]
    assert told(server, "/api/slides/s1/tissue") == []


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/assets/../app.py",
        "/assets/..%2fapp.py",
        "/assets/%2e%2e/app.py",
        "/assets//etc/passwd",
        "/assets/vendor/../../app.py",
        "/assets/",
        "/slides/..%2f..%2fetc%2fpasswd/0/0_0.jpg",
        "/slides/../../etc/passwd",
        "/slides/%2e%2e/0/0_0.jpg",
        "/slides/s0.tif/0/0_0.jpg",
        "/slides/s0%00/0/0_0.jpg",
        "/slides/none/0/0_0.jpg",
        "/api/slides/none",
        "/api/slides/..%2fs0",
        "/api/slides/s0/tiles?source=../frozen",
        "/api/slides/s0/tiles",
        "/api/slides/gone/tiles?source=hage",
        "/api/slides/s0/values?source=hage&gene=NONE",
        "/api/slides/s0/values?source=hage&column=x_px",
        "/api/slides/s0/values?source=hage",
        "/api/slides/s0/values?source=hage&set=NONE_OF_THEM",
        "/api/slides/s0/values?source=frozen&set=HORMONE",
        "/slides/none/thumbnail.jpg",
        "/slides/..%2fs0/thumbnail.jpg",
        "/slides/s0/11/3_0.jpg",
        "/slides/s0/11/0_3.jpg",
        "/slides/s0/12/0_0.jpg",
        "/slides/s0/99/0_0.jpg",
        "/slides/s0/-1/0_0.jpg",
        "/slides/s0/11/-1_0.jpg",
        "/slides/s0/1e1/0_0.jpg",
        "/slides/s0/11/0_0.png",
        "/slides/s0/11/0_0.jpg.bak",
        "/slides/s0/11/9999999_9999999.jpg",
        f"/slides/s0/11/{HUGE}_0.jpg",
        f"/slides/s0/{HUGE}/0_0.jpg",
        "/slides/s0/11/%D9%A3_0.jpg",  # an Arabic three
        "/docs",
        "/openapi.json",
    ],
)  # fmt: skip
def test_whatever_is_no_part_of_the_run_is_404(server, path):
    status, headers, body = server.ask(path)
    assert status == 404
    assert "content-security-policy" in headers
    assert b"Traceback" not in body
    assert b"root:" not in body


def test_slide_that_is_not_there_says_so(server):
    status, _, body = server.ask("/api/slides/gone")
    assert status == 422
    assert "slides=FOLDER" in json.loads(body)["error"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_get_is_answered(server, method):
    assert server.ask("/api/run", method=method)[0] == 405


@pytest.mark.parametrize(
    ("host", "status"), [("evil.example", 400), ("127.0.0.1.evil.example:80", 400), ("localhost:1", 200)]
)
def test_only_this_machines_name_is_answered(server, host, status):
    assert server.ask("/api/run", host=host)[0] == status


def test_no_page_may_load_from_elsewhere_or_frame_this_one(server):
    for path in ("/", "/api/run", "/slides/s0/11/0_0.jpg", "/none"):
        headers = server.ask(path)[1]
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["frame-ancestors"] == "'none'"
        assert not any("http" in value or "*" in value or "unsafe" in value for value in policy.values())
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


def test_a_damaged_slide_is_told_and_the_others_go_on(tmp_path, make_mil_run, run_server):
    run = make_mil_run(tmp_path)
    (tmp_path / "slides" / "s0.tif").write_bytes(b"II*\x00 no slide")
    with run_server(run) as server:
        status, _, body = server.ask("/api/slides/s0")
        assert status == 422
        assert "s0.tif" in json.loads(body)["error"]
        assert server.ask("/slides/s1/0/0_0.jpg")[0] == 200


def test_values_that_are_made_again_are_read_again(tmp_path, make_mil_run, make_tiles, run_server):
    run = make_mil_run(tmp_path)
    path = run / "heatmaps" / "hage" / "s0" / "tiles.h5ad"
    with run_server(run) as server:
        before = server.ask("/api/slides/s0/values?source=hage&gene=ESR1")[2]
        make_tiles(path, genes=["ESR1"], seed=9)
        after = server.ask("/api/slides/s0/values?source=hage&gene=ESR1")[2]
    assert before != after


def test_a_slide_that_was_replaced_is_shown_anew_and_one_that_is_gone_is_told(
    tmp_path, make_mil_run, make_slide, run_server
):
    run = make_mil_run(tmp_path)
    slide = tmp_path / "slides" / "s0.tif"
    with run_server(run) as server:
        before, tile = told(server, "/api/slides/s0"), server.ask("/slides/s0/11/0_0.jpg")[2]
        make_slide(tmp_path / "new.tif", width=1400, seed=5)
        (tmp_path / "new.tif").replace(slide)
        after = told(server, "/api/slides/s0")
        assert (before["width"], after["width"]) == (1500, 1400)
        assert before["stamp"] != after["stamp"]
        assert server.ask("/slides/s0/11/0_0.jpg")[2] != tile
        slide.unlink()
        for path in ("/api/slides/s0", "/slides/s0/11/0_0.jpg", "/api/slides/s0/tissue"):
            status, _, body = server.ask(path)
            assert (status, "s0.tif: no such file" in json.loads(body)["error"]) == (422, True)


def test_values_of_other_tiles_than_the_page_has_are_refused(tmp_path, make_mil_run, make_tiles, run_server):
    run = make_mil_run(tmp_path)
    with run_server(run) as server:
        stamp = told(server, "/api/slides/s0/tiles?source=hage")["stamp"]
        asked = f"?source=hage&column=attention&v={stamp}"
        assert server.ask(f"/api/slides/s0/values{asked}")[0] == 200
        make_tiles(run / "heatmaps" / "hage" / "s0" / "tiles.h5ad", genes=["ESR1"], columns=3)
        for what in ("values", "boxes"):
            status, _, body = server.ask(f"/api/slides/s0/{what}{asked}")
            assert (status, "choose the slide again" in json.loads(body)["error"]) == (409, True)


def test_heatmaps_and_scores_that_came_meanwhile_are_listed(tmp_path, make_mil_run, run_server):
    run = make_mil_run(tmp_path)
    later = (run / "heatmaps").rename(tmp_path / "later")
    with run_server(run) as server:
        before = told(server, "/api/run")
        later.rename(run / "heatmaps")
        table = run / "predictions.csv"
        table.write_text(table.read_text(encoding="utf-8").replace("tumour,", "stroma,"), encoding="utf-8")
        after = told(server, "/api/run")
    assert before["hint"]
    assert not after["hint"]
    assert after["slides"][0]["overlays"] == ["frozen", "hage"]
    assert {slide["facts"]["hage"]["label"] for slide in after["slides"] if slide["name"] == "gone"} == {"stroma"}
