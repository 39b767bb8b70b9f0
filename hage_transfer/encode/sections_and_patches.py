"""ST sections and labelled patches to feature files."""

import logging
from collections.abc import Callable

from hage_transfer.data.labels import LabelTable
from hage_transfer.data.patches import read_patch_set
from hage_transfer.data.sections import read_sections
from hage_transfer.encode.items import encode_items
from hage_transfer.encode.labels_table import LABELS_FILE, refuse_manifest_at, write_labels
from hage_transfer.encode.section_and_patch_items import patch_set_item, section_items
from hage_transfer.encoders.base import FrozenEncoder
from hage_transfer.encoders.registry import find_weights
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.running.progress import Progress, shown

log = logging.getLogger(__name__)


def encode_sections(
    config: PretrainConfig,
    *,
    device: str,
    overwrite: bool,
    own: FrozenEncoder | None = None,
    progress: Progress | None = None,
) -> None:
    """Writes ``<config.features>/<section>.h5`` of every section that has an image, by its encoder or ``own``.

    Raises:
        InputError: a section, its image, the encoder or a feature file that is there already is not right.
    """
    if own is None:
        find_weights(config.encoder)  # before minutes of reading
    items = section_items(
        read_sections(config.data),
        config.features,
        size_px=config.patch.size_px,
        mpp_um_per_px=config.patch.mpp_um_per_px,
    )
    with shown("encode", progress) as tell:
        encode_items(
            items,
            config.encoder,
            device=device,
            overwrite=overwrite,
            root=config.data.root,
            own=own,
            progress=tell,
        )
    log.info("features of %d sections in %s", len(items), config.features)


def encode_patches(
    config: ProbeConfig,
    *,
    device: str,
    overwrite: bool,
    own: FrozenEncoder | None = None,
    check: Callable[[LabelTable], object] | None = None,
    progress: Progress | None = None,
) -> None:
    """Writes ``features.h5`` and ``labels.csv`` (key, label, group) to ``config.features``.

    Args:
        config: of `hage probe`.
        device: torch device.
        overwrite: make it anew.
        own: an encoder of the caller's, in place of the config's.
        check: is given the labels before anything is encoded; what it raises goes on up.
        progress: told of each batch of patches.

    Raises:
        InputError: the patch set, the encoder or a feature file that is there already is not right.
    """
    if own is None:
        find_weights(config.encoder)
    refuse_manifest_at(config.features / LABELS_FILE, config.data)
    patches = read_patch_set(config.data)
    if check is not None:
        check(LabelTable(patches.keys, patches.labels, patches.groups))
    item = patch_set_item(patches, config.features)
    with shown("encode", progress) as tell:
        encode_items(
            [item],
            config.encoder,
            device=device,
            overwrite=overwrite,
            root=config.data.root,
            own=own,
            progress=tell,
        )
    write_labels(config.features, "key", patches.keys, patches.labels, patches.groups)
    log.info("features of %d patches in %s", len(patches), config.features)
