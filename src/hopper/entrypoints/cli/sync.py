"""hopper sync: teach a server what this directory has learned, and learn what others share. Never what tasks say."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopper.entrypoints.cli import sync_sources
from hopper.entrypoints.cli.common import Json
from hopper.entrypoints.cli.output import counted, moment, note, say, say_json

if TYPE_CHECKING:
    from hopper.adapters.http.teaching import HttpTeachingServer
    from hopper.app.teaching import Waiting
    from hopper.ports import Ports
    from hopper.ports.teaching import Teacher, TeachingState


def on(
    server: Annotated[str, typer.Argument(metavar="SERVER", help="The address of the server to teach.")] = "",
    token: Annotated[
        str,
        typer.Option(
            envvar="HOPPER_SYNC_TOKEN",
            help="The token that `hopper sync sources add` printed there; asked for if it is left out.",
            show_default=False,
        ),
    ] = "",
    team_key: Annotated[
        str,
        typer.Option(
            envvar="HOPPER_TEAM_KEY",
            help="A secret that your team shares, not with the server: instances are then told apart by codes.",
            show_default=False,
        ),
    ] = "",
    names: Annotated[bool, typer.Option("--names", help="Tell the server the names of your instances.")] = False,
    scopes: Annotated[bool, typer.Option("--scopes", help="Tell no more than their scope, as at first.")] = False,
    json: Json = False,
) -> None:
    """Let this directory sync. Nothing is sent yet: `hopper sync preview` shows what would be."""
    import asyncio

    from hopper.app import teaching
    from hopper.ports.teaching import Teacher
    from hopper.sync.targets import TargetNaming

    if bool(team_key) + names + scopes > 1:
        raise typer.BadParameter("Give one of --team-key, --names and --scopes.", param_hint="--names")
    state, ports = _here()
    before = state.teacher()
    known = before if before and server.rstrip("/") in ("", before.server) else None
    address = server or (known.server if known else "")
    if not address:
        raise typer.BadParameter("Say which server to teach, such as http://hopper.example:8000.", param_hint="SERVER")
    token = token or (known.token if known else "") or _asked()
    naming = TargetNaming(team_key or None, names)
    if known and not (team_key or names or scopes):
        naming = known.naming
    with _server(address, token) as (taught, address):
        wanted = Teacher(server=address, source_instance_id="", token=token, naming=naming)
        teacher = asyncio.run(teaching.turn_on(wanted, taught, state, ports=ports))
    if json:
        say_json(_told(teacher, state))
        return
    say(f"On: {teacher.source_instance_id!r} teaches {teacher.server}. Of its instances it tells {_naming(teacher)}.")
    note("Nothing was sent. `hopper sync preview` prints what `hopper sync push` would send.")


def off(json: Json = False) -> None:
    """Neither send nor use what was pulled, until it is turned on again. What was sent stays there."""
    import asyncio

    from hopper.app import teaching

    state, ports = _here()
    if not asyncio.run(teaching.turn_off(state, ports=ports)):
        note("A push under way hasn't ended yet. What it is sending just now may still arrive; nothing else will.")
    if json:
        say_json({"is_on": False})
    else:
        say("Off. What was sent stays on the server; `hopper sync forget` has it removed.")


def status(json: Json = False) -> None:
    """Show whether this directory syncs, with whom, and what waits."""
    import asyncio

    from hopper.sync.pack import PatternPack

    state, ports = _here()
    teacher = state.teacher()
    if teacher is None:
        say_json({"is_on": False}) if json else say("Off: nothing leaves this directory.")
        return
    found = asyncio.run(_waiting(teacher, state, ports)) if teacher.is_on else None
    pack = state.pack()
    told = {
        **_told(teacher, state),
        "waiting_pushes": len(found.bodies) if found else 0,
        "waiting_bytes": sum(map(len, found.bodies)) if found else 0,
        "patterns": len(found.learned.patterns) if found else 0,
        "episodes": len(found.learned.episodes) if found else 0,
        "pulled_patterns": 0 if pack is None else len(PatternPack.read(pack).patterns),
    }
    if json:
        say_json(told)
        return
    say(f"{'On' if teacher.is_on else 'Off'}: {teacher.source_instance_id!r} and {teacher.server}")
    say(f"Of instances it tells {_naming(teacher)}.")
    if found:
        say(
            f"May leave: {counted(told['patterns'], 'pattern')}, {counted(told['episodes'], 'decision')}. "
            f"New: {told['waiting_bytes']} bytes."
        )
    say(
        f"Last push: {moment(told['pushed_at']) or 'never'}. Last pull: {moment(told['pulled_at']) or 'never'}"
        f" ({counted(told['pulled_patterns'], 'pattern')})."
    )


def preview(json: Json = False) -> None:
    """Print what `hopper sync push` would send, byte for byte: a line is the body of one push."""
    import asyncio
    import sys

    from hopper.app import teaching

    state, ports = _here()
    found = asyncio.run(_waiting(teaching.on(state), state, ports))
    for body in found.bodies:
        sys.stdout.buffer.write(body + b"\n")
    if not found.bodies:
        note("Nothing is new: nothing would be sent.")


async def _waiting(teacher: "Teacher", state: "TeachingState", ports: "Ports") -> "Waiting":
    from hopper.app import teaching

    with _server(teacher.server, teacher.token) as (taught, _):
        return await teaching.waiting(teacher, taught, state, ports=ports)


def push(json: Json = False) -> None:
    """Send what is new of what was learned. Interrupted, it goes on where it was."""
    import asyncio

    from hopper.adapters.http.client import RECEIPT
    from hopper.app import teaching

    state, ports = _here()
    teacher = teaching.on(state)
    with _server(teacher.server, teacher.token) as (taught, _):
        pushes = asyncio.run(teaching.push(taught, state, ports=ports, told=_progress))
    receipts = taught.receipts
    if json:
        say_json({"pushes": pushes, "bytes": taught.sent, **{name: receipts[name] for name in RECEIPT}})
    elif pushes:
        say(
            f"Sent {taught.sent} bytes: {receipts['patterns_new']} new and {receipts['patterns_changed']} changed "
            f"patterns, {counted(receipts['episodes_new'], 'decision')}."
        )
    else:
        say("Nothing is new: nothing was sent.")


def pull(json: Json = False) -> None:
    """Fetch the patterns that enough others share. They count less than what is learned here."""
    import asyncio

    from hopper.app import teaching

    state, ports = _here()
    teacher = teaching.on(state)
    with _server(teacher.server, teacher.token) as (taught, _):
        pack = asyncio.run(teaching.pull(taught, state, ports=ports))
    if json:
        say_json({"patterns": len(pack.patterns), "min_sources": pack.min_sources})
    else:
        say(f"Decisions heed {counted(len(pack.patterns), 'pattern')} of at least {pack.min_sources} sources each.")


def forget(json: Json = False) -> None:
    """Turn syncing off, have the server remove all that came from here, and keep nothing of it."""
    import asyncio

    from hopper.app import teaching

    state, ports = _here()
    teacher = state.teacher()
    if teacher is not None:
        with _server(teacher.server, teacher.token) as (taught, _):
            asyncio.run(teaching.forget(teacher, taught, state, ports=ports))
    if json:
        say_json({"is_on": False, "forgotten": teacher is not None})
    else:
        say(f"{teacher.server} has forgotten what came from here." if teacher else "Nothing was ever sent from here.")


def _here() -> "tuple[TeachingState, Ports]":
    """The local instance that this directory has."""
    from hopper.bootstrap_local import open_local
    from hopper.domain.errors import Conflict
    from hopper.entrypoints.cli.choice import choose

    directory = choose().directory
    if directory is None:
        raise Conflict("Only a local instance syncs, and none is near. `hopper init` makes one here.")
    ports = open_local(directory)
    assert ports.teaching is not None, "a local instance has one"
    return ports.teaching(), ports


def _asked() -> str:
    import sys

    if not sys.stdin.isatty():
        raise typer.BadParameter(
            "Give the token that `hopper sync sources add` printed there, or set HOPPER_SYNC_TOKEN.",
            param_hint="--token",
        )
    asked: str = typer.prompt("The token of this source", hide_input=True)
    return asked


@contextmanager
def _server(server: str, token: str) -> "Iterator[tuple[HttpTeachingServer, str]]":
    """The server, and its address as it is written best."""
    from hopper.adapters.http.client import HopperClient
    from hopper.adapters.http.teaching import HttpTeachingServer
    from hopper.domain.errors import Invalid

    if not token.isascii() or not token.isprintable():
        raise typer.BadParameter("This can't be a token.", param_hint="--token")
    try:
        client = HopperClient(server, token=token)
    except Invalid as error:
        raise typer.BadParameter(error.message, param_hint="SERVER") from None
    with client:
        yield HttpTeachingServer(client), client.address


def _progress(done: int, pushes: int) -> None:
    if pushes > 1:
        note(f"{done} of {pushes}")


def _naming(teacher: "Teacher") -> str:
    if teacher.naming.is_plain:
        return "their names"
    return "codes that only your team can read" if teacher.naming.team_key else "no more than their scope"


def _told(teacher: "Teacher", state: "TeachingState") -> dict[str, Any]:
    """Without what is secret."""
    pushed_at, pulled_at = state.ledger().pushed_at, state.pulled_at()
    return {
        "is_on": teacher.is_on,
        "server": teacher.server,
        "source_instance_id": teacher.source_instance_id,
        "targets": "name" if teacher.naming.is_plain else "code" if teacher.naming.team_key else "scope",
        "pushed_at": pushed_at and pushed_at.isoformat(),
        "pulled_at": pulled_at and pulled_at.isoformat(),
    }


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Sync what was learned, never what tasks say.")
    for command in (on, off, status, preview, push, pull, forget):
        group.command()(command)
    sync_sources.register(group)
    app.add_typer(group, name="sync")
