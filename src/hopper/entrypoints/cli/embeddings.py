"""hopper embeddings …: how they stand, what they lack, and changing models."""

from collections.abc import Callable, Iterator
from time import sleep
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopper.entrypoints.cli.common import DEFAULT_SERVER, Json, Server, connect
from hopper.entrypoints.cli.output import note, progress, say, say_json, table

if TYPE_CHECKING:
    from hopper.adapters.http.api import Api

Entity = dict[str, Any]

_POLL_SECONDS = 0.5
_DIFFERENCES = 7
_SHOWN_IDS = 5
_WRONG = ("missing", "stale", "wrong_dimension", "outdated_outcome", "orphaned")


def status(server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Show what waits for a vector, what each model has, and which one is searched."""
    with connect(server) as api:
        found = api.get("/embeddings/status")
    if json:
        say_json(found)
        return
    moving = "" if found["wanted"] == found["searched"] else f"; search moves to {found['wanted']} once it is complete"
    say(f"{found['searched'] or 'No model'} is searched{moving}")
    rows = [
        (one["kind"], one["entities"], one["waiting"], one["failing"], one["last_error"] or "")
        for one in found["queue"]
    ]
    table(("kind", "there are", "waiting", "failing", "last error"), rows, "")
    stored = [
        (model["model"], model["provider"], model["dimension"], one["kind"], one["stored"], one["index"])
        for model in found["models"]
        for one in model["kinds"]
    ]
    table(("model", "provider", "dimension", "kind", "stored", "index"), stored, "")
    if found["none_searched"]:
        note(found["none_searched"])
    for model in found["models"]:
        if model["trouble"] and (model["is_searched"] or model["is_wanted"]):
            note(f"{model['model']}: {model['trouble']} What needs a new vector of it does without.")


def backfill(server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Embed all that lack a current vector. Safe at any time; Ctrl-C stops watching, and it can be run again.

    Exit code 1 when some couldn't be embedded.
    """
    with connect(server) as api:
        queued: dict[str, int] = {}
        for part in _parts(api, lambda cursor: api.post("/embeddings/backfill", repeatable=True, cursor=cursor)):
            lacking = len({*part["missing"], *part["stale"], *part["wrong_dimension"]})
            queued[part["kind"]] = queued.get(part["kind"], 0) + lacking
        left = _watched(api)
    if json:
        say_json({"queued": queued, **left})
    elif left["waiting"]:
        say(f"{left['waiting']} couldn't be embedded yet ({left['last_error']}); the server goes on trying.")
    else:
        say(f"{sum(queued.values())} were embedded; nothing lacks a vector.")
    if left["waiting"]:
        raise typer.Exit(1)


def check(server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Compare all vectors with what they should be, both ways. Exit code 7 when there are differences."""
    with connect(server) as api:
        now = api.get("/embeddings/status")
        found = [_compared(api, model) for model in dict.fromkeys((now["searched"], now["wanted"])) if model]
    wrong = sum(kind[name]["count"] for model in found for kind in model["kinds"].values() for name in _WRONG)
    if json:
        say_json({"ok": wrong == 0, "models": found})
    elif not found:
        say(f"There is nothing to compare. {now['none_searched']}")
    elif wrong == 0:
        say("Every entity has its vector, and every vector its entity.")
    else:
        rows = [
            (model["model"], kind, name.replace("_", " "), one["count"], ", ".join(one["ids"]))
            for model in found
            for kind, differences in model["kinds"].items()
            for name, one in differences.items()
            if one["count"]
        ]
        table(("model", "kind", "wrong", "count", "such as"), rows, "")
        note("`hopper embeddings backfill` mends that, once what waits has been embedded (`hopper embeddings status`).")
    if wrong:
        raise typer.Exit(_DIFFERENCES)


def drop(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Its name, as `hopper embeddings status` shows it.")],
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Remove the vectors and indexes of a model that isn't in use."""
    from hopper.adapters.http.client import segment

    removed = 0
    with connect(server) as api:
        while True:
            part = api.delete(f"/embeddings/models/{segment(model)}")
            removed += part["vectors"]
            if part["is_done"]:
                break
    if json:
        say_json({"model": model, "vectors": removed})
    else:
        say(f"Removed {removed} vectors of {model}")


def _parts(api: "Api", fetch: Callable[[str | None], Entity]) -> Iterator[Entity]:
    """All parts of a check or a backfill."""
    total = sum(one["entities"] for one in api.get("/embeddings/status")["queue"])
    cursor, seen = None, 0
    with progress("comparing", total) as show:
        while True:
            part = fetch(cursor)
            yield part
            seen += part["looked_at"]
            show(seen)
            cursor = part["next_cursor"]
            if cursor is None:
                return


def _compared(api: "Api", model: str) -> Entity:
    """A model's differences by kind: how many, and the ids of some."""
    kinds: dict[str, dict[str, Entity]] = {}
    for part in _parts(api, lambda cursor: api.get("/embeddings/check", model=model, cursor=cursor)):
        kind = kinds.setdefault(part["kind"], {name: {"count": 0, "ids": []} for name in _WRONG})
        for name in _WRONG:
            kind[name]["count"] += len(part[name])
            kind[name]["ids"] += part[name][: _SHOWN_IDS - len(kind[name]["ids"])]
    return {"model": model, "kinds": kinds}


def _watched(api: "Api") -> Entity:
    """Wait until nothing waits, or only what the provider fails on."""
    left = _left(api)
    with progress("embedding", left["waiting"]) as show:
        total = left["waiting"]
        while left["waiting"] > left["failing"]:
            sleep(_POLL_SECONDS)
            left = _left(api)
            show(total - left["waiting"])
    return left


def _left(api: "Api") -> Entity:
    queue = api.get("/embeddings/status")["queue"]
    return {
        "waiting": sum(one["waiting"] for one in queue),
        "failing": sum(one["failing"] for one in queue),
        "last_error": next((one["last_error"] for one in queue if one["last_error"]), None),
    }


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Look after the vectors that similarity is computed from.")
    for command in (status, backfill, check, drop):
        group.command()(command)
    app.add_typer(group, name="embeddings")
