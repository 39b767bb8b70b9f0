"""`hage encode st` and `patches`: ST sections, labelled patches and images as bags to feature files and labels."""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np

from hage_transfer.config import Settings
from hage_transfer.data.labels import LABELS_FILE, LabelTable
from hage_transfer.data.patch_set import PatchSet, PatchSource
from hage_transfer.data.patches import read_patch_set
from hage_transfer.data.sections import read_sections, where_images_are
from hage_transfer.data.spot_patches import iter_spot_patches, patch_size_level0_px
from hage_transfer.encode.extract import ImageStream
from hage_transfer.encode.item import Item, OpenItem
from hage_transfer.encode.items import encode_items
from hage_transfer.encoders.base import FrozenEncoder
from hage_transfer.encoders.registry import find_weights
from hage_transfer.errors import ConfigError, DataError, some
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.probes.config import ProbeConfig
from hage_transfer.running.atomic import write_csv
from hage_transfer.running.file_stamp import file_stamp, glance
from hage_transfer.running.progress import Progress, shown
from hage_transfer.slides.reader import READING

log = logging.getLogger(__name__)

ENLARGED_BEYOND = 1.5
FEATURES_FILE, FEATURES_FOLDER = "features.h5", "features"


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
    with shown("encode", progress) as tell:
        items = section_items(
            read_sections(config.data, tell),
            config.features,
            looked=where_images_are(config.data),
            size_px=config.patch.size_px,
            mpp_um_per_px=config.patch.mpp_um_per_px,
        )
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
    patches = read_patch_set(config.data, labels_needed=config.target.kind == "classes")
    if check is not None:
        check(LabelTable(keys=patches.keys, labels=patches.labels, groups=patches.groups))
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


def section_items(
    sections: Sequence[ad.AnnData], folder: Path, *, looked: str, size_px: int, mpp_um_per_px: float | None
) -> list[Item]:
    """One item per section that has an image; the others are named in the log.

    Args:
        sections: as read.
        folder: of the feature files.
        looked: where images were looked for, for the message.
        size_px: side of a patch that the encoder sees.
        mpp_um_per_px: resolution that it sees; None: the image's own.

    Raises:
        DataError: no section has an image.
    """
    names = [section.uns["section"]["name"] for section in sections]
    without = [name for name, section in zip(names, sections, strict=True) if not section.uns["section"]["image_path"]]
    if len(without) == len(sections):
        raise DataError(
            f"none of the sections has an image ({some(names)}), so there is nothing to encode; looked for {looked}"
        )
    if without:
        log.warning("no image of sections %s: they are not encoded", ", ".join(without))
    return [
        _section_item(section, folder, size_px, mpp_um_per_px)
        for section in sections
        if section.uns["section"]["image_path"]
    ]


def _section_item(section: ad.AnnData, folder: Path, size_px: int, mpp_um_per_px: float | None) -> Item:
    facts = section.uns["section"]
    level0_px = patch_size_level0_px(section, size_px=size_px, mpp_um_per_px=mpp_um_per_px)
    spots = np.asarray(section.obs_names, dtype=object)
    if size_px > ENLARGED_BEYOND * level0_px:
        log.warning(
            "section %s: patches of %d px of the image are enlarged to %d px (%.1f times), so they show no more detail",
            facts["name"],
            level0_px,
            size_px,
            size_px / level0_px,
        )
    own_mpp = None if np.isnan(facts["mpp_um_per_px"]) else float(facts["mpp_um_per_px"])

    @contextmanager
    def rows() -> Iterator[OpenItem]:
        def images(first: int) -> Iterator[np.ndarray]:
            return iter_spot_patches(section, size_px=size_px, mpp_um_per_px=mpp_um_per_px, first=first)

        yield OpenItem(
            images=ImageStream(section.n_obs, images),
            keys=spots,
            patch_size_px=size_px,
            patch_size_level0_px=level0_px,
            mpp_um_per_px=mpp_um_per_px or own_mpp,
            slide_mpp_um_per_px=own_mpp,
            slide_mpp_source=facts.get("mpp_source", ""),
        )

    places = np.ascontiguousarray(section.obsm["spatial"], dtype=np.float64)

    def inputs() -> dict[str, Any]:
        return {
            "size_px": size_px,
            "level0_px": level0_px,
            "image": file_stamp(Path(facts["image_path"])),
            "reading": READING,
            "spots": _hash("\n".join(spots.tolist()).encode(), places.tobytes()),
        }

    image = Path(facts["image_path"])
    return Item(facts["name"], folder / f"{facts['name']}.h5", inputs, rows, lambda: glance(image))


def patch_set_item(patches: PatchSet, folder: Path) -> Item:
    """The one item of a patch set."""

    @contextmanager
    def rows() -> Iterator[OpenItem]:
        images = ImageStream(len(patches), patches.images)
        yield _opened(patches, images, patches.keys, patches.coords)

    def of_all(told: Callable[[Path], str]) -> str:
        return _hash("\n".join(told(source.path) for source in patches.sources).encode())

    def inputs() -> dict[str, Any]:
        return {
            "keys": _hash("\n".join(patches.keys.tolist()).encode()),
            "images": of_all(file_stamp),
            "patch_px": patches.patch_px,
            "reading": READING,
        }

    return Item(patches.name, folder / FEATURES_FILE, inputs, rows, lambda: of_all(glance))


def image_bag_items(patches: PatchSet, folder: Path) -> list[Item]:
    """One item per image of a patch set that is cut into tiles; a bag is named by its image's stem.

    Raises:
        DataError: two images of one stem.
    """
    names = [bag_name(source) for source in patches.sources]
    refuse_doubles(names, [source.key for source in patches.sources])
    return [
        _image_bag_item(patches, source, folder / FEATURES_FOLDER / f"{name}.h5")
        for name, source in zip(names, patches.sources, strict=True)
    ]


def bag_name(source: PatchSource) -> str:
    """Name of the bag that an image becomes."""
    return Path(source.key).stem


def _image_bag_item(patches: PatchSet, source: PatchSource, path: Path) -> Item:
    places = slice(source.rows.start, source.rows.stop)
    coords = None if patches.coords is None else patches.coords[places]

    @contextmanager
    def rows() -> Iterator[OpenItem]:
        images = ImageStream(len(source.rows), source.read)
        yield _opened(patches, images, patches.keys[places], coords)

    def inputs() -> dict[str, Any]:
        keys = _hash("\n".join(patches.keys[places].tolist()).encode())
        return {"image": file_stamp(source.path), "keys": keys, "patch_px": patches.patch_px, "reading": READING}

    return Item(path.stem, path, inputs, rows, lambda: glance(source.path))


def _opened(patches: PatchSet, images: ImageStream, keys: np.ndarray, coords: np.ndarray | None) -> OpenItem:
    side = patches.patch_px or 0  # 0 where whole images differ in size; the same at level 0
    return OpenItem(images=images, keys=keys, coords=coords, patch_size_px=side, patch_size_level0_px=side)


def refuse_doubles(names: Sequence[str], paths: Sequence[str]) -> None:
    """Refuses two bags of one name.

    Raises:
        DataError: the first such name and its files.
    """
    double = next((name for name, times in Counter(names).items() if times > 1), None)
    if double is not None:
        both = [path for name, path in zip(names, paths, strict=True) if name == double]
        raise DataError(f"{', '.join(both)}: one name, {double}, for {len(both)} bags; rename one of them")


def _hash(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def write_labels(
    folder: Path, key_column: str, keys: Iterable[str], labels: Iterable[str], groups: Iterable[str] | None
) -> None:
    """Writes ``labels.csv`` (key or slide, label, group)."""
    keys = list(keys)
    rows = zip(keys, labels, [""] * len(keys) if groups is None else groups, strict=True)
    write_csv(
        folder / LABELS_FILE,
        [key_column, "label", "group"],
        [{key_column: key, "label": label, "group": group} for key, label, group in rows],
    )


def refuse_manifest_at(target: Path, data: Settings) -> None:
    """Refuses to write the table of labels in place of the manifest that it is made from.

    Raises:
        ConfigError: they are one file.
    """
    manifest = getattr(data, "manifest", None)
    if manifest is not None and target.exists() and manifest.exists() and target.samefile(manifest):
        raise ConfigError(f"data.manifest {manifest}: labels would be written in its place; move it, or set features")
