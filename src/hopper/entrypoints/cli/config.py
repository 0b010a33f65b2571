"""hopper config show, check, init: what is set, what is wrong with it, and a file to begin with."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopper.domain.errors import Conflict
from hopper.entrypoints.cli.common import Json, require_file
from hopper.entrypoints.cli.output import counted, note, say, say_json, table
from hopper.entrypoints.cli.server import Home, Host, Port, Url, WithGraph, flags

if TYPE_CHECKING:
    from hopper.config.problems import Origin, Problem
    from hopper.config.reading import Reading

File = Annotated[
    Path | None,
    typer.Argument(
        metavar="FILE", help="The file, if it isn't HOPPER_CONFIG's or config/server.yaml.", show_default=False
    ),
]


def show(
    home: Home = None,
    database_url: Url = None,
    host: Host = None,
    port: Port = None,
    with_graph: WithGraph = False,
    json: Json = False,
) -> None:
    """Show every setting that `hopper serve` would run with, and where it comes from. Secrets are masked."""
    from hopper.config.problems import dotted
    from hopper.config.reading import read_settings
    from hopper.config.showing import shown

    reading = read_settings(**flags(home, database_url, host, port, with_graph)).required()
    found = [(dotted(place), value, origin) for place, value, origin in shown(reading)]
    if json:
        settings = [{"setting": name, "value": value, **_origin(origin)} for name, value, origin in found]
        say_json({"file": reading.file and str(reading.file), "settings": settings})
        return
    table(("setting", "value", "from"), [(name, _text(value), origin.short) for name, value, origin in found], "")


def check(file: File = None, json: Json = False) -> None:
    """Tell everything that is wrong with the settings, with file and line. Exit code 1 when there is something."""
    from hopper.config import BadConfiguration, openai_key
    from hopper.config.reading import read_settings

    if file:
        require_file(file)
    reading, problems = None, []
    try:
        reading = read_settings(file)
        problems = list(reading.problems)
        if reading.settings:
            openai_key(reading.settings)
    except BadConfiguration as error:
        problems = list(error.problems)
    if json:
        path = reading and reading.file
        say_json({"ok": not problems, "file": path and str(path), "problems": [_problem(one) for one in problems]})
    for one in problems if not json else ():
        say(one.message)
    if problems:
        raise typer.Exit(1)
    if reading and not json:
        say(_read(reading))


def init(file: File = None, json: Json = False) -> None:
    """Write a file of settings to begin with: all of them, with their defaults and what they mean."""
    from importlib.resources import files

    path = file or Path(os.environ.get("HOPPER_CONFIG") or "config/server.yaml")
    template = (files("hopper.config") / "server.example.yaml").read_bytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Conflict(f"{path} is there already, and isn't overwritten. Change that one, or name another.") from None
    try:
        with os.fdopen(handle, "wb") as made:
            made.write(template)
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise
    if json:
        say_json({"file": str(path)})
        return
    say(f"Made {path}, which only you can read. Change what you like; `hopper config check` tells what is wrong.")
    if file and file != Path("config/server.yaml"):
        note(f"It is read when HOPPER_CONFIG names it: export HOPPER_CONFIG={path}")


def _read(reading: "Reading") -> str:
    """What was read, in a sentence."""
    by_source: dict[str, list[str]] = {"file": [], "environment": []}
    for origin in reading.origins.values():
        by_source[origin.source].append(origin.name)
    count = len(by_source["file"])
    names = ", ".join(by_source["environment"])
    file = f"{reading.file} is fine: {counted(count, 'setting')}" if reading.file else "There is no file"
    variables = f"{names} from the environment" if names else "nothing from the environment"
    return f"{file}; {variables}; the rest are defaults."


def _problem(problem: "Problem") -> dict[str, Any]:
    from hopper.config.problems import dotted

    return {"setting": dotted(problem.place) or None, **_origin(problem.origin), "message": problem.message}


def _origin(origin: "Origin") -> dict[str, Any]:
    return {"source": origin.source, "name": origin.name or None, "line": origin.line}


def _text(value: Any) -> str:
    match value:
        case None | "" | ():
            return "-"
        case tuple():
            return ", ".join(value)
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def register(app: typer.Typer) -> None:
    config = typer.Typer(no_args_is_help=True, help="Show and check the server's settings, or write a file of them.")
    config.command()(show)
    config.command()(check)
    config.command()(init)
    app.add_typer(config, name="config")
