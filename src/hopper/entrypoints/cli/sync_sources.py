"""hopper sync sources …: who may teach the server, and how much each counts."""

from typing import Annotated, Any

import typer

from hopper.entrypoints.cli.common import DEFAULT_SERVER, Json, Server, connect
from hopper.entrypoints.cli.output import moment, note, say, say_json, table

Entity = dict[str, Any]

Source = Annotated[str, typer.Argument(metavar="SOURCE", help="The id of the Hopper that syncs.")]


def add(
    source: Source,
    name: Annotated[str | None, typer.Option(help="What to call it; its id by default.")] = None,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Let a Hopper sync, and print its token: this once. A revoked source gets a new one."""
    with connect(server) as api:
        added = api.post("/sync/sources", {"source_instance_id": source, "name": name or source})
    if json:
        say_json(added)
        return
    say(added["token"])
    note(f"This is the token of {source!r}. It isn't shown again: hand it over now.")


def list_(server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """List the sources, and how much came from each."""
    with connect(server) as api:
        found = api.get("/sync/sources")
    if json:
        say_json(found)
        return
    rows = [
        (
            one["source_instance_id"],
            one["name"],
            _state(one),
            one["contribution_cap"],
            one["patterns"],
            one["episodes"],
            one["total_feedback"],
            moment(one["last_synced_at"]) or "never",
        )
        for one in found
    ]
    columns = ("source", "name", "state", "cap", "patterns", "episodes", "feedback", "last synced")
    table(columns, rows, "Nobody may sync yet. `hopper sync sources add` lets a Hopper do so.")


def mute(
    source: Source,
    off: Annotated[bool, typer.Option("--off", help="Let it count again.")] = False,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Let nothing that came from a source count, and keep it."""
    _change(source, {"is_muted": not off}, server, json)


def cap(
    source: Source,
    cases: Annotated[int, typer.Argument(min=0, max=1_000_000, help="How many cases of a pattern, at most.")],
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Say how much a source counts for at most."""
    _change(source, {"contribution_cap": cases}, server, json)


def revoke(source: Source, server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Let a source push no more. What it sent stays; `mute` and `forget` take that away."""
    from hopper.adapters.http.client import segment

    with connect(server) as api:
        _tell(api.post(f"/sync/sources/{segment(source)}/revoke", repeatable=True), json)


def forget(source: Source, server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Remove a source and everything that came only from it."""
    from hopper.adapters.http.client import segment

    with connect(server) as api:
        api.delete(f"/sync/sources/{segment(source)}")
    if json:
        say_json({"source_instance_id": source, "forgotten": True})
    else:
        say(f"Forgot {source}")


def _change(source: str, changes: Entity, server: str, json: bool) -> None:
    from hopper.adapters.http.client import segment

    with connect(server) as api:
        _tell(api.patch(f"/sync/sources/{segment(source)}", changes), json)


def _tell(source: Entity, json: bool) -> None:
    if json:
        say_json(source)
    else:
        say(f"{source['source_instance_id']}  {_state(source)}, counts for {source['contribution_cap']} cases at most")


def _state(source: Entity) -> str:
    """What a source may do, in words."""
    if source["is_revoked"]:
        return "revoked, muted" if source["is_muted"] else "revoked"
    return "muted" if source["is_muted"] else "active"


def register(group: typer.Typer) -> None:
    sources = typer.Typer(no_args_is_help=True, help="Who may teach this server, and how much each counts.")
    for command in (add, mute, cap, revoke, forget):
        sources.command()(command)
    sources.command("list")(list_)
    group.add_typer(sources, name="sources")
