"""`hage doctor`: what this machine has, what it lacks, and how to get that."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

import hage_transfer as ht
from hage_transfer.cli import printed
from hage_transfer.cli.flags import as_flags


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("doctor")(doctor)


def doctor(
    ask_hub: Annotated[
        bool, typer.Option("--ask-hub", help="Ask the hub which gated weights your token may read; else no network.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Devices, frozen encoders and licences, disk, versions; what is missing and how to get it."""
    found = ht.doctor(ask_hub=ask_hub)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=1))
        return
    console = printed.console()
    columns = ["name", "weights", "width", "licence", "from"]
    console.print(_table("Frozen encoders", columns, [[one[key] for key in columns] for one in found.encoders]))
    console.print(_table("Machine", ["what", "value"], found.machine.items()))
    console.print(_table("Versions", ["package", "version"], found.versions.items()))
    console.print("Not at hand, and how to get it:" if found.missing else "Nothing is missing.")
    for one in found.missing:
        console.print(f"- {one['what']}, for {as_flags(one['needed_for'])}", highlight=False)
        console.print(f"    {as_flags(one['how'])}", highlight=False)
    console.print(
        "timm:<model> takes any model of timm. A model trained on an encoder's features inherits the terms of its "
        "licence.",
        highlight=False,
    )


def _table(title: str, columns: "list[str]", rows: Any) -> Table:
    table = printed.table(*columns, title=title)
    for row in rows:
        table.add_row(*map(str, row))
    return table
