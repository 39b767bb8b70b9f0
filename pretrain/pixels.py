"""Patches around the spots of a section, cut once and kept: what systems on pixels are given in place of features."""

import logging
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from anndata import AnnData
from jaxtyping import UInt8

from hage_transfer.config import config_sha256
from hage_transfer.data.spot_patches import iter_spot_patches
from hage_transfer.errors import DataError
from hage_transfer.pretrain.config import PatchSettings, PixelSettings
from hage_transfer.running.atomic import atomic_path, reserve
from hage_transfer.running.file_stamp import file_stamp
from hage_transfer.slides.reader import READING

log = logging.getLogger(__name__)
PATCHES = "patches"


def attach_patches(sections: Sequence[AnnData], patch: PatchSettings, pixels: PixelSettings) -> None:
    """Adds each section's patches as ``obsm["patches"]``; sections without an image are left as they are.

    Raises:
        DataError: as ``iter_spot_patches``, or a cache that is damaged.
    """
    for section in sections:
        if section.uns["section"]["image_path"]:
            section.obsm[PATCHES] = np.asarray(
                cached_patches(section, patch, pixels)
            )  # still mapped, writable by AnnData


def cached_patches(
    section: AnnData, patch: PatchSettings, pixels: PixelSettings
) -> UInt8[np.ndarray, "spot side side 3"]:
    """The patch around every spot as the frozen encoder sees it, shrunk to ``pixels.size_px``, mapped from its file.

    The file's name is a hash of image, spots and sizes, so what was cut from others is never taken.

    Args:
        section: a section with an image.
        patch: what is cut.
        pixels: side of what is kept, and the folder.
    """
    facts, side = section.uns["section"], pixels.size_px
    made_of = {
        "image": file_stamp(Path(facts["image_path"])),
        "spots": [*section.obs_names, *section.obsm["spatial"].ravel().tolist()],
        "patch": patch.model_dump(),
        "size_px": side,
        "reading": READING,
    }
    path = pixels.cache / f"{facts['name']}-{config_sha256(made_of)[:12]}.npy"
    shape = (section.n_obs, side, side, 3)
    if not path.is_file():
        log.info("section %s: cutting %d patches of %d px", facts["name"], section.n_obs, side)
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            kept = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
            with temporary.open("rb+") as file:
                reserve(file, temporary.stat().st_size)
            cut = iter_spot_patches(section, size_px=patch.size_px, mpp_um_per_px=patch.mpp_um_per_px)
            for row, image in enumerate(cut):
                kept[row] = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
            kept.flush()
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it, it is made again") from None
    if found.shape != shape or found.dtype != np.uint8:
        raise DataError(f"{path}: holds {found.dtype} {found.shape}, wanted uint8 {shape}; remove it, it is made again")
    return found
