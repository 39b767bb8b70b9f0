"""Labelled patch sets: a manifest, folders, a file-name pattern or PCAM, read as one stream of images."""

from hage_transfer.config import PatchSetSettings
from hage_transfer.data.patch_set import PatchSet
from hage_transfer.errors import ConfigError


def read_patch_set(settings: PatchSetSettings) -> PatchSet:
    """Finds the patches of a set and opens every header, so that a fault shows before hours of encoding.

    Raises:
        DataError: no such file or column, an image that is missing, unreadable, listed twice or smaller than a tile,
            a pattern that nothing matches, an empty label.
        ConfigError: keys that do not go together.
    """
    from hage_transfer.data.patch_images import read_image_set
    from hage_transfer.data.pcam import read_pcam

    _check(settings)
    return read_pcam(settings.root) if settings.layout == "pcam" else read_image_set(settings)


def _check(settings: PatchSetSettings) -> None:
    wanted = {"manifest": settings.manifest, "pattern": settings.pattern, "group_by": settings.group_by}
    owners = {"manifest": "manifest", "pattern": "pattern", "group_by": "pattern"}
    for key, value in wanted.items():
        if value is not None and settings.layout != owners[key]:
            raise ConfigError(f"data.{key} belongs to layout {owners[key]}, and data.layout is {settings.layout}")
        if value is None and key == settings.layout:
            raise ConfigError(f"data.layout {settings.layout} needs data.{key}; set data.{key}=...")
    if settings.layout == "pcam" and settings.tile_px is not None:
        raise ConfigError("data.tile_px: PCAM's patches are 96 px and are not cut; leave it out")
    if settings.stride_px is not None and settings.tile_px is None:
        raise ConfigError("data.stride_px needs data.tile_px, the side of the tiles it steps between")
