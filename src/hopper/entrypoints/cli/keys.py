"""hopper key and hopper audit: who may ask a server, and who did what."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopper.domain.access import Role
from hopper.domain.errors import Conflict
from hopper.entrypoints.cli.common import DEFAULT_SERVER, All, Json, Limit, Server, connect
from hopper.entrypoints.cli.durations import duration
from hopper.entrypoints.cli.output import moment, note, say, say_json, table
from hopper.entrypoints.cli.references import (
    Ambiguous,
    NoMatch,
    find_instance,
    find_pattern,
    find_task,
    names_of,
)

if TYPE_CHECKING:
    from hopper.adapters.http.api import Api

Entity = dict[str, Any]

_FEWEST = 4
"""Characters of an id that may stand for it."""

_GIVEN = [role for role in Role if role is not Role.SYNC]


def create(
    name: Annotated[str, typer.Argument(help="What to call it: who or what will use it.")],
    role: Annotated[
        Role, typer.Option(help=f"What it may do: {', '.join(_GIVEN)}.", show_choices=False, metavar="ROLE")
    ] = Role.MEMBER,
    within: Annotated[
        str | None,
        typer.Option("--within", metavar="INSTANCE", help="See and change this instance and those below, no more."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it ends: 12h, 30d, 8w, or a date. Never, by default.")
    ] = None,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Make a key, and print its token: this once."""
    expires_at = None if expires is None else _time(expires).isoformat()
    with connect(server) as api:
        instance_id = find_instance(api, within)["id"] if within else None
        body = {"name": name, "role": role, "instance_id": instance_id, "expires_at": expires_at}
        made = api.post("/keys", body)
        others = [key for key in api.get("/keys") if key["name"] == name and not key["revoked_at"]]
    if others[1:]:
        note(f"There are {len(others)} keys called {name!r} now.")
    if json:
        say_json(made)
        return
    say(made["token"])
    note(f"This is the token of {name!r}. It isn't shown again: hand it over now, for HOPPER_API_KEY.")


def list_(server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """List the keys: what each may do, and when it was used last."""
    with connect(server) as api:
        found = api.get("/keys")
        names = names_of(api, [key["instance_id"] for key in found])
    if json:
        say_json(found)
        return
    rows = [
        (
            key["id"],
            key["name"],
            key["role"],
            names.of(key["instance_id"]) if key["instance_id"] else "everything",
            _state(key),
            moment(key["last_used_at"]) or "never",
        )
        for key in found
    ]
    table(("key", "name", "role", "within", "state", "last used"), rows, "There are no keys.")


def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id, the beginning of that, or its name.")],
    yes: Annotated[bool, typer.Option("--yes", help="Also the key that you ask with.")] = False,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Let a key be used no more."""
    with connect(server) as api:
        keys = api.get("/keys")
        found = _find([one for one in keys if not one["revoked_at"]], key, keys)
        if found["id"] == api.get("/keys/own")["key_id"] and not yes:
            raise Conflict(
                f"{found['name']!r} is the key that you ask with: you would be shut out. Make another one first "
                "(`hopper key create NAME --role admin`), or say --yes."
            )
        revoked = api.post(f"/keys/{found['id']}/revoke", repeatable=True)
    if json:
        say_json(revoked)
    else:
        say(f"The key {revoked['name']!r} is revoked.")


def whoami(server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Say as whom commands ask here, and what that key may do."""
    with connect(server) as api:
        own = api.get("/keys/own")
        within = f" within {names_of(api, [own['within']]).of(own['within'])}" if own["within"] else ""
    if json:
        say_json(own)
    else:
        say(f"{own['name']} ({own['role']}{within}), key {own['key_id']}")


def audit(
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Only what the key with this id or name did.")] = None,
    entity: Annotated[
        str | None,
        typer.Option("--of", metavar="ID", help="Only what was done to this task, instance or pattern."),
    ] = None,
    limit: Limit = 50,
    all: All = False,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Tell who did what, the newest first."""
    with connect(server) as api:
        key_id = _find(api.get("/keys"), key)["id"] if key and key != "admin" else key
        entity_id = _entity_id(api, entity) if entity else None
        found = api.listing("/audit", limit=None if all else limit, key_id=key_id, entity_id=entity_id)
    if entity and not found["items"]:
        raise NoMatch(f"Nothing that was done to {entity!r} is noted. Of what is gone, give the whole id.")
    if json:
        say_json(found)
        return
    rows = [
        (moment(one["at"]), one["key_name"], one["action"], one["entity_type"] or "", one["entity_id"] or "")
        for one in found["items"]
    ]
    table(("at", "key", "action", "what", "id"), rows, "Nothing was done yet.")


def _find(keys: list[Entity], reference: str, others: Iterable[Entity] = ()) -> Entity:
    """The key with this id or name, or whose id begins so; only where there is none, one of the others."""
    matches = (
        [key for key in keys if key["id"] == reference]
        or [key for key in keys if key["name"] == reference]
        or [key for key in keys if len(reference) >= _FEWEST and key["id"].startswith(reference)]
    )
    if not matches and others:
        return _find([*others], reference)
    if not matches:
        raise NoMatch(f"There is no key {reference!r}. `hopper key list` shows all of them.")
    if len(matches) > 1:
        ids = " or ".join(key["id"] for key in matches)
        raise Ambiguous(f"{len(matches)} keys are called {reference!r}. Say which id: {ids}.")
    return matches[0]


def _entity_id(api: "Api", reference: str) -> str:
    """The id of what is named; what is gone by now only goes by its whole id."""
    for find in (find_task, find_instance, find_pattern):
        with suppress(NoMatch):
            return str(find(api, reference)["id"])
    return reference


def _time(said: str) -> datetime:
    try:
        after = duration(said) if said[-1:] in {"h", "d", "w"} else None  # 6m may be meant as months
        moment = datetime.now(UTC) + after if after else datetime.fromisoformat(said)
    except (ValueError, OverflowError):
        raise typer.BadParameter("Say 12h, 30d or 8w, or a date such as 2027-01-31.", param_hint="--expires") from None
    return moment if moment.tzinfo else moment.astimezone()


def _state(key: Entity) -> str:
    if key["revoked_at"]:
        return "revoked"
    if key["expires_at"] is None:
        return "active"
    past = datetime.fromisoformat(key["expires_at"]) <= datetime.now(UTC)
    return f"{'expired' if past else 'until'} {moment(key['expires_at'])}"


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Who may ask a server, and for what.")
    group.command()(create)
    group.command("list")(list_)
    group.command()(revoke)
    app.add_typer(group, name="key")
    app.command()(whoami)
    app.command()(audit)
