"""What the commands share: their usual options and the connection to the server."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hopper.entrypoints.cli.bodies import named

if TYPE_CHECKING:
    from hopper.adapters.http.api import Api

DEFAULT_SERVER = ""
"""None is named: the nearest .hopper answers, or the server on this machine."""

Server = Annotated[
    str,
    typer.Option(
        "--server",
        envvar="HOPPER_SERVER",
        help="The server's address.",
        show_default="the nearest .hopper, else http://127.0.0.1:8000",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]
All = Annotated[bool, typer.Option("--all", help="All of them, however many.")]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", "-t", help="A tag, name or name=value; may be repeated.", metavar="TAG")
]
OnlyTag = Annotated[
    str | None,
    typer.Option(
        "--tag",
        "-t",
        help="Only with this tag, name or name=value.",
        metavar="TAG",
        callback=lambda tag: named(tag) if tag is not None else None,
    ),
]
TaskRef = Annotated[str, typer.Argument(metavar="TASK", help="Its id, or 4 or more characters from either end.")]
InstanceRef = Annotated[str, typer.Argument(metavar="INSTANCE", help="Its name or id, or an end of its id.")]


def connect(server: str) -> "Api":
    """The server that --server names, or what is chosen for where the command is run."""
    from hopper.domain.errors import Invalid
    from hopper.entrypoints.cli.choice import LOCAL_SERVER, choose
    from hopper.entrypoints.cli.output import note

    chosen = choose(server)
    if chosen.directory:
        from hopper.entrypoints.local.client import LocalClient

        return LocalClient(chosen.directory, note)
    from hopper.adapters.http.client import HopperClient
    from hopper.entrypoints.cli.admin_key import key_for

    elsewhere = _elsewhere if chosen.server == LOCAL_SERVER else None
    try:
        return HopperClient(chosen.server, token=key_for(chosen.server), elsewhere=elsewhere, note=note)
    except Invalid as error:
        raise typer.BadParameter(error.message, param_hint="--server") from None


def _elsewhere() -> str | None:
    """Where the server runs that has the data directory that commands know of, if it does."""
    from hopper.entrypoints.cli.admin_key import usual_home
    from hopper.entrypoints.cli.running import running_on

    return running_on(usual_home())


def path_of(text: str) -> Path:
    """What a person typed as a path; nothing at all, as an unset variable gives, would be the directory they are in."""
    if not text:
        raise typer.BadParameter("It is empty. Name a file or a folder.")
    return Path(text)


def require_file(path: Path, *, or_input: bool = False) -> None:
    """Refuse a path that isn't a file, nor - for standard input where that will do."""
    if or_input and str(path) == "-":
        return
    if path.is_dir():
        raise typer.BadParameter(f"{str(path)!r} is a directory. Name a file in it.", param_hint="FILE")
    if not path.is_file():
        raise typer.BadParameter(f"There is no file {str(path)!r}.", param_hint="FILE")


_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What goes wrong with writing; the system doesn't say then with which file."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an error name the place that a person named, not the hidden one beside it that is filled first."""
    try:
        yield
    except OSError as error:
        hidden = any(part.startswith(f".{path.name}.") for part in Path(error.filename or "").parts)
        if hidden or (error.filename is None and error.errno in _OF_THE_DISK):
            error.filename = str(path)
        raise


def readable(path: Path) -> str:
    """The path as a person typed it, and `-` as what it stands for."""
    return "standard input" if str(path) == "-" else str(path)
