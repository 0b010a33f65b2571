"""hopper init and where: instances in a directory of files."""

import re
from pathlib import Path
from typing import Annotated

import typer

from hopper.domain.errors import Conflict
from hopper.entrypoints.cli.choice import DIRECTORY, choose, is_instance
from hopper.entrypoints.cli.common import DEFAULT_SERVER, Json, Server
from hopper.entrypoints.cli.output import say, say_json

_CONFIG = """\
# A Hopper instance: tasks are files here. `.index/` and `.state/` belong to this machine; commit all else.
instance:
  id: {id}
  name: {name}
  scope: {scope}
"""


def init(
    directory: Annotated[
        Path, typer.Argument(help="Where; ~ for your own, which is used wherever no other is near.")
    ] = Path(),
    json: Json = False,
) -> None:
    """Make a .hopper here: tasks are kept in it as files, with no server."""
    place = directory.expanduser().resolve()
    if not place.is_dir():
        raise typer.BadParameter(f"There is no directory {str(directory)!r}.", param_hint="DIRECTORY")
    made = place / DIRECTORY
    if is_instance(made):
        raise Conflict(f"There is a Hopper in {made} already. `hopper where` tells which one is used.")
    own = place == Path.home()
    name = "Your own list" if own else place.name or "root"
    id = "local" if own else re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.")[:36] or "local"
    (made / "tasks").mkdir(parents=True, exist_ok=True)
    with (made / "config.yaml").open("x", encoding="utf-8") as config:
        config.write(_CONFIG.format(id=_quoted(id), name=_quoted(name), scope="personal" if own else "project"))
    if json:
        say_json({"directory": str(made), "instance": id})
    else:
        say(f"Made {made}. `hopper add TITLE` files the first task; `hopper where` tells where commands go.")


def where(server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Show which Hopper commands speak to from here, and why."""
    chosen = choose(server)
    place = str(chosen.directory or chosen.server)
    if json:
        say_json({"directory": chosen.directory and place, "server": chosen.server or None, "why": chosen.why})
    else:
        say(f"{place}  ({chosen.why})")


def _quoted(text: str) -> str:
    """As YAML takes any text: in double quotes, as JSON writes it."""
    import json

    return json.dumps(text, ensure_ascii=False)


def register(app: typer.Typer) -> None:
    app.command()(init)
    app.command()(where)
