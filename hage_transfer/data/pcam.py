"""PCAM: `camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5`, streamed; slides as groups from `_meta.csv`."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import UInt8

from hage_transfer.csv_table import csv_table
from hage_transfer.damage import reading
from hage_transfer.data.h5_file import open_h5
from hage_transfer.data.patch_set import PatchSet, PatchSource
from hage_transfer.errors import DataError

log = logging.getLogger(__name__)

SPLITS = ("train", "valid", "test")
_BLOCK = 256
_GROUP_COLUMN, _WHOLE_COLUMN, _CENTRE_COLUMN = "wsi", "tumor_patch", "center_tumor_patch"
_ANSWERS = {"false": False, "true": True, "0": False, "1": True}


def read_pcam(root: Path) -> PatchSet:
    """The splits of PCAM that are under ``root``, in the order train, valid, test; keys are ``<split>/<index>``.

    Groups are the slides of ``_meta.csv``, where every split found has one.

    Raises:
        DataError: no split, x without y, datasets of another form, labels other than 0 and 1, a meta file that does
            not fit.
    """
    splits = pcam_splits(root)
    absent = [split for split in SPLITS if split not in splits]
    if absent:
        log.warning("%s: PCAM without its %s split", root, ", ".join(absent))
    labels, sources, start, side = [], [], 0, 0
    for split in splits:
        count, own = _check_images(_path(root, split, "x.h5"))
        if side not in (0, own):
            raise DataError(
                f"{_path(root, split, 'x.h5')}: patches of {own} px, those of {splits[0]} have {side}; a set has "
                "patches of one size"
            )
        side = own
        labels.append(_read_labels(_path(root, split, "y.h5"), count))
        path = _path(root, split, "x.h5")
        sources.append(PatchSource(split, path, range(start, start + count), partial(_read, path, count)))
        start += count
    keys = np.array([f"{source.key}/{index}" for source in sources for index in range(len(source.rows))])
    return PatchSet(
        name=str(root),
        keys=keys,
        labels=np.concatenate(labels).astype(str),
        groups=_read_groups(root, sources, labels),
        image_keys=keys,
        coords=None,
        patch_px=side,
        sources=tuple(sources),
    )


def pcam_splits(root: Path) -> list[str]:
    """The splits of PCAM that are under ``root``.

    Raises:
        DataError: none.
    """
    splits = [split for split in SPLITS if _path(root, split, "x.h5").is_file()]
    if not splits:
        packed = any(root.glob("camelyonpatch_level_2_split_*.h5.gz"))
        raise DataError(
            f"{root}: no {_path(root, 'train', 'x.h5').name} (nor valid, test)"
            + ("; unpack the .gz files with gunzip" if packed else "; data.root is PCAM's folder")
        )
    return splits


def _path(root: Path, split: str, ending: str) -> Path:
    return root / f"camelyonpatch_level_2_split_{split}_{ending}"


def _check_images(path: Path) -> tuple[int, int]:
    with _dataset(path, "x") as images:
        if images.ndim != 4 or images.shape[-1] != 3 or images.shape[1] != images.shape[2] or images.dtype != np.uint8:
            raise DataError(f"{path}: x is {images.shape} {images.dtype}, wanted (N, 96, 96, 3) uint8")
        return int(images.shape[0]), int(images.shape[1])


def _read_labels(path: Path, count: int) -> np.ndarray:
    with _dataset(path, "y") as dataset:
        values = dataset[...].reshape(-1)
    if len(values) != count:
        raise DataError(f"{path}: {len(values)} labels for {count} patches")
    if not np.isin(values, (0, 1)).all():
        raise DataError(f"{path}: labels are 0 and 1, these are {np.unique(values)[:5].tolist()}")
    return values.astype(np.int64)


def _read(path: Path, count: int, first: int) -> Iterator[UInt8[np.ndarray, "96 96 3"]]:
    with _dataset(path, "x") as images:
        if len(images) != count:
            raise DataError(f"{path}: {len(images)} patches where {count} were; it was replaced: run the command again")
        for start in range(first, count, _BLOCK):
            with reading(path, f"damaged at patch {start}", remedy="fetch it again"):
                block = images[start : start + _BLOCK]
            yield from block


def _read_groups(root: Path, sources: list[PatchSource], labels: list[np.ndarray]) -> np.ndarray | None:
    paths = {source.key: _path(root, source.key, "meta.csv") for source in sources}
    absent = [path.name for path in paths.values() if not path.is_file()]
    if absent:
        log.warning("%s: no %s, so PCAM's slides are not known and its patches have no groups", root, ", ".join(absent))
        return None
    groups = [
        slide for source, own in zip(sources, labels, strict=True) for slide in _read_slides(paths[source.key], own)
    ]
    return np.array(groups)


def _read_slides(path: Path, labels: np.ndarray) -> list[str]:
    """The slide of each patch of one split, whose labels tell whether the table is in the order of the patches."""
    slides: list[str] = []
    with csv_table(path, absent="no such file") as table:
        if _GROUP_COLUMN not in table.columns:
            raise DataError(f"{path}: no column {_GROUP_COLUMN}, only {', '.join(table.columns)}")
        for line, row in table.rows:
            slide = row[_GROUP_COLUMN]
            if not slide:
                raise DataError(f"{path}: line {line} names no slide ({_GROUP_COLUMN}); fetch the file again")
            column = _contradicted(row, labels[len(slides)]) if len(slides) < len(labels) else None
            if column is not None:
                raise DataError(
                    f"{path}: line {line}: {column} is {row[column]}, the label of patch {len(slides)} is "
                    f"{labels[len(slides)]}; the rows are not in the order of the patches: fetch x, y and meta again"
                )
            slides.append(slide)
    if len(slides) != len(labels):
        raise DataError(f"{path}: {len(slides)} rows for {len(labels)} patches")
    return slides


def _contradicted(row: Mapping[str, str], label: int) -> str | None:
    """The column that cannot be true of a patch of this label; None where there is none.

    A label speaks of the centre of a patch and ``tumor_patch`` of all of it, so a patch of label 0 may hold tumour.
    """
    whole, centre = (_ANSWERS.get(row.get(name, "").lower()) for name in (_WHOLE_COLUMN, _CENTRE_COLUMN))
    if label == 1 and whole is False:
        return _WHOLE_COLUMN
    return _CENTRE_COLUMN if label == 0 and centre is True else None


@contextmanager
def _dataset(path: Path, name: str) -> Iterator[h5py.Dataset]:
    with open_h5(path, absent="no such file; PCAM's x and y files belong together") as file:
        if name not in file:
            raise DataError(f"{path}: no dataset {name}, only {sorted(file)}")
        yield file[name]
