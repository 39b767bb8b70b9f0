"""The two pictures of docs/images from a finished demo: `python docs/hooks/pictures.py runs/demo`; needs chromium."""

import csv
import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

IMAGES = Path(__file__).resolve().parents[1] / "images"
MOST_BYTES = 200_000
REPORT_CROP_PX = (1200, 1240)
VIEWER_PX = (1280, 760)
WIDTH_PX = 1000


def main() -> None:
    """Report first, then the viewer on the first explained slide."""
    demo = Path(sys.argv[1])
    IMAGES.mkdir(exist_ok=True)
    report = screenshot((demo / "report.html").resolve().as_uri(), REPORT_CROP_PX)
    save(report, IMAGES / "report.png")
    server = subprocess.Popen(
        [
            shutil.which("hage") or "hage",
            "view",
            str(demo / "mil"),
            "--slides",
            str(demo / "data" / "slides"),
            "--port",
            "0",
            "--no-browser",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert server.stdout is not None
        address = next(found[0] for line in server.stdout if (found := re.search(r"http://\S+", line)))
        page = f"{address.rstrip('/.')}/#slide={shown_slide(demo)}&source=hage&layer=gene:MKI67"
        save(screenshot(page, VIEWER_PX), IMAGES / "viewer.jpg")
    finally:
        server.terminate()
        server.wait()


def shown_slide(demo: Path) -> str:
    """An explained slide that was rightly called activated, else the first."""
    with (demo / "mil" / "heatmaps" / "hage" / "slides.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    right = [row for row in rows if row["label"] == row["predicted"] == "activated"]
    return (right or rows)[0]["slide"]


def screenshot(address: str, size_px: tuple[int, int]) -> Image.Image:
    """What headless Chromium shows of a page."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("no chromium here; apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "page.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=15000"]
        size = f"--window-size={size_px[0]},{size_px[1]}"
        subprocess.run([browser, *options, size, f"--screenshot={picture}", address], check=True, capture_output=True)
        return Image.open(io.BytesIO(picture.read_bytes())).convert("RGB")


def save(image: Image.Image, path: Path) -> None:
    """Scaled down, as PNG of few colours or JPEG, below 200 kB."""
    image = image.resize((WIDTH_PX, round(image.height * WIDTH_PX / image.width)), Image.Resampling.LANCZOS)
    if path.suffix == ".png":
        image.quantize(128).save(path, optimize=True)
    else:
        image.save(path, quality=82, optimize=True)
    if path.stat().st_size > MOST_BYTES:
        sys.exit(f"{path}: {path.stat().st_size} bytes, wanted at most {MOST_BYTES}")


if __name__ == "__main__":
    main()
