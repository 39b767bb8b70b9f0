"""`hage genes panel|embed|coverage`: choose the gene panel, train gene embeddings, see how far embeddings cover it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from hage_transfer.cli import options

if TYPE_CHECKING:
    from anndata import AnnData

    from hage_transfer.data.gene_embeddings import Coverage, GeneEmbeddings
    from hage_transfer.data.gene_names import GeneNames
    from hage_transfer.data.genes import Panel
    from hage_transfer.pretrain.config import PretrainConfig

genes_app = typer.Typer(
    name="genes", help="Gene panel, gene embeddings, and how far the one covers the other.", no_args_is_help=True
)

Fold = Annotated[
    str | None, typer.Option(help="Held-out unit: use the training sections of its fold alone.", metavar="NAME")
]
TrainingOnly = Annotated[
    bool, typer.Option("--training-only", help="As --fold, where the config's split has one fold.")
]
SHOWN = 40
"""Missing genes that are printed; the csv has all."""
PANEL_OUT_ENDINGS = (".txt", ".csv")


def register(app: typer.Typer) -> None:
    """Adds the commands to `hage`."""
    app.add_typer(genes_app)


@genes_app.command("panel")
def panel_command(
    config: options.Config,
    set_: options.Set = None,
    out: Annotated[
        Path | None, typer.Option(help="panel.txt (one symbol a line) and panel.csv (why each gene) of this stem.")
    ] = None,
    fold: Fold = None,
    training_only: TrainingOnly = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
) -> None:
    """Choose the panel by the config's rule; prints how many genes each rule drops."""
    from hage_transfer.door.recipes import resolve_config
    from hage_transfer.pretrain.config import PretrainConfig
    from hage_transfer.pretrain.genes import choose_panel, judge_embeddings, read_names

    settings = resolve_config(PretrainConfig, config, set_ or ())
    paths = None if out is None else _panel_paths(out, overwrite=overwrite)
    names = read_names(settings.genes)
    sections, note = _chosen_sections(settings, names, fold=fold, training_only=training_only)
    panel = choose_panel(sections, settings.genes, names)
    panel = judge_embeddings(panel, sections, settings.genes, names)
    console = Console()
    show_panel(panel, settings, console)
    if paths:
        _write_panel(paths, panel)
        console.print(f"{paths[0]} is usable as genes.panel; {paths[1]} has the reason for each gene", soft_wrap=True)
    else:
        console.print("nothing written; --out panel.txt writes the panel and its report", soft_wrap=True)
    console.print(note, style="yellow", markup=False, soft_wrap=True)


@genes_app.command("embed")
def embed_command(
    config: options.Config,
    out: Annotated[Path, typer.Option(help="Text file to write, in Gene2Vec's form.")],
    set_: options.Set = None,
    fold: Fold = None,
    training_only: TrainingOnly = False,
    seed: options.Seed = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
) -> None:
    """Train embeddings of the config's panel from the co-expression of its sections; usable as genes.embeddings."""
    from hage_transfer.data.gene_embeddings import train_coexpression, write_gene2vec
    from hage_transfer.door.recipes import resolve_config
    from hage_transfer.pretrain.config import PretrainConfig
    from hage_transfer.pretrain.genes import choose_panel, read_names

    overrides = [*(set_ or []), *([] if seed is None else [f"seed={seed}"])]
    settings = resolve_config(PretrainConfig, config, overrides)
    _check_free([out], overwrite=overwrite)
    names = read_names(settings.genes)
    sections, note = _chosen_sections(settings, names, fold=fold, training_only=training_only)
    panel = choose_panel(sections, settings.genes, names)
    trained = train_coexpression(sections, panel.symbols, dim=settings.genes.embedding_dim, seed=settings.seed)
    write_gene2vec(out, trained)
    console = Console()
    console.print(
        f"{out}: {len(trained.symbols)} of {len(panel.symbols)} panel genes, {trained.vectors.shape[1]} numbers each; "
        f"{trained.source}",
        markup=False,
        soft_wrap=True,
    )
    console.print(note, style="yellow", markup=False, soft_wrap=True)


@genes_app.command("coverage")
def coverage_command(
    config: Annotated[Path | None, typer.Argument(help="YAML recipe; its genes keys say what is not given.")] = None,
    set_: options.Set = None,
    panel: Annotated[Path | None, typer.Option(help="Panel file, one symbol a line.")] = None,
    embeddings: Annotated[Path | None, typer.Option(help="Gene2Vec or word2vec text file.")] = None,
    names: Annotated[Path | None, typer.Option(help="csv `alias,symbol`, or HGNC's table.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="csv to write: gene, covered, embedding, reason, near names.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
) -> None:
    """How many panel genes have an embedding, under which names, and what the missing ones may be called."""
    from hage_transfer.data.gene_embeddings import near_names

    if out is not None:
        _check_free([out], overwrite=overwrite)
    coverage, found = measure_coverage(config, set_ or (), panel=panel, embeddings=embeddings, names=names)
    near = near_names(coverage.missing, found.symbols)
    show_coverage(coverage, found, near, Console())
    if out is not None:
        _write_coverage(out, coverage, near)


def measure_coverage(
    config: Path | None,
    overrides: Sequence[str],
    *,
    panel: Path | None,
    embeddings: Path | None,
    names: Path | None,
) -> "tuple[Coverage, GeneEmbeddings]":
    """Coverage of a panel (a file's, else the one that the config chooses on all of its sections).

    Raises:
        ConfigError: neither a config nor a file says what the panel or the embeddings are.
        DataError: a file is wrong, or no gene has an embedding.
    """
    from hage_transfer.data.gene_embeddings import read_gene2vec
    from hage_transfer.data.genes import read_symbols
    from hage_transfer.door.recipes import resolve_config
    from hage_transfer.errors import ConfigError
    from hage_transfer.pretrain.config import GeneSettings, PretrainConfig
    from hage_transfer.pretrain.genes import choose_panel, cover_panel, read_named_sections, read_names

    if config is None and (panel is None or embeddings is None or overrides):
        raise ConfigError("give a config, or both --panel FILE and --embeddings FILE (and no --set)")
    settings = None if config is None else resolve_config(PretrainConfig, config, overrides)
    genes = GeneSettings() if settings is None else settings.genes
    given = {"panel": panel, "embeddings": embeddings, "names": names}
    genes = genes.model_copy(update={key: path for key, path in given.items() if path is not None})
    if genes.embeddings is None:
        raise ConfigError(
            f"{config}: genes.embeddings names no file, so there is nothing to cover; give --embeddings FILE"
        )
    table = read_names(genes)
    found = read_gene2vec(genes.embeddings)
    if settings is None or (panel is not None and genes.panel != "hvg"):
        return cover_panel(read_symbols(Path(genes.panel)), found, table, ()), found
    sections = read_named_sections(settings.data, table)
    return cover_panel(choose_panel(sections, genes, table).symbols, found, table, sections), found


def show_panel(panel: "Panel", config: "PretrainConfig", console: Console) -> None:
    """Prints how many genes each rule dropped, and how many names were resolved."""
    genes = config.genes
    source = "co-expression" if genes.embeddings is None else genes.embeddings.name
    rules = {
        "never_seen": "no count in any section",
        "n_top": f"among the top genes.n_top = {genes.n_top} of no section",
        "min_sections": f"among the top of fewer than genes.min_sections = {genes.min_sections} sections",
        "min_spots": f"seen in fewer than genes.min_spots = {genes.min_spots} spots",
        "no_embedding": f"no embedding by {source}",
    }
    shown = list(rules) if genes.panel == "hvg" else ["no_embedding"]
    table = Table("rule", "genes", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    judged = "listed by a section" if genes.panel == "hvg" else f"listed in {Path(genes.panel).name}"
    table.add_row(judged, f"{len(panel.report):,}")
    for rule in shown:
        table.add_row(f"dropped: {rules[rule]}", f"{int((panel.report['rule'] == rule).sum()):,}")
    table.add_row("kept", f"{len(panel.symbols):,}", style="bold")
    console.print(table)
    resolved = int((panel.report["kept"] & (panel.report["resolved_from"] != "")).sum())
    if resolved:
        console.print(f"{resolved:,} of the kept go by another name in the panel file or the sections (resolved_from)")


def show_coverage(
    coverage: "Coverage", found: "GeneEmbeddings", near: dict[str, tuple[str, ...]], console: Console
) -> None:
    """Prints how many genes are covered, the resolved names, and the missing genes with near names."""
    from hage_transfer.errors import some

    n_genes = len(coverage.symbols) + len(coverage.missing)
    share = len(coverage.symbols) / n_genes
    console.print(
        f"{len(coverage.symbols):,} of {n_genes:,} panel genes ({share:.1%}) have an embedding in {found.source} "
        f"({len(found.symbols):,} genes, {found.vectors.shape[1]} numbers each)",
        soft_wrap=True,
    )
    if coverage.renamed:
        listed = some([f"{symbol} as {other}" for symbol, other in coverage.renamed.items()], SHOWN)
        console.print(f"{len(coverage.renamed):,} under another name: {listed}", soft_wrap=True, highlight=False)
    if coverage.missing:
        table = Table("missing", "why", "near names", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
        for symbol in coverage.missing[:SHOWN]:
            table.add_row(symbol, coverage.reasons[symbol], ", ".join(near[symbol]))
        console.print(table)
        if len(coverage.missing) > SHOWN:
            console.print(f"and {len(coverage.missing) - SHOWN:,} more missing; --out coverage.csv lists all")


def _chosen_sections(
    config: "PretrainConfig", names: "GeneNames | None", *, fold: str | None, training_only: bool
) -> "tuple[list[AnnData], str]":
    """The sections to choose genes on, and a line that says whether they hold held-out ones."""
    from hage_transfer.errors import SplitError
    from hage_transfer.pretrain.genes import gene_folds, gene_sections, read_named_sections

    sections = {section.uns["section"]["name"]: section for section in read_named_sections(config.data, names)}
    if fold is None and not training_only:
        return list(sections.values()), (
            f"made on all {len(sections)} sections, so it has seen every held-out one: scores of a run that uses it "
            "leak. --fold NAME makes it on the training sections of a fold alone"
        )
    folds = {found.name: found for found in gene_folds(list(sections.values()), config.split)}
    if fold is None and len(folds) > 1:
        raise SplitError(
            f"--training-only: the split has {len(folds)} folds ({', '.join(folds)}); name one with --fold"
        )
    name = next(iter(folds)) if fold is None else fold
    if name not in folds:
        raise SplitError(f"--fold {name}: no such fold; leaving one {config.split.unit} out gives {', '.join(folds)}")
    chosen = gene_sections(sections, folds[name], config.split)
    return [sections[one] for one in chosen], (
        f"made on the {len(chosen)} sections that may train where {config.split.unit} {name} is held out: "
        "use it for that fold alone"
    )


def _panel_paths(out: Path, *, overwrite: bool) -> tuple[Path, Path]:
    stem = out.with_suffix("") if out.suffix in PANEL_OUT_ENDINGS else out / "panel"
    paths = stem.with_name(f"{stem.name}.txt"), stem.with_name(f"{stem.name}.csv")
    _check_free(paths, overwrite=overwrite)
    return paths


def _check_free(paths: Sequence[Path], *, overwrite: bool) -> None:
    from hage_transfer.errors import ConfigError

    there = [str(path) for path in paths if path.exists()]
    if there and not overwrite:
        raise ConfigError(f"--out: {' and '.join(there)} there already; give another name, or --overwrite")


def _write_panel(paths: tuple[Path, Path], panel: "Panel") -> None:
    from hage_transfer.pretrain.genes import write_panel_report
    from hage_transfer.running.atomic import write_text

    write_panel_report(paths[1], panel)
    write_text(paths[0], "".join(f"{symbol}\n" for symbol in panel.symbols))


def _write_coverage(path: Path, coverage: "Coverage", near: dict[str, tuple[str, ...]]) -> None:
    from hage_transfer.running.atomic import write_csv

    covered = [
        {"gene": symbol, "covered": True, "embedding": coverage.renamed.get(symbol, symbol)}
        for symbol in coverage.symbols
    ]
    missing = [
        {"gene": symbol, "covered": False, "reason": coverage.reasons[symbol], "near": "|".join(near[symbol])}
        for symbol in coverage.missing
    ]
    write_csv(path, ["gene", "covered", "embedding", "reason", "near"], [*covered, *missing])
