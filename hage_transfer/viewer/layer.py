"""One number a tile: a column of its table, a gene's predicted expression, or the mean of a gene set's."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from hage_transfer.data.gene_sets import read_gene_sets
from hage_transfer.viewer.tile_table import TileTable, gene_values

GeneSets = Mapping[str, tuple[str, ...]]
"""Genes of each set (pathway, programme)."""
KINDS = ("column", "gene", "set")


@dataclass(frozen=True)
class Layer:
    """What a page asks for: kind (of ``KINDS``) and name."""

    kind: str
    name: str


class NoSuchLayerError(LookupError):
    """Tiles have no such column, gene or gene set."""


def layer_values(table: TileTable, layer: Layer, sets: GeneSets) -> Float32[np.ndarray, " tile"]:
    """Values of a layer; a set's are the mean over those of its genes that are predicted.

    Raises:
        NoSuchLayerError: see above.
        DataError: the file is gone or damaged.
    """
    if layer.kind == "column" and layer.name in table.columns:
        return table.columns[layer.name]
    if layer.kind == "gene" and layer.name in table.genes:
        return gene_values(table, [layer.name])
    known = among(sets.get(layer.name, ()), set(table.genes)) if layer.kind == "set" else []
    if not known:
        raise NoSuchLayerError(f"no such {layer.kind}" if layer.kind in KINDS else "no such column, gene or set")
    return gene_values(table, known)


def among(genes: tuple[str, ...], there: Collection[str]) -> list[str]:
    """Those of ``genes`` that are there."""
    return [gene for gene in genes if gene in there]


def sets_of_file(path: Path) -> GeneSets:
    """The sets of a file by name, as ``read_gene_sets`` reads it.

    Raises:
        DataError: missing, or no file of gene sets.
    """
    found: dict[str, list[str]] = {}
    for gene, name in read_gene_sets(path):
        found.setdefault(name, []).append(gene)
    return {name: tuple(found[name]) for name in sorted(found)}
