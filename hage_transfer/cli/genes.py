"""`hage genes panel|embed|coverage|judge`: the gene panel, gene vectors, how far they cover it, and what they know."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

import hage_transfer as ht
from hage_transfer.cli import options, printed
from hage_transfer.cli.flags import as_flags
from hage_transfer.cli.groups import Group
from hage_transfer.errors import some

if TYPE_CHECKING:
    from hage_transfer.door.gene_coverage import GeneCoverage
    from hage_transfer.door.gene_panel import GenePanel

genes_app = typer.Typer(
    name="genes",
    cls=Group,
    help="Gene panel, gene embeddings, how far the one covers the other, and what embeddings know.",
    no_args_is_help=True,
)

Fold = Annotated[
    str | None, typer.Option(help="Held-out unit: use the training sections of its fold alone.", metavar="NAME")
]
TrainingOnly = Annotated[
    bool, typer.Option("--training-only", help="As --fold, where the config's split has one fold.")
]
SHOWN = 40
"""Missing genes that are printed; the csv has all."""


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
    panel = ht.gene_panel(
        config, changes=set_ or (), out=out, fold=fold, training_only=training_only, overwrite=overwrite
    )
    console = printed.console()
    _show_panel(panel, console)
    if panel.files:
        console.print(f"{panel.files[0]} is usable as genes.panel; {panel.files[1]} has the reason for each gene")
    else:
        console.print("nothing written; --out panel.txt writes the panel and its report")
    console.print(as_flags(panel.note), style="yellow")


@genes_app.command("embed")
def embed_command(
    out: Annotated[Path, typer.Option(help="Text file to write, in Gene2Vec's form; a card lies beside it.")],
    config: Annotated[
        str | None,
        typer.Argument(help="Recipe's name or YAML; needed for co-expression, else of its panel alone."),
    ] = None,
    from_: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            help="`co-expression` (the default), gene sets (.gmt, .gaf, AnnotationDbi .sqlite, genes x sets .csv), or "
            "vectors (Gene2Vec text, .npy with .txt, .h5ad:KEY); repeat it for several side by side.",
            metavar="SOURCE",
        ),
    ] = None,
    dim: Annotated[int | None, typer.Option(help="Numbers of a vector that is made here.", min=1)] = None,
    set_: options.Set = None,
    fold: Fold = None,
    training_only: TrainingOnly = False,
    seed: options.Seed = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
) -> None:
    """Make a vector a gene, usable as genes.embeddings: from co-expression, gene sets, files, or several of these."""
    trained = ht.gene_embeddings(
        config,
        out=out,
        sources=from_ or ["co-expression"],
        dim=dim,
        changes=set_ or (),
        fold=fold,
        training_only=training_only,
        seed=seed,
        overwrite=overwrite,
    )
    console = printed.console()
    console.print(str(trained))
    console.print(as_flags(trained.note), style="yellow")


@genes_app.command("judge")
def judge_command(
    vectors: Annotated[str, typer.Argument(help="Gene vectors, in any form that `hage genes embed --from` takes.")],
    pairs: Annotated[
        Path | None, typer.Option(help="Gene pairs with 1 or 0, or a folder of Gene2Vec's *_text.txt and *_label.txt.")
    ] = None,
    panel: Annotated[Path | None, typer.Option(help="Genes, one a line, to which all is restricted.")] = None,
    config: Annotated[
        str | None,
        typer.Option(help="Recipe of pretraining: held-out genes of its sections are predicted."),
    ] = None,
    set_: options.Set = None,
    near: Annotated[
        list[str] | None, typer.Option(help="A gene whose neighbours are shown; repeat it.", metavar="GENE")
    ] = None,
    seed: options.Seed = None,
) -> None:
    """What gene vectors know: pairs that share function, neighbours, coverage, held-out genes of your own counts."""
    verdict = ht.judge_genes(
        vectors, pairs=pairs, panel=panel, config=config, changes=set_ or (), near=near or (), seed=seed or 0
    )
    Console().print(str(verdict), markup=False, highlight=False, soft_wrap=True)


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
    coverage = ht.gene_coverage(
        config, changes=set_ or (), panel=panel, embeddings=embeddings, names=names, out=out, overwrite=overwrite
    )
    _show_coverage(coverage, printed.console())


def _show_panel(panel: "GenePanel", console: Console) -> None:
    table = printed.table("rule", "genes")
    for rule, count in panel.counts.items():
        table.add_row(rule, f"{count:,}", style="bold" if rule == "kept" else None)
    console.print(table)
    if panel.n_resolved:
        console.print(
            f"{panel.n_resolved:,} of the kept go by another name in the panel file or the sections (resolved_from)"
        )


def _show_coverage(coverage: "GeneCoverage", console: Console) -> None:
    found, source = coverage.covered, coverage.embeddings
    n_genes = len(found.symbols) + len(found.missing)
    console.print(
        f"{len(found.symbols):,} of {n_genes:,} panel genes ({coverage.share:.1%}) have an embedding in "
        f"{source.source} ({len(source.symbols):,} genes, {source.vectors.shape[1]} numbers each)",
    )
    if found.renamed:
        listed = some([f"{symbol} as {other}" for symbol, other in found.renamed.items()], SHOWN)
        console.print(f"{len(found.renamed):,} under another name: {listed}", highlight=False)
    if found.missing:
        table = printed.table("missing", "why", "near names")
        for symbol in found.missing[:SHOWN]:
            table.add_row(symbol, found.reasons[symbol], ", ".join(coverage.near[symbol]))
        console.print(table)
        if len(found.missing) > SHOWN:
            console.print(f"and {len(found.missing) - SHOWN:,} more missing; --out coverage.csv lists all")
