"""Small painted slides, as deflate-compressed TIFF (the demo's) or as Aperio's pyramids of JPEG tiles."""

from pathlib import Path

import tifffile
from jpeg_pyramids import write_jpeg_pyramid

SIDE_PX = 2048


def paint_slides(folder: Path, *, n_slides: int, form: str) -> list[Path]:
    """Writes ``n_slides`` of 2048 px at 0.5 um per px into ``folder``, ``form`` deflate or jpeg; returns them."""
    from hage_transfer.demo.slides import write_slides
    from hage_transfer.demo.tissue import MPP_UM_PER_PX

    write_slides(folder, seed=0, n_slides=n_slides, side_px=SIDE_PX)
    paths = sorted(folder.glob("*.tif"))
    if form == "deflate":
        return paths
    for path in paths:
        write_jpeg_pyramid(path.with_suffix(".svs"), tifffile.imread(path, level=0), mpp_um_per_px=MPP_UM_PER_PX)
        path.unlink()
    return sorted(folder.glob("*.svs"))
