"""Bags: one feature file per slide, read when needed, kept in memory as far as a limit allows."""

import hashlib
import logging
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float, Int

from hage_transfer.data.feature_file import FeatureMeta, read_features, read_meta, written
from hage_transfer.data.feature_layouts import OPTIONS, find_feature_files, is_own_file, open_features, unknown_facts
from hage_transfer.data.labels import LabelTable
from hage_transfer.errors import DataError

log = logging.getLogger(__name__)

MEMORY_LIMIT_BYTES = 1 << 30


@dataclass
class BagSet:
    """Labelled slides and where their tiles' features are.

    Attributes:
        slides: names, in the order of the labels.
        paths: feature file of each.
        n_tiles: tiles of each, at least one.
        feature_dim: width, the same for all.
        meta: what the first file says of itself; encoder, weights and resolution are the same in all.
        sha256: changes when any file is made of other inputs or by another encoder.
        memory_limit_bytes: features kept in memory once read; past it they are read anew each time.
    """

    slides: tuple[str, ...]
    paths: tuple[Path, ...]
    n_tiles: Int[np.ndarray, "bag"]
    feature_dim: int
    meta: FeatureMeta
    sha256: str
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES
    _kept: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False)
    _kept_bytes: int = field(default=0, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.slides)

    def load(self, bag: int) -> Float[np.ndarray, "tile feature"]:
        """Features of one bag's tiles, float32.

        Raises:
            DataError: unreadable file, or NaN or infinity among the rows.
        """
        rows = self._kept.get(bag)
        if rows is None:
            path = self.paths[bag]
            rows = (read_features(path) if is_own_file(path) else open_features(path).read()).features
            if self._kept_bytes + rows.nbytes <= self.memory_limit_bytes:
                self._kept[bag] = rows
                self._kept_bytes += rows.nbytes
        return rows.astype(np.float32, copy=False)

    def moments(
        self, bags: Int[np.ndarray, "some"]
    ) -> tuple[Float[np.ndarray, "feature"], Float[np.ndarray, "feature"]]:
        """Mean and std of each feature over the tiles of some bags; std 1 where a feature is constant."""
        shift = self.load(int(bags[0]))[0].astype(np.float64)
        total, squares, count = np.zeros(self.feature_dim), np.zeros(self.feature_dim), 0
        for bag in bags.tolist():
            rows = self.load(bag).astype(np.float64) - shift
            total += rows.sum(axis=0)
            squares += (rows**2).sum(axis=0)
            count += len(rows)
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        std[std < 1e-6 * (1.0 + np.abs(mean + shift))] = 1.0
        return (mean + shift).astype(np.float32), std.astype(np.float32)


def open_bags(folder: Path, labels: LabelTable, *, memory_limit_bytes: int = MEMORY_LIMIT_BYTES) -> BagSet:
    """Finds the feature file of every labelled slide and checks that all go together.

    The folder is one of this project's, of CLAM's or TRIDENT's, or one of tensors (see ``find_feature_files``). Feature
    files without a label are left out, and the log says how many.

    Raises:
        DataError: no such folder; labelled slides without a file; two files of one slide; an empty bag; files of
            different width, encoder, weights or resolution; a file that is not a feature file.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of feature files; `hage encode slides` makes it")
    found = find_feature_files(folder)
    slides = tuple(labels.keys.tolist())
    missing = [slide for slide in slides if slide not in found]
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} of {len(slides)} labelled slides have no feature file "
            f"(first: {missing[0]}.h5); encode them, or take them out of the label table"
        )
    paths = tuple(found[slide] for slide in slides)
    unlabelled = len(found.keys() - set(slides))
    if unlabelled:
        log.info("%s: %d feature files have no label and are left out", folder, unlabelled)
    headers = [_header(path) for path in paths]
    metas, shapes = [meta for meta, _ in headers], [shape for _, shape in headers]
    for path, meta, shape in zip(paths, metas, shapes, strict=True):
        _check_alike(path, meta, shape[1], paths[0], metas[0], shapes[0][1])
    _say_unknown(folder, metas[0])
    made_of = "\n".join(
        f"{meta.encoder_sha256} {meta.config_sha256} {written(path)}" for path, meta in zip(paths, metas, strict=True)
    )
    return BagSet(
        slides,
        paths,
        np.array([n for n, _ in shapes]),
        shapes[0][1],
        metas[0],
        hashlib.sha256(made_of.encode()).hexdigest(),
        memory_limit_bytes,
    )


def _header(path: Path) -> tuple[FeatureMeta, tuple[int, int]]:
    """What a file says of itself, and its rows and width."""
    if is_own_file(path):
        return read_meta(path), _shape(path)
    source = open_features(path)
    return source.meta, (source.n_rows, source.width)


def _say_unknown(folder: Path, meta: FeatureMeta) -> None:
    unknown = [name for name in ("encoder", "encoder_licence") if name in unknown_facts(meta)]
    if unknown:
        log.warning(
            "%s: the files do not record %s; one encoder is taken on trust (`hage convert` records it: %s)",
            folder,
            ", ".join(unknown),
            ", ".join(OPTIONS[name] for name in unknown),
        )


def _shape(path: Path) -> tuple[int, int]:
    try:
        with h5py.File(path, "r") as file:
            shape = file["features"].shape
    except (OSError, KeyError) as error:
        raise DataError(f"{path}: is not a feature file ({error}); encode the slide again") from None
    if len(shape) != 2 or shape[0] == 0:
        raise DataError(
            f"{path}: an empty bag: features have shape {shape}, wanted (tiles, features) with at least one tile; "
            "take the slide out of the label table, or encode it with less tissue wanted (data.min_tissue)"
        )
    return int(shape[0]), int(shape[1])


def _check_alike(
    path: Path, meta: FeatureMeta, width: int, first_path: Path, first: FeatureMeta, first_width: int
) -> None:
    """Refuses a bag that was not made as the first was; config_sha256 also covers the slide, so it may differ."""
    if width != first_width:
        raise DataError(
            f"{path}: features have width {width}, those of {first_path.name} {first_width}; encode them alike"
        )
    for name in ("encoder", "encoder_sha256", "frozen_encoder", "patch_size_px", "mpp_um_per_px", "precision"):
        met, wanted = getattr(meta, name), getattr(first, name)
        if met != wanted:
            raise DataError(
                f"{path}: {name} is {str(met)[:40] or 'empty'}, that of {first_path.name} is "
                f"{str(wanted)[:40] or 'empty'}; bags of one source are encoded alike: encode them again"
            )
