"""`hage recipes`: the recipes that come with the program, and what their keys mean."""

from pathlib import Path
from typing import Annotated

import typer

import hage_transfer as ht
from hage_transfer.cli import printed
from hage_transfer.cli.groups import Group

recipes_app = typer.Typer(
    name="recipes", cls=Group, help="Recipes that come with the program: list, show and copy them, explain their keys."
)


def register(app: typer.Typer) -> None:
    """Adds the commands to `hage`."""
    app.add_typer(recipes_app)


@recipes_app.callback(invoke_without_command=True)
def list_command(context: typer.Context) -> None:
    """Recipes that come with the program: list, show and copy them, explain their keys."""
    if context.invoked_subcommand is not None:
        return
    table = printed.table("recipe", "what it is")
    for row in ht.recipes().itertuples():
        table.add_row(str(row.name), str(row.about))
    printed.console().print(table)


@recipes_app.command("copy")
def copy_command(
    name: Annotated[str, typer.Argument(help="Recipe, as `hage recipes` lists it.")],
    out: Annotated[Path | None, typer.Option(help="File or folder to write to; without it, here.")] = None,
) -> None:
    """Copy a recipe, to be changed; `hage pretrain|probe|mil FILE` takes it."""
    printed.console().print(str(ht.copy_recipe(name, out)))


@recipes_app.command("show")
def show_command(name: Annotated[str, typer.Argument(help="Recipe, as `hage recipes` lists it.")]) -> None:
    """Print a recipe."""
    typer.echo(ht.read_recipe(name), nl=False)


@recipes_app.command("keys")
def keys_command(task: Annotated[str, typer.Argument(help="pretrain, probe or mil.")]) -> None:
    """Explain every key of a task's recipes."""
    table = printed.table("key", "value", "default", "what it decides")
    for row in ht.recipe_keys(task).itertuples():
        table.add_row(str(row.key), str(row.type), str(row.default), str(row.means))
    printed.console().print(table)
