"""Predicted sections or slides, as they lie in a folder: read when they are asked for."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from anndata import AnnData

from hage_transfer.predict.shown import SCORE_COLUMNS
from hage_transfer.report.prediction_file import read_prediction


@dataclass(frozen=True)
class Predictions(Mapping[str, AnnData], os.PathLike[str]):
    """Predictions by the name of the section or slide; where a path is wanted, their folder is meant.

    ``X`` is calibrated expression in the preset's unit, ``layers["raw"]`` as the models gave it, ``layers["target"]``
    what was measured; see the page on file formats.

    Attributes:
        folder: that they are in.
        summaries: a row of ``table`` each.
        scores: rows of ``frame``.
    """

    folder: Path
    summaries: Sequence[Mapping[str, Any]]
    scores: Sequence[Mapping[str, Any]]

    def __fspath__(self) -> str:
        return str(self.folder)

    def __getitem__(self, name: str) -> AnnData:
        if name not in list(self):
            raise KeyError(name)
        return read_prediction(self.folder / f"{name}.h5ad")

    def __iter__(self) -> Iterator[str]:
        return (summary["name"] for summary in self.summaries)

    def __len__(self) -> int:
        return len(self.summaries)

    def frame(self) -> pd.DataFrame:
        """A row a section and gene: Pearson correlation over spots, and that on the encoders' validation spots."""
        found = pd.DataFrame(list(self.scores), columns=list(SCORE_COLUMNS))
        return found.assign(**{name: pd.to_numeric(found[name]) for name in ("pcc", "validation_pcc", "n_spots")})

    def table(self) -> pd.DataFrame:
        """A row a section or slide."""
        return pd.DataFrame(list(self.summaries)).set_index("name")

    def __repr__(self) -> str:
        return f"<{len(self)} predictions in {self.folder}>"

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>" + self.table().to_html(float_format="{:.3f}".format, na_rep="")
