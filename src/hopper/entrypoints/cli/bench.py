"""hopper demo and hopper bench."""

import typer


def register(app: typer.Typer) -> None:
    """Nothing yet."""
