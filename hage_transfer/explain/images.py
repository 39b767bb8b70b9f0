"""Where the pixels of a run's slides are, and where its tiles lie on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Real

from hage_transfer.config import FeatureSetSettings, PatchSetSettings, SlideSetSettings
from hage_transfer.data.feature_file import FeatureMeta
from hage_transfer.data.feature_layouts import FeatureSource
from hage_transfer.data.patches import read_patch_set
from hage_transfer.data.tile_coords import refuse_outside
from hage_transfer.encode.sections_and_patches import bag_name
from hage_transfer.errors import DataError
from hage_transfer.report.attention_map import TilePlaces
from hage_transfer.slides.find import find_slide
from hage_transfer.slides.slide import Slide
from hage_transfer.slides.table import read_slide_table

_SAME_SIZE = 0.01


@dataclass(frozen=True)
class SlideImage:
    """A slide's file, and what must be known to open it.

    Attributes:
        path: of the slide or image; None where it was not found.
        own_mpp_um_per_px: its level-0 resolution by the slide table.
        fallback_mpp_um_per_px: level-0 resolution where the file records none.
        reason: why there is none.
    """

    path: Path | None
    own_mpp_um_per_px: float | None = None
    fallback_mpp_um_per_px: float | None = None
    reason: str = ""


def slide_images(
    data: PatchSetSettings | SlideSetSettings | FeatureSetSettings, folder: Path | None, slides: list[str]
) -> dict[str, SlideImage | None]:
    """The image of each slide; None where the run is of feature files and no folder is given.

    Args:
        data: of the run's config.
        folder: given by the user; it goes before the config's.
        slides: names.

    Raises:
        DataError: a folder that is not there; images that cannot be read as the config says.
    """
    if folder is not None and not folder.is_dir():
        raise DataError(f"slide_folder={folder}: no such folder")
    if isinstance(data, PatchSetSettings) and folder is None:
        return _of_images(data, slides)
    own, fallback, names = {}, None, {slide: slide for slide in slides}
    if isinstance(data, SlideSetSettings):
        own, names, fallback = *_of_table(data, names), data.slide_mpp_um_per_px
        folder = data.root if folder is None else folder
    if folder is None:
        return dict.fromkeys(slides, None)
    found: dict[str, SlideImage | None] = {}
    for slide in slides:
        try:
            path, reason = find_slide(folder, names[slide]), ""
        except DataError as error:
            path, reason = None, f"{error}; slide_folder= names their folder"
        found[slide] = SlideImage(path, own.get(slide), fallback, reason)
    return found


def tile_places(coords: Real[np.ndarray, "tile 2"], meta: FeatureMeta, slide: Slide | None) -> TilePlaces:
    """Places and size of tiles at level 0; the size is not rounded where the slide says its resolution.

    Raises:
        DataError: the features do not say how large a tile is, or tiles lie wholly outside the slide.
    """
    side = float(meta.patch_size_level0_px)
    if side <= 0:
        raise DataError(
            f"{meta.source}: its features do not say how large a tile is (patch_size_level0_px {side:g}), so it cannot "
            "be drawn; put CLAM's patches/ beside the features' folder, or record it by `convert` "
            "(coords=, or patch_size_px= and patch_size_level0_px=); without slide_folder= there are tables alone"
        )
    if slide is not None:
        refuse_outside(coords, slide.path, size_px=(slide.width_px, slide.height_px), of=meta.source)
    size = side, side
    if slide is not None and slide.resolution is not None and meta.mpp_um_per_px:
        wide = meta.patch_size_px * meta.mpp_um_per_px
        exact = wide / slide.resolution.x_um_per_px, wide / slide.resolution.y_um_per_px
        size = exact if abs(sum(exact) / 2 - side) <= 0.5 + 1e-6 else size
    return TilePlaces(np.asarray(coords, dtype=np.float64), size)


def refuse_other_scan(features: FeatureSource, slide: Slide) -> None:
    """Refuses a slide of another size than TRIDENT recorded beside the coords: tiles would lie elsewhere.

    Raises:
        DataError: see above.
    """
    found = [features.coord_attributes.get(f"level0_{side}") for side in ("width", "height")]
    recorded = [side for side in found if isinstance(side, int | float) and side > 0]
    size = slide.width_px, slide.height_px
    if len(recorded) == 2 and any(abs(met / side - 1) > _SAME_SIZE for met, side in zip(size, recorded, strict=True)):
        raise DataError(
            f"{features.path}: its tiles are of a slide of {recorded[0]} x {recorded[1]} px at level 0, "
            f"{slide.path} has {size[0]} x {size[1]}; give the slide that was encoded"
        )


def level0_mpp(meta: FeatureMeta, slide: Slide | None) -> float | None:
    """Micrometres per pixel of level 0: the slide's own, else by what the features say; None where neither is known."""
    if slide is not None and slide.resolution is not None:
        return slide.resolution.mean_um_per_px
    if meta.mpp_um_per_px is None or meta.patch_size_level0_px <= 0:
        return None
    return meta.mpp_um_per_px * meta.patch_size_px / meta.patch_size_level0_px


def _of_images(data: PatchSetSettings, slides: list[str]) -> dict[str, SlideImage | None]:
    paths = {bag_name(source): data.root / source.key for source in read_patch_set(data, labels_needed=False).sources}
    return {
        slide: SlideImage(paths.get(slide), reason="" if slide in paths else f"slide {slide}: no image in {data.root}")
        for slide in slides
    }


def _of_table(data: SlideSetSettings, names: Mapping[str, str]) -> tuple[dict[str, float | None], dict[str, str]]:
    """Resolution by the slide table, and the name that it has there, of each slide."""
    own: dict[str, float | None] = {}
    named = dict(names)
    for row in read_slide_table(data.labels):
        for slide in (row.name, Path(row.name).name, Path(row.name).stem):
            if slide in names:
                own[slide], named[slide] = row.mpp_um_per_px, row.name
                break
    return own, named
