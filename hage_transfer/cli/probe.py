"""`hage probe`."""

import typer


def register(app: typer.Typer) -> None:
    """Adds the command to `hage`."""
