"""hopper init and where: instances in a directory of files."""

import os
from pathlib import Path
from typing import Annotated

import typer

from hopper.domain.errors import Conflict
from hopper.domain.ids import slug
from hopper.entrypoints.cli.choice import DIRECTORY, choose
from hopper.entrypoints.cli.common import DEFAULT_SERVER, Json, Server
from hopper.entrypoints.cli.output import note, say, say_json


def init(
    directory: Annotated[
        Path, typer.Argument(help="Where; ~ for your own, which is used wherever no other is near.")
    ] = Path(),
    json: Json = False,
) -> None:
    """Make a .hopper here: tasks are kept in it as files, with no server."""
    from hopper.bootstrap_local import make_local

    place = directory.expanduser().resolve()
    if not place.is_dir():
        raise typer.BadParameter(f"There is no directory {str(directory)!r}.", param_hint="DIRECTORY")
    made = place / DIRECTORY
    own = place == Path.home()
    name = "Your own list" if own else place.name or "root"
    id = "local" if own else slug(name) or "local"
    if not make_local(made, {"id": id, "name": name, "scope": "personal" if own else "project"}):
        raise Conflict(f"There is a Hopper in {made} already. `hopper where` tells which one is used.")
    if json:
        say_json({"directory": str(made), "instance": id})
    else:
        say(f"Made {made}. `hopper add TITLE` files the first task; `hopper where` tells where commands go.")
    if os.environ.get("HOPPER_SERVER"):
        note("HOPPER_SERVER is set, so commands go to that server until you unset it.")


def where(server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Show which Hopper commands speak to from here, and why."""
    chosen = choose(server)
    place = str(chosen.directory or chosen.server)
    if json:
        say_json({"directory": chosen.directory and place, "server": chosen.server or None, "why": chosen.why})
    else:
        say(f"{place}  ({chosen.why})")


def register(app: typer.Typer) -> None:
    app.command()(init)
    app.command()(where)
