"""What encoding and embedding leave behind: feature files by name, read when asked for."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from hage_transfer.data.feature_file import FeatureMeta, Features, read_features, read_header
from hage_transfer.errors import DataError
from hage_transfer.running.atomic import TEMPORARY_MARK

SUBFOLDER = "features"


class FeatureSet(Mapping[str, Features]):
    """Feature files by the names of their sections, slides or patch sets; ``set[name]`` reads one.

    It shows itself as a table, and stands wherever a path of features is wanted.

    Attributes:
        path: the folder, or the one file.
        files: name to file.
    """

    def __init__(self, path: Path) -> None:
        """Finds the feature files of a folder (in it, or in its ``features/``), or takes a file alone.

        Raises:
            DataError: there is none.
        """
        self.path = path
        self.files = {one.stem: one for one in _found(path)}
        if not self.files:
            raise DataError(f"{path}: holds no feature file (*.h5); `encode_*` makes them")

    def __fspath__(self) -> str:
        return str(self.path)

    def __getitem__(self, name: str) -> Features:
        return read_features(self.files[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    @cached_property
    def _headers(self) -> dict[str, tuple[FeatureMeta, tuple[int, int]]]:
        return {name: read_header(path) for name, path in self.files.items()}

    @property
    def meta(self) -> FeatureMeta:
        """What the first file says of itself."""
        return next(iter(self._headers.values()))[0]

    @property
    def encoder(self) -> str:
        """Name of the encoder that made them."""
        return self.meta.encoder

    @property
    def width(self) -> int:
        """Numbers a row."""
        return next(iter(self._headers.values()))[1][1]

    def frame(self) -> pd.DataFrame:
        """A row a file: ``name``, ``rows``, ``width`` and what the file says of itself."""
        rows: list[dict[str, Any]] = [
            {"name": name, "rows": shape[0], "width": shape[1], **asdict(meta), "path": str(self.files[name])}
            for name, (meta, shape) in self._headers.items()
        ]
        return pd.DataFrame(rows)

    def table(self) -> pd.DataFrame:
        """Rows, width, encoder and resolution by name."""
        return self.frame().set_index("name")[["rows", "width", "encoder", "mpp_um_per_px"]]

    def __repr__(self) -> str:
        return f"{self._caption()}\n{self.table().to_string(max_rows=20)}"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return f"<p>{self._caption()}</p>{self.table().to_html(max_rows=20)}"

    def _caption(self) -> str:
        rows = sum(shape[0] for _, shape in self._headers.values())
        return f"{self.path}: {rows} rows of {self.encoder} in {len(self)} files, licence {self.meta.encoder_licence}"


def _found(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    for folder in (path, path / SUBFOLDER):
        found = sorted(one for one in folder.glob("*.h5") if not one.name.startswith(TEMPORARY_MARK))
        if found:
            return found
    return sorted(one for one in path.rglob("*.h5") if not one.name.startswith(TEMPORARY_MARK))
