"""hopper sync: teach a server what this directory has learned, and learn what others share. Never what tasks say."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopper.entrypoints.cli import sync_sources
from hopper.entrypoints.cli.common import Json
from hopper.entrypoints.cli.output import moment, note, say, say_json

if TYPE_CHECKING:
    from hopper.adapters.http.client import HopperClient
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
    json: Json = False,
) -> None:
    """Let this directory sync. Nothing is sent yet: `hopper sync preview` shows what would be."""
    from hopper.ports.teaching import Teacher
    from hopper.sync.targets import TargetNaming

    if team_key and names:
        raise typer.BadParameter("Give either --team-key or --names.", param_hint="--names")
    state, _ = _here()
    before = state.teacher()
    known = before if before and server.rstrip("/") in ("", before.server) else None
    address = server or (known.server if known else "")
    if not address:
        raise typer.BadParameter("Say which server to teach, such as http://hopper.example:8000.", param_hint="SERVER")
    token = token or (known.token if known else "") or typer.prompt("The token of this source", hide_input=True)
    with _client(address, token) as client:
        source, address = client.understood(client.get("/sync/source"), _source), client.address
    if known is None or known.source_instance_id != source["source_instance_id"]:
        known = None
        state.forget()  # what was told to another server, or as somebody else, says nothing here
    state.keep_ledger(state.ledger().heard_until(source["sequence"]))
    teacher = Teacher(
        server=address,
        source_instance_id=source["source_instance_id"],
        token=token,
        naming=TargetNaming(team_key or None, names) if team_key or names or not known else known.naming,
        pushed_at=known.pushed_at if known else None,
        pulled_at=known.pulled_at if known else None,
    )
    state.keep_teacher(teacher)
    if json:
        say_json(_told(teacher))
        return
    say(f"On: {teacher.source_instance_id!r} teaches {teacher.server}. Of its instances it tells {_naming(teacher)}.")
    note("Nothing was sent. `hopper sync preview` prints what `hopper sync push` would send.")


def off(json: Json = False) -> None:
    """Neither send nor use what was pulled, until it is turned on again. What was sent stays there."""
    from dataclasses import replace

    state, _ = _here()
    teacher = state.teacher()
    if teacher and teacher.is_on:
        state.keep_teacher(replace(teacher, is_on=False))
    if json:
        say_json({"is_on": False})
    else:
        say("Off. What was sent stays on the server; `hopper sync forget` has it removed.")


def status(json: Json = False) -> None:
    """Show whether this directory syncs, with whom, and what waits."""
    import asyncio

    from hopper.app import teaching
    from hopper.sync.pack import PatternPack

    state, ports = _here()
    teacher = state.teacher()
    if teacher is None:
        say_json({"is_on": False}) if json else say("Off: nothing leaves this directory.")
        return
    found = asyncio.run(teaching.waiting(teacher, state, ports=ports)) if teacher.is_on else None
    pack = state.pack()
    told = {
        **_told(teacher),
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
            f"May leave: {told['patterns']} patterns, {told['episodes']} decisions. New: {told['waiting_bytes']} bytes."
        )
    say(
        f"Last push: {moment(told['pushed_at']) or 'never'}. Last pull: {moment(told['pulled_at']) or 'never'}"
        f" ({told['pulled_patterns']} patterns)."
    )


def preview(json: Json = False) -> None:
    """Print what `hopper sync push` would send, byte for byte: a line is the body of one push."""
    import asyncio
    import sys

    from hopper.app import teaching

    state, ports = _here()
    found = asyncio.run(teaching.waiting(teaching.on(state), state, ports=ports))
    for body in found.bodies:
        sys.stdout.buffer.write(body + b"\n")
    if not found.bodies:
        note("Nothing is new: nothing would be sent.")


def push(json: Json = False) -> None:
    """Send what is new of what was learned. Interrupted, it goes on where it was."""
    import asyncio
    from collections import Counter

    from hopper.app import teaching

    state, ports = _here()
    teacher, receipts, sent = teaching.on(state), Counter[str](), 0
    with _client(teacher.server, teacher.token) as client:

        def send(body: bytes) -> None:
            nonlocal sent
            receipt = client.teach(body)
            sent += len(body)
            receipts.update({name: int(receipt[name]) for name in ("patterns_new", "patterns_changed", "episodes_new")})

        pushes = asyncio.run(teaching.push(state, send, ports=ports, told=_progress))
    if json:
        say_json({"pushes": pushes, "bytes": sent, **{name: receipts[name] for name in sorted(receipts)}})
    elif pushes:
        say(
            f"Sent {sent} bytes: {receipts['patterns_new']} new and {receipts['patterns_changed']} changed patterns, "
            f"{receipts['episodes_new']} decisions."
        )
    else:
        say("Nothing is new: nothing was sent.")


def pull(json: Json = False) -> None:
    """Fetch the patterns that enough others share. They count less than what is learned here."""
    from dataclasses import asdict, replace

    from hopper.app import teaching
    from hopper.sync.pack import PatternPack

    state, ports = _here()
    teacher = teaching.on(state)
    with _client(teacher.server, teacher.token) as client:
        pack = PatternPack.read(client.get("/sync/southbound"))
    patterns = teaching.shared_patterns(pack)
    state.keep_pack(asdict(pack))
    state.keep_teacher(replace(teacher, pulled_at=ports.clock.now()))
    if json:
        say_json({"patterns": len(patterns), "min_sources": pack.min_sources})
    else:
        say(f"{len(patterns)} patterns, each of at least {pack.min_sources} sources, are heeded from now on.")


def forget(json: Json = False) -> None:
    """Have the server remove all that came from here, then turn syncing off and keep nothing of it."""
    from hopper.adapters.http.client import RemoteProblem, segment

    state, _ = _here()
    teacher = state.teacher()
    if teacher is not None:
        with _client(teacher.server, teacher.token) as client:
            try:
                client.delete(f"/sync/sources/{segment(teacher.source_instance_id)}")
            except RemoteProblem as problem:
                if problem.status != 404:  # it is forgotten there already
                    raise
        state.forget()
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


def _client(server: str, token: str) -> "HopperClient":
    from hopper.adapters.http.client import HopperClient
    from hopper.domain.errors import Invalid

    if not token.isascii() or not token.isprintable():
        raise typer.BadParameter("This can't be a token.", param_hint="--token")
    try:
        return HopperClient(server, token=token)
    except Invalid as error:
        raise typer.BadParameter(error.message, param_hint="SERVER") from None


def _source(said: Any) -> dict[str, Any]:
    """Whose token it is, and the last sequence that the server has heard."""
    from hopper.domain.told import identifier, whole

    return {"source_instance_id": identifier(said["source_instance_id"]), "sequence": whole(said["sequence"])}


def _progress(done: int, pushes: int) -> None:
    if pushes > 1:
        note(f"{done} of {pushes}")


def _naming(teacher: "Teacher") -> str:
    if teacher.naming.is_plain:
        return "their names"
    return "codes that only your team can read" if teacher.naming.team_key else "no more than their scope"


def _told(teacher: "Teacher") -> dict[str, Any]:
    """Without what is secret."""
    return {
        "is_on": teacher.is_on,
        "server": teacher.server,
        "source_instance_id": teacher.source_instance_id,
        "targets": "name" if teacher.naming.is_plain else "code" if teacher.naming.team_key else "scope",
        "pushed_at": teacher.pushed_at and teacher.pushed_at.isoformat(),
        "pulled_at": teacher.pulled_at and teacher.pulled_at.isoformat(),
    }


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Sync what was learned, never what tasks say.")
    for command in (on, off, status, preview, push, pull, forget):
        group.command()(command)
    sync_sources.register(group)
    app.add_typer(group, name="sync")
