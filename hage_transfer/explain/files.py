"""Tables of an explained slide: its tiles, as csv and AnnData, and its genes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int

from hage_transfer.mil.deciding_genes import GeneEffects, order_by_effect
from hage_transfer.mil.deciding_shifts import Shifted
from hage_transfer.mil.heatmap import Explanation
from hage_transfer.report.attention_map import TilePlaces
from hage_transfer.running.atomic import atomic_path, write_csv

if TYPE_CHECKING:
    import pandas as pd

    from hage_transfer.explain.genes import GeneQuality, TileGenes

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
        if self.explanation.tile_probabilities is not None:
            for place, name in enumerate(self.explanation.classes):
                found[f"probability_{name}"] = self.explanation.tile_probabilities[:, place]
        return found

    def frame(self) -> "pd.DataFrame":
        """``columns`` as a table."""
        import pandas as pd

        return pd.DataFrame(self.columns())

    def write_csv(self, path: Path) -> None:
        """Writes tiles.csv."""
        with atomic_path(path) as temporary:
            self.frame().to_csv(temporary, index=False, float_format="%.8g")

    def write_h5ad(self, path: Path, genes: "TileGenes | None", names: Sequence[str], facts: Mapping[str, Any]) -> None:
        """Writes tiles.h5ad, expression a few tiles at a time."""
        import anndata as ad
        import h5py
        import pandas as pd

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
        with atomic_path(path) as temporary:
            table.write_h5ad(temporary)
            if genes is not None:
                with h5py.File(temporary, "r+") as file:
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
    path: Path,
    genes: Sequence[str],
    expression: GeneEffects,
    attention: GeneEffects | None,
    p_values: Float[np.ndarray, " gene"],
    shifted: Shifted,
    quality: "GeneQuality",
    *,
    n_deciding: int,
    n_rest: int,
) -> None:
    """Writes the genes of one slide, largest effect first.

    Effects are of predicted expression, in the preset's unit for means; ``gene_attention_*`` are of the encoder's
    attention to the gene, means times the number of genes (1 is an even share). ``shift_p`` is no p-value of tiles
    taken for independent: see its last column and ``mil.deciding_shifts``.
    """
    shift_p_is = shifted.reason or (
        f"share of {len(shifted.masks) + 1} places of the deciding pattern (moved over the slide) with an effect as "
        "large; one slide, not corrected for the number of genes"
    )
    rows = []
    for rank, gene in enumerate(order_by_effect(expression).tolist(), start=1):
        row = {
            "rank": rank,
            "gene": genes[gene],
            "rank_biserial": expression.rank_biserial[gene],
            "hedges_g": expression.hedges_g[gene],
            "mean_deciding": expression.mean_deciding[gene],
            "mean_rest": expression.mean_rest[gene],
            "difference": expression.difference[gene],
            "weighted_shift": expression.weighted_shift[gene],
            "shift_p": p_values[gene],
            "validation_pcc": quality.validation_pcc[gene],
            "heldout_pcc": quality.heldout_pcc[gene],
        }
        if attention is not None:
            row |= {
                "gene_attention_rank_biserial": attention.rank_biserial[gene],
                "gene_attention_hedges_g": attention.hedges_g[gene],
                "gene_attention_deciding": attention.mean_deciding[gene],
                "gene_attention_rest": attention.mean_rest[gene],
            }
        counts = {"n_deciding": n_deciding, "n_rest": n_rest, "shift_p_is": shift_p_is}
        rows.append({name: cell(value) for name, value in row.items()} | counts)
    write_csv(path, GENE_COLUMNS, rows)


def cell(value: Any) -> Any:
    """A number to six digits; nothing where it is not defined."""
    if isinstance(value, float | np.floating):
        return "" if not np.isfinite(value) else f"{value:.6g}"
    return value
