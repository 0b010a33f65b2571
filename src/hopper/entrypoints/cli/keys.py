"""hopper key and hopper audit: who may ask a server, and who did what."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from hopper.domain.access import Role
from hopper.entrypoints.cli.common import DEFAULT_SERVER, All, Json, Limit, Server, connect
from hopper.entrypoints.cli.output import moment, note, say, say_json, table
from hopper.entrypoints.cli.references import find_instance, names_of

Entity = dict[str, Any]

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
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
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id, as `hopper key list` shows it.")],
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Let a key be used no more."""
    from hopper.adapters.http.client import segment

    with connect(server) as api:
        revoked = api.post(f"/keys/{segment(key)}/revoke", repeatable=True)
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
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Only what this key did.")] = None,
    entity: Annotated[
        str | None, typer.Option("--of", metavar="ID", help="Only what was done to the task or instance with this id.")
    ] = None,
    limit: Limit = 50,
    all: All = False,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Tell who did what, the newest first."""
    with connect(server) as api:
        found = api.listing("/audit", limit=None if all else limit, key_id=key, entity_id=entity)
    if json:
        say_json(found)
        return
    rows = [
        (moment(one["at"]), one["key_name"], one["action"], one["entity_type"] or "", one["entity_id"] or "")
        for one in found["items"]
    ]
    table(("at", "key", "action", "what", "id"), rows, "Nothing was done yet.")


def _time(said: str) -> datetime:
    if after := re.fullmatch(r"(\d{1,4})([hdw])", said):
        return datetime.now(UTC) + timedelta(**{_UNITS[after[2]]: int(after[1])})
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
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
