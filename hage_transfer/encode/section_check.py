"""What `hage encode st` would encode, in seconds: a row for each section, and pictures of the spots on the image."""

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from hage_transfer.data.sections import readers
from hage_transfer.data.sections.grid import spacing_px
from hage_transfer.data.spot_patches import patch_size_level0_px
from hage_transfer.errors import InputError
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.running.atomic import atomic_path
from hage_transfer.slides.reader import open_slide

log = logging.getLogger(__name__)

OVERLAYS = "overlays"
COLUMNS = ("section", "patient", "spots", "um/px", "by", "image", "patch px", "left out")
_OVERLAY_PX = 1400
_SPOT, _PATCH, _INK = (0, 90, 255), (255, 120, 0), (0, 0, 0)
_BARS_UM = (1000, 500, 200, 100, 50, 20)


@dataclass(frozen=True, kw_only=True)
class CheckedSection:
    """A section as it was read, or why it was not.

    Attributes:
        row: text by ``COLUMNS``: name, patient, spots with counts and a place in the image, resolution and what told
            it, the image's size, the side of a patch in its pixels, what did not fit.
        fault: why the section cannot be read; "" where it can.
        overlay: picture of its spots; None where none was drawn.
    """

    row: dict[str, str]
    fault: str = ""
    overlay: Path | None = None


def check_sections(config: PretrainConfig, *, n_overlays: int = 3) -> list[CheckedSection]:
    """Reads every section as `hage encode st` does, encodes nothing, and draws the spots of the first few.

    Args:
        config: of `hage pretrain`; pictures go to ``<config.features>/overlays/<section>.png``.
        n_overlays: how many sections with an image are drawn.

    Raises:
        InputError: no section at all. What is wrong with one section is that section's ``fault``.
    """
    checked: list[CheckedSection] = []
    for name, read in readers(config.data).items():
        drawn = sum(section.overlay is not None for section in checked)
        folder = config.features / OVERLAYS if drawn < n_overlays else None
        try:
            checked.append(_checked(read(), config, folder))
        except InputError as error:
            row = dict.fromkeys(COLUMNS, "") | {"section": name}
            checked.append(CheckedSection(row=row, fault=" ".join([str(error), *getattr(error, "__notes__", ())])))
    return checked


def _checked(section: ad.AnnData, config: PretrainConfig, folder: Path | None) -> CheckedSection:
    facts = section.uns["section"]
    size_px = level0_px = overlay = None
    if facts["image_path"]:
        level0_px = patch_size_level0_px(
            section, size_px=config.patch.size_px, mpp_um_per_px=config.patch.mpp_um_per_px
        )
        with open_slide(Path(facts["image_path"]), needs_resolution=False) as slide:
            size_px = (slide.width_px, slide.height_px)
            picture = None if folder is None else slide.thumbnail(max_px=_OVERLAY_PX)
        if folder is not None and picture is not None:
            overlay = folder / f"{facts['name']}.png"
            with atomic_path(overlay) as temporary:
                _overlay(section, picture, size_px, level0_px).save(temporary, format="PNG")
    left_out = [f"{count} {kind.replace('_', ' ')}" for kind, count in facts["mismatches"].items() if count]
    mpp = facts["mpp_um_per_px"]
    told = {
        "section": facts["name"],
        "patient": facts["patient"],
        "spots": section.n_obs,
        "um/px": f"{mpp:.4g}" if math.isfinite(mpp) else "not known",
        "by": facts["mpp_source"],
        "image": "x".join(map(str, size_px)) if size_px else "none",
        "patch px": "" if level0_px is None else level0_px,
        "left out": ", ".join(left_out),
    }
    return CheckedSection(row={name: str(value) for name, value in told.items()}, overlay=overlay)


def _overlay(
    section: ad.AnnData, picture: UInt8[np.ndarray, "height width 3"], size_px: tuple[int, int], patch_level0_px: int
) -> Image.Image:
    """The image with a ring for each spot at its true size, and the square of the patch of the middle one."""
    facts = section.uns["section"]
    scale = picture.shape[1] / size_px[0]
    centres = section.obsm["spatial"] * scale
    diameter_px = facts["spot_diameter_um"] / facts["mpp_um_per_px"]
    if not math.isfinite(diameter_px):
        diameter_px = spacing_px(section.obsm["spatial"]) / 2
    radius = 3.0 if not math.isfinite(diameter_px) else max(0.7, diameter_px * scale / 2)
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for x, y in centres:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_SPOT, width=1 if radius < 6 else 2)
    middle = centres[np.argmin(np.linalg.norm(centres - centres.mean(axis=0), axis=1))]
    half = patch_level0_px * scale / 2
    draw.rectangle((*(middle - half), *(middle + half)), outline=_PATCH, width=2)
    _bar(draw, image.size, facts["mpp_um_per_px"] / scale)
    return image


def _bar(draw: ImageDraw.ImageDraw, size_px: tuple[int, int], um_per_px: float) -> None:
    """A bar with its length below on the left, where the resolution is known."""
    width, height = size_px
    fitting = [um for um in _BARS_UM if um / um_per_px <= width / 3]
    if fitting:
        draw.rectangle((20, height - 24, 20 + fitting[0] / um_per_px, height - 18), fill=_INK)
        draw.text((20, height - 40), f"{fitting[0]:,} um", fill=_INK)
