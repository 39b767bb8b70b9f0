"""`check_patches`: a look at a labelled patch set before work starts."""

from pathlib import Path
from typing import TYPE_CHECKING

from hage_transfer.config import Changes
from hage_transfer.door.given import ConfigLike, PathLike
from hage_transfer.door.recipes import resolve_config
from hage_transfer.door.refused import refuse_settings
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.running.progress import Progress, shown

if TYPE_CHECKING:
    from hage_transfer.probes.patch_check import PatchCheck


def check_patches(
    config: ConfigLike,
    *,
    out: PathLike,
    changes: Changes | None = None,
    pixels: bool = True,
    jobs: int = 1,
    progress: Progress | None = None,
) -> "PatchCheck":
    """Counts classes and groups, tries the folds, and finds identical and unreadable images.

    Args:
        config: of `probe`.
        out: folder of ``duplicates.csv`` and ``failures.csv``, written where there is something to list.
        changes: of the config.
        pixels: read every pixel, to find duplicates.
        jobs: images read at a time.
        progress: called with (patches read, all patches, name).

    Raises:
        InputError: the set, its labels or its folds are wrong.
        ItemsFailedError: images that cannot be read, or identical ones in two groups or under two labels; ``done`` of
            the error is what was found.
    """
    settings = resolve_config(ProbeConfig, config, changes or {})
    refuse_settings(settings, own=True)
    from hage_transfer.probes.patch_check import check_patch_set  # scikit-learn

    with shown("pixels", progress) as tell:
        return check_patch_set(
            settings,
            out=Path(out),
            n_threads=jobs,
            pixels=pixels,
            progress=tell,
        )
