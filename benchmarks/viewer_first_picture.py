"""How long the viewer takes to show a slide of 12,000 px that has no levels: at its first opening and at later ones.

python benchmarks/viewer_first_picture.py --slides DATA/slides

The slide is a plain TIFF (tiles of 256 px, JPEG, no levels) of real tissue: CMU-1-Small-Region, laid side by side. Each
opening has a server and a browser page of its own. The clock runs from the page's navigation to the first frame whose
canvas has the slide on it, by the page's own clock.
"""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from playwright.sync_api import Browser, sync_playwright

from hage_transfer.report.pdf import find_browser

REAL = "CMU-1-Small-Region.svs"
WATCH = """
const look = () => {
  const canvas = document.querySelector('#viewer .openseadragon-canvas canvas');
  if (canvas && canvas.width) {
    const small = new OffscreenCanvas(32, 32).getContext('2d');
    small.drawImage(canvas, 0, 0, 32, 32);
    const shown = small.getImageData(0, 0, 32, 32).data.filter((value, k) => k % 4 === 3 && value > 0).length;
    if (shown > 100) { window.firstPicture = performance.now(); return; }
  }
  requestAnimationFrame(look);
};
document.addEventListener('DOMContentLoaded', look);
"""


def write_slide(path: Path, real: Path, side_px: int) -> None:
    """Real tissue over and over, without levels."""
    part = tifffile.imread(real, level=0)
    again = [-(-side_px // length) for length in part.shape[:2]]
    image = np.tile(part, (*again, 1))[:side_px, :side_px]
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            image,
            photometric="rgb",
            tile=(256, 256),
            compression="jpeg",
            resolution=(2e4, 2e4),
            resolutionunit="CENTIMETER",
        )


def first_picture_s(browser: Browser, folder: Path) -> float:
    """Of one opening."""
    line = ["hage", "view", str(folder), "--no-browser", "--port", "0"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = next(word for text in server.stdout for word in text.split() if word.startswith("http://"))
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.add_init_script(WATCH)
            page.goto(address)
            for _ in range(600):
                seen = page.evaluate("window.firstPicture")
                if seen is not None:
                    break
                page.wait_for_timeout(100)
            page.close()
            return seen / 1000
        finally:
            server.terminate()


def main() -> None:
    """Opens it as often as asked and prints a line an opening."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=Path, required=True, help=f"folder with {REAL}")
    parser.add_argument("--side-px", type=int, default=12_000)
    parser.add_argument("--openings", type=int, default=6)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="first-picture-") as name, sync_playwright() as playwright:
        os.environ["HAGE_CACHE"] = f"{name}/cache"
        folder = Path(name) / "tissue"
        folder.mkdir()
        slide = folder / "flat.tif"
        write_slide(slide, given.slides / REAL, given.side_px)
        (folder / "tissue.csv").write_text(f"slide,path,tissue_mm2,pieces,tiles\nflat,{slide},1,1,60\n")
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        for opening in range(1, given.openings + 1):
            load, seconds = os.getloadavg()[0], first_picture_s(browser, folder)
            print(f"opening {opening}: first picture after {seconds:.2f} s (load {load:.1f})", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
