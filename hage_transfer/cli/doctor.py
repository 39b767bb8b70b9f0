"""`hage doctor`: what this machine has. It never asks the network."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.table import Table


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
    app.command("doctor")(doctor)


def doctor() -> None:
    """Devices, frozen encoders with licence and whether their weights are at hand, disk space, versions."""
    from rich.console import Console

    console = Console()
    for table in (_encoders(), _machine(), _versions()):
        console.print(table)
    console.print(
        "Weights that are not at hand come from the hub with your own token (`hf auth login`) or from a file "
        "(--set encoder.weights=...); timm:<model> takes any model of timm. A model trained on an encoder's features "
        "inherits the terms of its licence.",
        highlight=False,
    )


def _encoders() -> "Table":
    from hage_transfer.encoders.registry import entries

    table = _table("Frozen encoders", "name", "weights", "width", "licence", "from")
    for entry in entries():
        weights = "at hand" if entry.at_hand else "not at hand"
        table.add_row(entry.name, weights, str(entry.width), entry.licence, entry.home)
    return table


def _machine() -> "Table":
    import os
    import shutil

    import torch

    from hage_transfer.devices import available_devices

    table = _table("Machine", "what", "value")
    for device in available_devices():
        about = torch.cuda.get_device_name(device) if device.startswith("cuda") else f"{os.cpu_count()} cores"
        table.add_row(f"device {device}", about if device != "mps" else "Apple GPU")
    table.add_row("torch threads", str(torch.get_num_threads()))
    for place in dict.fromkeys((Path.cwd(), Path.home())):
        free, total = shutil.disk_usage(place).free, shutil.disk_usage(place).total
        table.add_row(f"disk of {place}", f"{free / 2**30:.0f} of {total / 2**30:.0f} GiB free")
    return table


def _versions() -> "Table":
    from hage_transfer.run_directory import environment

    facts = environment()
    table = _table("Versions", "package", "version")
    table.add_row("python", facts["python"])
    for package, version in facts["packages"].items():
        table.add_row(package, version)
    return table


def _table(title: str, *columns: str) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
