"""`hage doctor`: what this machine has, what it lacks, and how to get that. It asks no network unless told to."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table


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
    from rich.console import Console

    facts = _facts(ask_hub=ask_hub)
    if as_json:
        import json

        typer.echo(json.dumps(facts, indent=1))
        return
    console = Console()
    encoders = [[one[key] for key in ("name", "weights", "width", "licence", "from")] for one in facts["encoders"]]
    console.print(_table("Frozen encoders", ["name", "weights", "width", "licence", "from"], encoders))
    console.print(_table("Machine", ["what", "value"], facts["machine"].items()))
    console.print(_table("Versions", ["package", "version"], facts["versions"].items()))
    console.print("Not at hand, and how to get it:" if facts["missing"] else "Nothing is missing.")
    for one in facts["missing"]:
        console.print(f"- {one['what']}, for {one['needed_for']}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"    {one['how']}", markup=False, highlight=False, soft_wrap=True)
    console.print(
        "timm:<model> takes any model of timm. A model trained on an encoder's features inherits the terms of its "
        "licence.",
        highlight=False,
    )


def _facts(*, ask_hub: bool) -> dict[str, Any]:
    from hage_transfer.cli.missing import missing
    from hage_transfer.encoders.registry import entries
    from hage_transfer.running.run_directory import environment

    encoders, versions = entries(), environment()
    return {
        "encoders": [
            {
                "name": entry.name,
                "weights": "at hand" if entry.at_hand else "not at hand",
                "width": entry.width,
                "licence": entry.licence,
                "from": entry.home,
            }
            for entry in encoders
        ],
        "machine": _machine(),
        "versions": {"python": versions["python"], **versions["packages"]},
        "missing": [asdict(one) for one in missing(encoders, place=Path.cwd(), ask_hub=ask_hub)],
    }


def _machine() -> dict[str, str]:
    import os
    import shutil

    import torch

    from hage_transfer.running.devices import available_devices

    facts = {}
    for device in available_devices():
        about = torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{os.cpu_count()} cores"
        facts[f"device {device}"] = about if device != "mps" else "Apple GPU"
    facts["torch threads"] = str(torch.get_num_threads())
    for place in dict.fromkeys((Path.cwd(), Path.home())):
        free, total = shutil.disk_usage(place).free, shutil.disk_usage(place).total
        facts[f"disk of {place}"] = f"{free / 2**30:.0f} of {total / 2**30:.0f} GiB free"
    return facts


def _table(title: str, columns: "list[str]", rows: Any) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    return table
