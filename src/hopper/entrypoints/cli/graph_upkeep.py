"""hopper graph status, check, rebuild, forget: looking after the graph database."""

from time import sleep
from typing import TYPE_CHECKING, Any

import typer

from hopper.entrypoints.cli.common import DEFAULT_SERVER, Json, Server, connect
from hopper.entrypoints.cli.output import note, progress, say, say_json, table

if TYPE_CHECKING:
    from hopper.adapters.http.api import Api

Entity = dict[str, Any]

_POLL_SECONDS = 0.5
_UNAVAILABLE = 5
_DIFFERENCES = 7
_WRONG = ("missing", "extra", "different")
_SHOWN = 5


def status(server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Show whether there is a graph database, how far it lags behind, and what is wrong with it."""
    with connect(server) as api:
        found = api.get("/graph/status")
    if json:
        say_json(found)
        return
    if not found["is_configured"]:
        say("This server has no graph database: PostgreSQL answers. `hopper serve --with-graph` starts one.")
        if found["is_followed"]:
            note(
                f"{found['waiting']:,} entities wait for one that another server has, or had: `hopper graph forget` if "
                "there is none any more."
            )
    elif found["trouble"]:
        say(f"The graph database can't be used just now: {found['trouble']} PostgreSQL answers.")
    elif found["is_rebuilding"]:
        done, total = found["done"], found["total"]
        say("The graph is being built anew" + (f": {done:,} of {total:,} steps." if total else "."))
    elif found["waiting"]:
        say(f"{found['waiting']:,} entities wait for the graph, the first for {found['lag_seconds']:.1f} s")
    else:
        say("The graph has everything.")
    if found["failing"]:
        note(f"{found['failing']:,} of what waits failed ({found['last_error']}); it is tried again.")


def check(server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Compare all of the graph with the truth, both ways. Exit code 7 when there are differences."""
    found: dict[str, dict[str, Entity]] = {}
    looked_at = 0
    with connect(server) as api, progress("comparing", api.get("/graph/status")["entities"]) as show:
        cursor = None
        while True:
            part = api.get("/graph/check", cursor=cursor)
            kinds = found.setdefault(part["label"], {kind: {"count": 0, "ids": []} for kind in _WRONG})
            for kind in _WRONG:
                kinds[kind]["count"] += len(part[kind])
                kinds[kind]["ids"] += part[kind][: _SHOWN - len(kinds[kind]["ids"])]
            looked_at += part["looked_at"]
            show(looked_at)
            if (cursor := part["next_cursor"]) is None:
                break
    wrong = sum(kinds[kind]["count"] for kinds in found.values() for kind in _WRONG)
    if json:
        say_json({"ok": wrong == 0, "looked_at": looked_at, "labels": found})
    elif wrong == 0:
        say(f"The graph is equal to the truth: {looked_at:,} entities with all their edges.")
    else:
        rows = [
            (label, kind, one["count"], ", ".join(one["ids"]))
            for label, kinds in found.items()
            for kind, one in kinds.items()
            if one["count"]
        ]
        table(("label", "wrong", "count", "such as"), rows, "")
        note("What waits is written soon (`hopper graph status`); `hopper graph rebuild` mends everything.")
    if wrong:
        raise typer.Exit(_DIFFERENCES)


def rebuild(server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Build the graph anew from nothing, while writes go on. Ctrl-C stops watching; the server goes on."""
    with connect(server) as api:
        found = api.post("/graph/rebuild", repeatable=True)
        found = _watched(api, found)
    if json:
        say_json(found)
    elif found["trouble"]:
        say(f"The graph database can't be used just now: {found['trouble']} The server goes on trying.")
    else:
        say("The graph has been built anew.")
    if found["trouble"]:
        raise typer.Exit(_UNAVAILABLE)


def forget(server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Keep no changes for a graph database any more. A server that has one begins anew by itself."""
    with connect(server) as api:
        found = api.post("/graph/forget", repeatable=True)
    if json:
        say_json(found)
    else:
        again = " This server has one, and fills it anew within seconds." if found["is_configured"] else ""
        say(f"Nothing waits for a graph database any more.{again}")


def _watched(api: "Api", found: Entity) -> Entity:
    """Wait until the graph is whole, or its database fails."""
    with progress("building", 2 * found["entities"]) as show:
        while found["is_rebuilding"] and not found["trouble"]:
            sleep(_POLL_SECONDS)
            found = api.get("/graph/status")
            show(found["done"] or 0)
    return found


def register(group: typer.Typer) -> None:
    for command in (status, check, rebuild, forget):
        group.command()(command)
