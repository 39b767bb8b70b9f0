"""Explained slides, as they lie in a folder: tables are read when they are asked for."""

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from hage_transfer.data.h5_file import read_h5ad
from hage_transfer.explain.files import RECORD_FILE, read_genes
from hage_transfer.explain.over_slides import COLUMNS
from hage_transfer.explain.pictures import MAP_FILE
from hage_transfer.explain.task import read_record
from hage_transfer.running.run_directory import GENES_FILE, H5AD_FILE, TILES_FILE

if TYPE_CHECKING:
    from anndata import AnnData

_SHOWN = 10


@dataclass(frozen=True)
class ExplainedSlide(os.PathLike[str]):
    """Why a slide was called; where a path is wanted, its folder is meant.

    Attributes:
        source: feature source whose models called it.
        name: of the slide.
        folder: of its files.
    """

    source: str
    name: str
    folder: Path

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def facts(self) -> dict[str, Any]:
        """Its row of `slides.csv`: label, call, probability, number of tiles, cautions."""
        record = read_record(self.folder / RECORD_FILE)
        return {} if record is None else record["row"]

    @property
    def tiles(self) -> pd.DataFrame:
        """A row a tile: place at level 0 in px, attention (of 1 over the slide), percentile, whether it decided."""
        return pd.read_csv(self.folder / TILES_FILE)

    @property
    def genes(self) -> pd.DataFrame:
        """A row a gene, largest effect first: deciding tiles against the rest; empty where no genes were read."""
        return read_genes(self.folder / GENES_FILE)

    @property
    def expression(self) -> "AnnData":
        """Tiles by genes: predicted expression, with the columns of ``tiles``."""
        return read_h5ad(self.folder / H5AD_FILE)

    @property
    def picture(self) -> Path | None:
        """The map of attention; None where the run has no images."""
        path = self.folder / MAP_FILE
        return path if path.is_file() else None

    def _repr_html_(self) -> str:
        facts = self.facts
        names = list(facts)
        said = names[names.index("label") : names.index("fold")] if {"label", "fold"} <= facts.keys() else []
        text = ", ".join(f"{name} {facts[name]}" for name in said)
        html = f"<p>{escape(f'{self.name} ({self.source}): {text}')}</p>"
        if self.picture is not None:
            data = base64.b64encode(self.picture.read_bytes()).decode()
            html += f'<img src="data:image/png;base64,{data}" style="max-width: 100%">'
        genes = self.genes.head(_SHOWN)[["gene", "rank_biserial", "shift_p", "heldout_pcc"]]
        return html + (genes.to_html(index=False, float_format="{:.3g}".format) if len(genes) else "")


@dataclass(frozen=True)
class Explained(Mapping[Any, ExplainedSlide], os.PathLike[str]):
    """Explained slides by name, or by (source, name) where there are several sources.

    Where a path is wanted, their folder is meant.

    Attributes:
        folder: of all.
        slides: by source and name.
        over_slides: by source, rows of its `genes.csv`, those of earlier calls' slides among them.
    """

    folder: Path
    slides: Mapping[tuple[str, str], ExplainedSlide]
    over_slides: Mapping[str, Sequence[Mapping[str, Any]]]

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def sources(self) -> tuple[str, ...]:
        """Feature sources, in the order of the run."""
        return tuple(dict.fromkeys(source for source, _ in self.slides))

    def __getitem__(self, key: str | tuple[str, str]) -> ExplainedSlide:
        if isinstance(key, str):
            if len(self.sources) > 1:
                raise KeyError(f"{key}: several sources ({', '.join(self.sources)}); give (source, slide)")
            key = (*self.sources, key)  # type: ignore[assignment]
        return self.slides[key]  # type: ignore[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.slides if len(self.sources) > 1 else [slide for _, slide in self.slides])

    def __len__(self) -> int:
        return len(self.slides)

    def frame(self) -> pd.DataFrame:
        """A row a source and slide: label, call, probability, number of tiles, entropy of attention, cautions."""
        return pd.DataFrame([{"source": source, **slide.facts} for (source, _), slide in self.slides.items()])

    def table(self) -> pd.DataFrame:
        """Genes over the slides of a source that were called one class, largest mean effect first."""
        rows = [{"source": source, **row} for source, rows in self.over_slides.items() for row in rows]
        return pd.DataFrame(rows, columns=["source", *COLUMNS])

    def __repr__(self) -> str:
        return f"<{len(self)} explained slides of {', '.join(self.sources) or 'no source'} in {self.folder}>"

    def _repr_html_(self) -> str:
        shown = self.frame()
        shown = shown.drop(columns=["path", "fold", "mpp", "models", "n_deciding"], errors="ignore")
        return f"<p>{escape(repr(self))}</p>" + shown.to_html(index=False, float_format="{:.3f}".format)
