"""Tables of an explained slide: its tiles, as csv and AnnData, and its genes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from hage_transfer.data.h5_writing import new_h5ad
from hage_transfer.explain.genes import GeneQuality, TileGenes
from hage_transfer.mil.deciding_genes import gene_effects, order_by_effect
from hage_transfer.mil.deciding_shifts import Shifted, shift_p_values, shifted_patterns
from hage_transfer.mil.heatmap import Explanation
from hage_transfer.report.attention_map import TilePlaces
from hage_transfer.running.atomic import atomic_path

RECORD_FILE = "heatmap.json"
_TILES_AT_A_TIME = 2048
GENE_COLUMNS = (
    "rank", "gene", "rank_biserial", "hedges_g", "mean_deciding", "mean_rest", "difference", "weighted_shift",
    "shift_p", "gene_attention_rank_biserial", "gene_attention_hedges_g", "gene_attention_deciding",
    "gene_attention_rest", "n_deciding", "n_rest", "validation_pcc", "heldout_pcc", "shift_p_is",
)  # fmt: skip


@dataclass(frozen=True)
class ExplainedTiles:
    """The tiles of an explained slide.

    Attributes:
        explanation: attention and probabilities.
        deciding: tiles of highest attention.
        coords: level-0 top-left; None where the features have none.
        places: the same with the tiles' size; None likewise, and where the size is not known.
    """

    explanation: Explanation
    deciding: Bool[np.ndarray, " tile"]
    coords: Int[np.ndarray, "tile 2"] | None
    places: TilePlaces | None = None

    def __len__(self) -> int:
        return len(self.deciding)

    def at(self, places: TilePlaces | None) -> "ExplainedTiles":
        """The table with the tiles' size."""
        return replace(self, places=places)

    @property
    def centres(self) -> Float[np.ndarray, "tile 2"] | None:
        """Level-0 (x, y) of the tiles' centres; None without places."""
        return None if self.places is None else self.places.corners_px + np.array(self.places.size_px) / 2

    def columns(self) -> dict[str, np.ndarray]:
        """Columns of tiles.csv, in order; what is not known of the tiles' places is left out."""
        found: dict[str, np.ndarray] = {"tile": np.arange(len(self))}
        if self.coords is not None:
            found |= {"x_px": self.coords[:, 0], "y_px": self.coords[:, 1]}
        if self.places is not None:
            width, height = self.places.size_px
            found |= {
                "width_px": np.full(len(self), round(width, 3)),
                "height_px": np.full(len(self), round(height, 3)),
            }
        found |= {
            "attention": self.explanation.attention,
            "percentile": self.explanation.percentile,
            "deciding": self.deciding.astype(int),
        }
        return found | self.explanation.tile_columns

    def frame(self) -> pd.DataFrame:
        """``columns`` as a table."""
        return pd.DataFrame(self.columns())

    def write_csv(self, path: Path) -> None:
        """Writes tiles.csv."""
        with atomic_path(path) as temporary:
            self.frame().to_csv(temporary, index=False, float_format="%.8g")

    def write_h5ad(self, path: Path, genes: TileGenes | None, names: Sequence[str], facts: Mapping[str, Any]) -> None:
        """Writes tiles.h5ad, expression a few tiles at a time."""
        obs = self.frame()
        obs.index = pd.Index([str(tile) for tile in range(len(self))], name="row")
        var = pd.DataFrame(index=pd.Index([] if genes is None else list(names), name="gene", dtype=str))
        known = dict(facts)
        for column in ("validation_pcc", "heldout_pcc"):
            values = known.pop(column)
            if genes is not None and values is not None:
                var[column] = values
        centres = self.centres
        obsm = {} if centres is None else {"spatial": centres}
        table = ad.AnnData(obs=obs, var=var, obsm=obsm, uns={"hage": {"schema_version": 1, **known}})
        with new_h5ad(path, table) as file:
            if genes is not None:
                _write_expression(file, genes.expression)


def _write_expression(file: Any, expression: Float[np.ndarray, "gene tile"]) -> None:
    """X in the form that AnnData gives a dense array, a block of tiles at a time."""
    if "X" in file:
        del file["X"]
    n_genes, n_tiles = expression.shape
    chunk = min(n_tiles, _TILES_AT_A_TIME), min(n_genes, 32)
    values = file.create_dataset("X", shape=(n_tiles, n_genes), dtype=np.float32, chunks=chunk, compression="lzf")
    values.attrs["encoding-type"], values.attrs["encoding-version"] = "array", "0.2.0"
    for start in range(0, n_tiles, _TILES_AT_A_TIME):
        values[start : start + _TILES_AT_A_TIME] = expression[:, start : start + _TILES_AT_A_TIME].T


def write_gene_table(
    path: Path, names: Sequence[str], genes: TileGenes, tiles: ExplainedTiles, quality: GeneQuality
) -> None:
    """Writes the genes of one slide, largest effect first.

    Effects are of predicted expression, in the preset's unit for means; ``gene_attention_*`` are of the encoder's
    attention to the gene, means times the number of genes (1 is an even share). ``shift_p`` is no p-value of tiles
    taken for independent: see its last column and ``mil.deciding_shifts``.
    """
    weights, deciding = tiles.explanation.attention, tiles.deciding
    expression = gene_effects(genes.expression, weights, deciding)
    shifted = Shifted(np.zeros((0, len(tiles)), dtype=bool), "the tiles have no coordinates")
    if tiles.coords is not None:
        shifted = shifted_patterns(tiles.coords, deciding)
    shift_p_is = shifted.reason or (
        f"share of {len(shifted.masks) + 1} places of the deciding pattern (moved over the slide) with an effect as "
        "large; one slide, not corrected for the number of genes"
    )
    effects = ("rank_biserial", "hedges_g", "mean_deciding", "mean_rest", "difference", "weighted_shift")
    table = pd.DataFrame({name: getattr(expression, name) for name in effects})
    if genes.attention is not None:
        attention = gene_effects(genes.attention, weights, deciding)
        of_attention = {
            f"gene_attention_{name.removeprefix('mean_')}": getattr(attention, name) for name in effects[:4]
        }
        table = table.assign(**of_attention)
    table = table.assign(
        gene=list(names),
        shift_p=shift_p_values(genes.expression, deciding, shifted),
        validation_pcc=quality.validation_pcc,
        heldout_pcc=quality.heldout_pcc,
        n_deciding=int(deciding.sum()),
        n_rest=int((~deciding).sum()),
        shift_p_is=shift_p_is,
    )
    write_table(path, ranked(table.iloc[order_by_effect(expression)], GENE_COLUMNS))


def ranked(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The columns of a table, ``rank`` (the row's number) among them."""
    return table.assign(rank=range(1, len(table) + 1)).reindex(columns=list(columns))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes a table atomically, numbers to six digits and nothing where one is not defined."""
    with atomic_path(path) as temporary:
        table.replace([np.inf, -np.inf], np.nan).to_csv(temporary, index=False, float_format="%.6g")


def read_genes(path: Path) -> pd.DataFrame:
    """A table of genes, whose names may read as numbers or as missing; empty where there is no file."""
    if not path.is_file():
        return pd.DataFrame(columns=list(GENE_COLUMNS))
    return pd.read_csv(path, dtype={"gene": str}, keep_default_na=False, na_values=[""])
