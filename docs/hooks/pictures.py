"""Pictures of docs/images from a finished demo: `python docs/hooks/pictures.py runs/demo`; needs chromium."""

import csv
import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

import hage_transfer as ht
from hage_transfer.report.pdf import find_browser

IMAGES = Path(__file__).resolve().parents[1] / "images"
MOST_BYTES = 200_000
REPORT_CROP_PX = (1200, 1240)
VIEWER_PX = (1280, 760)
WIDTH_PX, SETTLED_MS = 1000, 1500


def main() -> None:
    """Report first, then the viewer on an explained slide: one gene, and two sources side by side with a region."""
    demo = Path(sys.argv[1])
    IMAGES.mkdir(exist_ok=True)
    slide = shown_slide(demo)
    if not (demo / "mil" / "heatmaps" / "frozen" / slide).is_dir():
        ht.explain(demo / "mil", source="frozen", slides=[slide])
    with sync_playwright() as playwright, ht.view(demo / "mil", slides=demo / "data" / "slides") as viewer:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        page = browser.new_page(viewport=dict(zip(("width", "height"), REPORT_CROP_PX, strict=True)))
        page.goto((demo / "report.html").resolve().as_uri())
        save(page.screenshot(), IMAGES / "report.png")
        page.set_viewport_size(dict(zip(("width", "height"), VIEWER_PX, strict=True)))
        page.goto(f"{viewer.address}#slide={slide}&source=hage&layer=gene:MKI67")
        save(shown(page), IMAGES / "viewer.jpg")
        page.goto("about:blank")
        page.goto(f"{viewer.address}#slide={slide}&source=frozen&beside=hage&layer=column:attention")
        shown(page)
        draw_region(page)
        save(shown(page), IMAGES / "viewer-side-by-side.jpg")
        browser.close()


def shown(page: Page) -> bytes:
    """A picture of the viewer when all of it is there."""
    page.wait_for_selector("body[data-ready]")
    page.wait_for_selector("#busy", state="hidden")
    page.wait_for_timeout(SETTLED_MS)
    return page.screenshot()


def draw_region(page: Page) -> None:
    """Draws a rectangle in the first pane, and brings its numbers in sight."""
    pane = page.locator("#viewer").bounding_box()
    assert pane is not None
    page.click("[data-tool=rectangle]")
    for share, act in ((0.35, page.mouse.down), (0.65, page.mouse.up)):
        page.mouse.move(pane["x"] + pane["width"] * share, pane["y"] + pane["height"] * share, steps=3)
        act()
    page.keyboard.press("Escape")
    page.locator("#region-table").scroll_into_view_if_needed()


def shown_slide(demo: Path) -> str:
    """An explained slide that was rightly called activated, else the first."""
    with (demo / "mil" / "heatmaps" / "hage" / "slides.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    right = [row for row in rows if row["label"] == row["predicted"] == "activated"]
    return (right or rows)[0]["slide"]


def save(picture: bytes, path: Path) -> None:
    """Scaled down, as PNG of few colours or JPEG, below 200 kB."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image = image.resize((WIDTH_PX, round(image.height * WIDTH_PX / image.width)), Image.Resampling.LANCZOS)
    if path.suffix == ".png":
        image.quantize(128).save(path, optimize=True)
    else:
        image.save(path, quality=82, optimize=True)
    if path.stat().st_size > MOST_BYTES:
        sys.exit(f"{path}: {path.stat().st_size} bytes, wanted at most {MOST_BYTES}")


if __name__ == "__main__":
    main()
