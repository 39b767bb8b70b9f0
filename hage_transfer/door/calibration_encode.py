"""The runs that rates of encoding are taken from: painted slides, sections and patches."""

from pathlib import Path
from typing import Any

import numpy as np

from hage_transfer.door.calibration_data import GENES, SECTION_SIDE_PX, enlarge_sections, tissue_image
from hage_transfer.door.planned_work import Stage
from hage_transfer.door.recipes import resolve_config
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.running.atomic import write_csv

LONG_S = 2.0
"""A run that takes so long tells a rate; sizes grow until one does."""


def slides(stage: Stage, watch: Any, device: str) -> str:
    """Synthetic slides: small ones for what each costs, and ever larger ones for what a tile costs."""
    from hage_transfer.demo.slides import write_pyramid
    from hage_transfer.door.encode_slides import encode_slides

    image = tissue_image()

    def run(name: str, sides: list[int]) -> float:
        root = watch.folder / name
        root.mkdir()
        for number, side in enumerate(sides):
            shown = np.tile(image, (side, side, 1))
            shown = np.hstack([shown, np.full_like(shown, 244)])  # half of a slide is glass
            write_pyramid(root / f"s{number}.tif", np.roll(shown, number, axis=0))
        rows = [{"slide": f"s{n}.tif", "label": "ab"[n % 2]} for n in range(len(sides))]
        write_csv(root / "labels.csv", ["slide", "label"], rows)
        tissue = {"method": "auto"}
        changes = {"data": {"root": root, "labels": root / "labels.csv", "tissue": tissue}, "features": None}

        def call(out: Path, progress: Any) -> None:
            config = resolve_config(
                type(stage.config), stage.config, {**changes, "features": out, "target": {"kind": "classes"}}
            )
            made.append(encode_slides(config=config, device=device, progress=progress).frame()["rows"])

        made: list[Any] = []
        n = len(sides)
        work = {"run": 1.0, "slide": float(n), "tile": 0.0}
        kept = {"slide": float(n), "tile": 0.0}

        def counted(**given: Any) -> None:
            call(**given)
            tiles = float(made[0].sum())
            work["tile"] = kept["tile"] = tiles

        return float(watch.run(counted, {"encode": work}, kept=kept, held={"start": 1.0}, pictures=n))

    run("first", [1])
    run("small", [1] * 6)
    side = 2
    while run(f"large{side}", [side]) < LONG_S and side < 16:
        side *= 2
    return "synthetic slides of 0.5 um per px"


def sections(stage: Stage, watch: Any, device: str) -> str:
    """Synthetic sections of the her2st layout."""
    from hage_transfer.demo.sections import write_sections
    from hage_transfer.door.encode_sections import encode_sections

    side = 1500
    for number, names in enumerate((("A1",), ("A1",), ("A1", "B1", "C1"), ("D1",))):
        root = watch.folder / f"data{number}"
        write_sections(root, seed=number, names=names, side_px=side * (2 if number == 3 else 1))
        enlarge_sections(root)
        spots = sum(_lines(root / "ST-spotfiles" / f"{name}_selection.tsv") for name in names)
        data = {"layout": "her2st", "root": root, "sections": names, "mpp_um_per_px": 0.5, "spot_spacing_um": 75.0}

        def call(out: Path, progress: Any, data: Any = data) -> None:
            config = resolve_config(type(stage.config), stage.config, {"data": data, "features": out})
            encode_sections(config=config, device=device, progress=progress)

        work = {"section": float(len(names)), "spot": float(spots)}
        watch.run(call, {"encode": {"run": 1.0, **work}}, kept=work, held={"start": 1.0})
    return f"synthetic sections of {SECTION_SIDE_PX**2 / 1e6:.0f} megapixels and {GENES:,} genes"


def patches(stage: Stage, watch: Any, device: str) -> str:
    """Synthetic patches of the config's tiles, or of 96 px, as PCAM's, in PNG files."""
    from PIL import Image

    from hage_transfer.door.encode_patches import encode_patches

    assert isinstance(stage.config, ProbeConfig)
    image, sizes, side = tissue_image(), [64, 64, 256], stage.config.data.tile_px or 96
    for number, n in enumerate(sizes):
        root = watch.folder / f"data{number}"
        rng = np.random.default_rng(n)
        for place, (x, y) in enumerate(rng.integers(0, len(image) - side, (n, 2)).tolist()):
            folder = root / "ab"[place % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[y : y + side, x : x + side]).save(folder / f"{place}.png", compress_level=1)

        def call(out: Path, progress: Any, root: Path = root) -> None:
            data = {"layout": "folder", "root": root, "manifest": None, "pattern": None, "group_by": None}
            changes = {"data": data, "features": out, "split.by_group": False, "target": {"kind": "classes"}}
            encode_patches(
                config=resolve_config(type(stage.config), stage.config, changes), device=device, progress=progress
            )

        work = {"patch": float(n)}
        took = watch.run(call, {"encode": {"run": 1.0, **work}}, kept=work, held={"start": 1.0})
        if number >= 2 and took < LONG_S and n < 64 * 4**5:
            sizes.append(4 * n)
    return f"synthetic patches of {side} px in PNG files"


def _lines(path: Path) -> int:
    return sum(1 for _ in path.open(encoding="utf-8")) - 1
