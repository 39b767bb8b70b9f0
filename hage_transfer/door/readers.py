"""Readers of what the library works on, each by a path or, where it is a table, by its rows."""

import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import anndata as ad
import pandas as pd

from hage_transfer.data import labels as label_tables
from hage_transfer.data import sections as st_sections
from hage_transfer.data.feature_file import Features
from hage_transfer.data.feature_file import read_features as read_feature_file
from hage_transfer.data.labels import LabelTable
from hage_transfer.door.given import PathLike, Table, merged
from hage_transfer.door.recipes import resolve_config
from hage_transfer.door.tables import csv_text
from hage_transfer.errors import DataError
from hage_transfer.pretrain.config import PretrainConfig
from hage_transfer.slides import reader
from hage_transfer.slides.slide import Slide


def read_features(path: PathLike) -> Features:
    """Reads a whole feature file, or embeddings: ``features``, ``keys`` or ``coords``, and ``meta``.

    Raises:
        DataError: missing, no feature file, or NaN among the rows.

    >>> from hage_transfer.data.feature_file import FeatureMeta, write_features
    >>> meta = FeatureMeta(
    ...     source="C4", encoder="embedded", encoder_sha256="abc", encoder_licence="Apache-2.0", patch_size_px=224,
    ...     patch_size_level0_px=224, mpp_um_per_px=0.5, precision="float32", config_sha256="def",
    ... )
    >>> path = Path(tempfile.mkdtemp()) / "C4.h5"
    >>> import numpy as np
    >>> write_features(path, np.ones((2, 3), np.float32), meta, keys=["1x1", "1x2"])
    >>> read_features(path).features.shape
    (2, 3)
    """
    return read_feature_file(Path(path))


def read_labels(labels: Table) -> LabelTable:
    """Reads a label table: `key` or `slide`, `label`, and optionally `group` and `site`.

    Args:
        labels: a csv, or its rows.

    Raises:
        DataError: missing or unreadable, a missing column, or rows that contradict each other.

    >>> read_labels(pd.DataFrame({"slide": ["a", "b"], "label": [0, 1]})).classes
    ('0', '1')
    """
    if not isinstance(labels, pd.DataFrame):
        return label_tables.read_labels(Path(labels))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        path.write_text(csv_text(labels), encoding="utf-8")
        try:
            return label_tables.read_labels(path)
        except DataError as error:
            raise DataError(str(error).replace(str(path), "the label table")) from None


def read_sections(
    root: PathLike,
    *,
    layout: str | None = None,
    sections: Sequence[str] | None = None,
    spot_spacing_um: float | None = None,
    mpp_um_per_px: float | None = None,
) -> dict[str, ad.AnnData]:
    """Reads ST sections: counts in ``X``, spots' centres in ``obsm["spatial"]`` (x, y, px of level 0).

    Args:
        root: folder of the data set.
        layout: of it; None: ``her2st``.
        sections: names; None: every one, or those of the field.
        spot_spacing_um: distance of spots, centre to centre, where the image records no resolution.
        mpp_um_per_px: resolution of the images; None: from spots or file.

    Raises:
        DataError: a section is missing, or a file is missing or not in its form.
    """
    given = {
        "data.root": root,
        "data.layout": layout,
        "data.sections": sections,
        "data.spot_spacing_um": spot_spacing_um,
        "data.mpp_um_per_px": mpp_um_per_px,
    }
    settings = resolve_config(PretrainConfig, {}, *merged(None, given)).data
    return {section.uns["section"]["name"]: section for section in st_sections.read_sections(settings)}


def open_slide(
    path: PathLike, *, mpp_um_per_px: float | None = None, needs_resolution: bool = True
) -> AbstractContextManager[Slide]:
    """Opens a slide, for a ``with``: levels, resolution, and pixels of any rectangle.

    Args:
        path: the slide.
        mpp_um_per_px: level-0 resolution of a slide that records none.
        needs_resolution: False where work in level-0 pixels is all that follows.

    Raises:
        DataError: missing, damaged, not a slide, or of unknown resolution where it is needed.
    """
    return reader.open_slide(Path(path), mpp_um_per_px=mpp_um_per_px, needs_resolution=needs_resolution)
