"""Labelled patch sets: a manifest, folders, a file-name pattern or PCAM, read as one stream of images.

Image files are found, checked by their headers, and cut into tiles.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int

from hage_transfer.config import PatchSetSettings
from hage_transfer.csv_table import csv_table, refuse_missing
from hage_transfer.data.label_patients import refuse_nobody, tell_alike, tell_patients
from hage_transfer.data.name_pattern import match_all
from hage_transfer.data.odd_images import tell_resolutions, tell_sizes
from hage_transfer.data.patch_set import PatchSet, PatchSource, image_key
from hage_transfer.data.pcam import pcam_splits, read_pcam
from hage_transfer.data.published_table import PARTS
from hage_transfer.errors import ConfigError, DataError, some
from hage_transfer.slides.reader import open_picture
from hage_transfer.slides.resolution import first_plausible

log = logging.getLogger(__name__)

IMAGE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})
_LONGEST_NAME = 255


@dataclass(frozen=True)
class LabelledImage:
    """One image file: ``key`` is its path relative to the root, ``group`` is empty where there is none."""

    key: str
    path: Path
    label: str
    group: str


def read_patch_set(settings: PatchSetSettings, *, labels_needed: bool = True) -> PatchSet:
    """Finds the patches of a set and opens every header, so that a fault shows before hours of encoding.

    Args:
        settings: of the set.
        labels_needed: False: a manifest without labels will do; they are then empty.

    Raises:
        DataError: no such file or column, an image that is missing, unreadable, listed twice or smaller than a tile,
            a pattern that nothing matches, an empty label.
        ConfigError: keys that do not go together.
    """
    _check(settings)
    return read_pcam(settings.root) if settings.layout == "pcam" else _of_images(settings, labels_needed)


def find_images(settings: PatchSetSettings, *, labels_needed: bool = False) -> list[LabelledImage]:
    """The image files of the layouts manifest, folder and pattern, not opened; errors as ``read_patch_set``."""
    if settings.layout == "manifest":
        return _from_manifest(settings, labels_needed)
    return _from_folders(settings) if settings.layout == "folder" else _from_pattern(settings)


def refuse_no_images(settings: PatchSetSettings) -> None:
    """Refuses a set whose files are not there, of any layout; they are not opened. Errors as ``read_patch_set``."""
    _check(settings)
    if settings.layout == "pcam":
        pcam_splits(settings.root)
    else:
        find_images(settings)


def tile_grid(width: int, height: int, *, tile_px: int, stride_px: int) -> Int[np.ndarray, "tile 2"]:
    """Top-left (x, y) of every tile that lies wholly in an image, row by row."""
    x, y = np.meshgrid(np.arange(0, width - tile_px + 1, stride_px), np.arange(0, height - tile_px + 1, stride_px))
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.int64)


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


def _of_images(settings: PatchSetSettings, labels_needed: bool) -> PatchSet:
    images = find_images(settings, labels_needed=labels_needed)
    where = settings.manifest or settings.root
    sizes = _open_headers(images, where)
    tile_px, stride_px = settings.tile_px, settings.stride_px or settings.tile_px
    tell_alike(where, "labels", (image.label for image in images), "classes of their own")
    tell_alike(where, "groups", (image.group for image in images), "patients of their own, whom folds may divide")
    if tile_px is None:
        tell_sizes(where, [image.key for image in images], sizes)
    grids: list[np.ndarray | None] = [None] * len(images)
    if tile_px is not None and stride_px is not None:
        _refuse_small(images, sizes, tile_px)
        grids = [tile_grid(*size, tile_px=tile_px, stride_px=stride_px) for size in sizes]
    counts = [1 if grid is None else len(grid) for grid in grids]
    starts = np.concatenate([[0], np.cumsum(counts)])
    sources = tuple(
        PatchSource(
            key=image.key,
            path=image.path,
            rows=range(int(start), int(start) + count),
            read=partial(_read_patches, image.path, size, grid, tile_px),
        )
        for image, size, grid, start, count in zip(images, sizes, grids, starts, counts, strict=False)
    )
    sides = {side for size in sizes for side in size}
    return PatchSet(
        name=str(where),
        keys=np.array([key for image, grid in zip(images, grids, strict=True) for key in _keys(image, grid)]),
        labels=np.repeat([image.label for image in images], counts),
        groups=np.repeat([image.group for image in images], counts) if images[0].group else None,
        image_keys=np.repeat([image.key for image in images], counts),
        coords=np.concatenate([grid for grid in grids if grid is not None]) if tile_px is not None else None,
        patch_px=tile_px if tile_px is not None else (sides.pop() if len(sides) == 1 else None),
        sources=sources,
    )


def _read_patches(
    path: Path, size: tuple[int, int], grid: np.ndarray | None, tile_px: int | None, first: int
) -> Iterator[np.ndarray]:
    with open_picture(path) as image:
        if (image.width_px, image.height_px) != size:
            raise DataError(
                f"{path}: {image.width_px} x {image.height_px} px, and {size[0]} x {size[1]} px when the set was read: "
                "it was replaced; run the same command again"
            )
        if grid is None or tile_px is None:
            yield image.read_region(0, 0, level=0, width_px=image.width_px, height_px=image.height_px)
            return
        for x, y in grid[first:].tolist():
            yield image.read_region(x, y, level=0, width_px=tile_px, height_px=tile_px)


def _keys(image: LabelledImage, grid: np.ndarray | None) -> list[str]:
    return [image.key] if grid is None else [f"{image.key}#{x}_{y}" for x, y in grid]


def _from_manifest(settings: PatchSetSettings, labels_needed: bool) -> list[LabelledImage]:
    path = settings.manifest
    if path is None:
        raise ConfigError("data.layout manifest needs data.manifest")
    with csv_table(path, absent="no such manifest (data.manifest)") as table:
        columns = table.columns
        needed = ("path", "label") if labels_needed else ("path",)
        missing = [name for name in needed if name not in columns]
        if missing:
            raise DataError(
                f"{path}: no column {', '.join(missing)}; a manifest has path,label[,group], this has "
                f"{','.join(columns) or 'nothing'}"
            )
        table.refuse_repeated(("path", "label", "group"), path=path)
        rows = [(line, {key: row[key] for key in columns}) for line, row in table.rows]
    _refuse_empty_cells(path, rows, needed)
    if not rows:
        raise DataError(f"{path}: a manifest without rows")
    if labels_needed:
        tell_patients(path, columns, (row for _, row in rows), [], "group" if rows[0][1].get("group") else None)
    images = [
        _image(settings.root, settings.root / row["path"], row.get("label", ""), row.get("group", ""))
        for _, row in rows
    ]
    return _unique(images, path)


def _refuse_empty_cells(path: Path, rows: Sequence[tuple[int, dict[str, str]]], needed: Sequence[str]) -> None:
    for line, row in rows:
        if any(len(part.encode()) > _LONGEST_NAME for part in row["path"].split("/")):
            raise DataError(f"{path}: line {line}: {row['path'][:40]}... is a longer name than a file can have")
        group = {"group": row["group"]} if row.get("group") else {}
        refuse_missing(path, line, {**{name: row[name] for name in needed}, **group})
        refuse_nobody(path, line, "group", row.get("group", ""), remedy="give each a name of its own")
    without = [line for line, row in rows if not row.get("group")]
    if 0 < len(without) < len(rows):
        raise DataError(
            f"{path}: {len(without)} of {len(rows)} rows have no group (first: line {without[0]}); give every row one, "
            "or none"
        )


def _from_folders(settings: PatchSetSettings) -> list[LabelledImage]:
    root = settings.root
    inside = [(path, path.relative_to(root).parts) for path in _files(root)]
    images = [_image(root, path, parts[0], "") for path, parts in inside if len(parts) > 1 and _is_image(path)]
    _log_left_out(root, len(inside) - len(images), "not an image in a label's folder")
    if not images:
        raise DataError(f"{root}: no image in a folder of its label; layout folder reads root/<label>/<image>")
    labels = {image.label for image in images}
    if len(labels) > 1 and {label.lower() for label in labels} <= PARTS.keys():
        raise DataError(
            f"{root}: its folders {', '.join(sorted(labels))} are parts of a split, not labels; give one of them as "
            "data.root, or a manifest with path,label,group,part (data.layout=manifest)"
        )
    return images


def _from_pattern(settings: PatchSetSettings) -> list[LabelledImage]:
    root, group_by = settings.root, settings.group_by
    files = _files(root)
    names = [path.relative_to(root).as_posix() for path in files]
    groups, matched = match_all(settings.pattern or "", names, key="data.pattern")
    for wanted, key in (("label", "data.pattern"), (group_by, "data.group_by")):
        if wanted is not None and wanted not in groups:
            there = ", ".join(groups) or "none"
            raise ConfigError(f"{key}: the pattern has no named group {wanted}, only {there}")
    images = [
        _image(root, path, values["label"] or "", (values[group_by] or "") if group_by else "")
        for path, values in zip(files, matched, strict=True)
        if values is not None
    ]
    if not images:
        example = f"for example {files[0].relative_to(root).as_posix()}" if files else "the folder is empty"
        raise DataError(f"{root}: none of {len(files)} files matches {settings.pattern!r} ({example})")
    _log_left_out(root, len(files) - len(images), "no match of data.pattern")
    for image in images:
        if not image.label or (group_by and not image.group):
            what = "label" if not image.label else str(group_by)
            raise DataError(f"{image.path}: data.pattern gives it an empty {what}")
    return images


def _files(root: Path) -> list[Path]:
    if not root.is_dir():
        raise DataError(f"{root}: no such folder (data.root)")
    return sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_ENDINGS


def _image(root: Path, path: Path, label: str, group: str) -> LabelledImage:
    return LabelledImage(image_key(root, path), path, label, group)


def _unique(images: list[LabelledImage], where: Path) -> list[LabelledImage]:
    seen: dict[Path, LabelledImage] = {}
    for image in images:
        path = image.path.resolve()
        if path in seen:
            other = seen[path]
            detail = "" if other.label == image.label else f", as {other.label} and as {image.label}"
            raise DataError(f"{where}: {image.key} is listed twice{detail}; keep one row")
        seen[path] = image
    return images


def _log_left_out(root: Path, count: int, why: str) -> None:
    if count:
        log.warning("%s: %d files left out (%s)", root, count, why)


def _open_headers(images: Iterable[LabelledImage], where: Path) -> list[tuple[int, int]]:
    """Width and height of each image; what is odd about some is logged.

    Raises:
        DataError: all the faults at once, the first few by name.
    """
    sizes, faults, resolutions = [], [], []
    odd: dict[str, list[str]] = {}
    for image in images:
        try:
            with open_picture(image.path) as opened:
                sizes.append((opened.width_px, opened.height_px))
                if (found := first_plausible(opened.recorded)) is not None:
                    resolutions.append((image.key, found.mean_um_per_px))
                for note in opened.notes:
                    odd.setdefault(note, []).append(image.key)
        except DataError as error:
            faults.append(str(error))
    if faults:
        raise DataError(some(faults, 3, joined="; "))
    tell_resolutions(where, resolutions)
    for note, keys in odd.items():
        log.info("%d of %d images (first: %s): %s", len(keys), len(sizes), keys[0], note)
    return sizes


def _refuse_small(images: Sequence[LabelledImage], sizes: Sequence[tuple[int, int]], tile_px: int) -> None:
    small = [(image, size) for image, size in zip(images, sizes, strict=True) if min(size) < tile_px]
    if small:
        image, (width, height) = small[0]
        raise DataError(
            f"{image.path}: {width} x {height} px holds no tile of data.tile_px = {tile_px}"
            + (f" (and {len(small) - 1} more)" if len(small) > 1 else "")
        )
