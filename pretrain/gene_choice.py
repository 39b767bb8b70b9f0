"""Choosing genes apart from a run: on which sections, by which rules, and how far embeddings cover them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anndata import AnnData

from hage_transfer.data.gene2vec import read_gene2vec
from hage_transfer.data.gene_embeddings import Coverage, GeneEmbeddings
from hage_transfer.data.gene_names import GeneNames
from hage_transfer.data.genes import Panel, read_symbols
from hage_transfer.errors import ConfigError, SplitError
from hage_transfer.pretrain.config import GeneSettings, PretrainConfig
from hage_transfer.pretrain.genes import (
    choose_panel,
    cover_panel,
    gene_folds,
    gene_sections,
    read_named_sections,
    read_names,
)
from hage_transfer.pretrain.shallow_spots import leave_out_shallow


@dataclass(frozen=True)
class GeneSections:
    """Sections that genes are chosen on; ``note`` says whether they hold held-out ones."""

    sections: list[AnnData]
    note: str


def sections_for_genes(
    config: PretrainConfig, names: GeneNames | None, *, fold: str | None, training_only: bool
) -> GeneSections:
    """All sections of a config, or those that may train where one unit is held out.

    Args:
        config: of pretraining.
        names: aliases of genes.
        fold: the held-out unit; None: all sections, unless ``training_only``.
        training_only: the split has one fold: that one.

    Raises:
        SplitError: no such fold; several where one was to be alone.
    """
    read = leave_out_shallow(read_named_sections(config.data, names), config.data.min_counts)
    sections = {section.uns["section"]["name"]: section for section in read}
    if fold is None and not training_only:
        return GeneSections(
            list(sections.values()),
            f"made on all {len(sections)} sections, so it has seen every held-out one: scores of a run that uses it "
            "leak. fold=NAME makes it on the training sections of a fold alone",
        )
    folds = {found.name: found for found in gene_folds(list(sections.values()), config.split)}
    if fold is None and len(folds) > 1:
        raise SplitError(
            f"training_only=True: the split has {len(folds)} folds ({', '.join(folds)}); name one with fold="
        )
    name = next(iter(folds)) if fold is None else fold
    if name not in folds:
        raise SplitError(f"fold={name}: no such fold; leaving one {config.split.unit} out gives {', '.join(folds)}")
    chosen = gene_sections(sections, folds[name], config.split)
    return GeneSections(
        [sections[one] for one in chosen],
        f"made on the {len(chosen)} sections that may train where {config.split.unit} {name} is held out: "
        "use it for that fold alone",
    )


def dropped_by_rule(panel: Panel, genes: GeneSettings) -> dict[str, int]:
    """How many genes were judged, how many each rule of the config dropped, how many are kept."""
    source = "co-expression" if genes.embeddings is None else genes.embeddings.name
    rules: Mapping[str, str] = {
        "never_seen": "no count in any section",
        "n_top": f"among the top genes.n_top = {genes.n_top} of no section",
        "min_sections": f"among the top of fewer than genes.min_sections = {genes.min_sections} sections",
        "min_spots": f"seen in fewer than genes.min_spots = {genes.min_spots} spots",
        "no_embedding": f"no embedding by {source}",
    }
    variable = genes.panel == "hvg"
    judged = "listed by a section" if variable else f"listed in {Path(genes.panel).name}"
    counts = {judged: len(panel.report)}
    for rule in rules if variable else ["no_embedding"]:
        counts[f"dropped: {rules[rule]}"] = int((panel.report["rule"] == rule).sum())
    return {**counts, "kept": len(panel.symbols)}


def measure_coverage(
    config: PretrainConfig | None, *, panel: Path | None, embeddings: Path | None, names: Path | None
) -> tuple[Coverage, GeneEmbeddings]:
    """How far embeddings cover a panel: a file's, else the one that the config chooses on all of its sections.

    Raises:
        ConfigError: neither a config nor a file says what the panel or the embeddings are.
        DataError: a file is wrong, or no gene has an embedding.
    """
    if config is None and (panel is None or embeddings is None):
        raise ConfigError("give a config, or both panel= and embeddings= files")
    given = {"panel": panel, "embeddings": embeddings, "names": names}
    genes = GeneSettings() if config is None else config.genes
    genes = genes.model_copy(update={key: path for key, path in given.items() if path is not None})
    if genes.embeddings is None:
        raise ConfigError("genes.embeddings names no file, so there is nothing to cover; give embeddings=")
    table, found = read_names(genes), read_gene2vec(genes.embeddings)
    if config is None or (panel is not None and genes.panel != "hvg"):
        return cover_panel(read_symbols(Path(genes.panel)), found, table, ()), found
    sections = leave_out_shallow(read_named_sections(config.data, table), config.data.min_counts)
    return cover_panel(choose_panel(sections, genes, table).symbols, found, table, sections), found
