"""`hage power`: the smallest gain that a planned study could show."""

from typing import Annotated

import typer

import hage_transfer as ht
from hage_transfer.cli import printed


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("power")(power)


def power(
    slides: Annotated[int, typer.Option(help="Slides of both classes together.")],
    patients: Annotated[int | None, typer.Option(help="Patients that they are of; left out: one a slide.")] = None,
    auc: Annotated[float, typer.Option(help="AUC that the frozen features are expected to have.")] = 0.85,
    folds: Annotated[int, typer.Option(help="Folds of the cross-validation.")] = 5,
    repeats: Annotated[
        int | None, typer.Option(help="Of the folds (split.repeats); left out: 1 and 10, side by side.")
    ] = None,
    prevalence: Annotated[float, typer.Option(help="Share of patients of the positive class.")] = 0.5,
    agreement: Annotated[float, typer.Option(help="Correlation of the two sources' scores within a class.")] = 0.5,
    simulations: Annotated[int, typer.Option(help="Studies that are simulated.")] = 400,
    seed: Annotated[int, typer.Option(help="Of the simulation.", min=0)] = 0,
) -> None:
    """Say which gain in AUC a study of so many slides would show with power 0.8."""
    for number in (1, 10) if repeats is None else (repeats,):
        found = ht.power(
            slides=slides,
            patients=patients,
            auc=auc,
            folds=folds,
            repeats=number,
            prevalence=prevalence,
            agreement=agreement,
            simulations=simulations,
            seed=seed,
        )
        printed.console().print(found.sentence())
