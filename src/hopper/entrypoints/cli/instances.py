"""hopper instance …: who can take tasks."""

import json as json_format
from typing import Annotated, Any

import typer

from hopper.domain.instance import InstanceStatus, InstanceType, Scope
from hopper.entrypoints.cli.bodies import given
from hopper.entrypoints.cli.common import DEFAULT_SERVER, All, InstanceRef, Json, Limit, Server, connect
from hopper.entrypoints.cli.output import facts, moment, more_note, note, say, say_json, table
from hopper.entrypoints.cli.references import find_instance, instance_id, names_of, short

Entity = dict[str, Any]

ScopeOption = Annotated[Scope | None, typer.Option(help="How far it reaches.", case_sensitive=False)]
TypeOption = Annotated[InstanceType | None, typer.Option("--type", help="Where it keeps its tasks.")]
StatusOption = Annotated[InstanceStatus | None, typer.Option(help="Only a running one is routed to.")]
Parent = Annotated[str | None, typer.Option(metavar="INSTANCE", help="The instance above it.")]
Config = Annotated[str | None, typer.Option(metavar="JSON", help="Its configuration, a JSON object.")]


def add(
    name: Annotated[str, typer.Argument(help="What it is called.")],
    scope: ScopeOption = None,
    instance_type: TypeOption = None,
    status: StatusOption = None,
    parent: Parent = None,
    config: Config = None,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Add an instance. A running one is routed to from now on."""
    with connect(server) as api:
        body = given(
            name=name,
            scope=scope,
            instance_type=instance_type,
            status=status,
            parent_id=instance_id(api, parent),
            config=_config(config),
        )
        if api.get("/instances", name=name, limit=1)["items"]:
            note(f"Another instance is called {name!r} too: commands will want an id to tell them apart.")
        instance = api.create("/instances", body)
    _tell(instance, json)


def ls(
    scope: ScopeOption = None,
    status: StatusOption = None,
    limit: Limit = 50,
    all: All = False,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """List instances, the oldest first."""
    with connect(server) as api:
        page = api.listing("/instances", limit=None if all else limit, scope=scope, status=status)
        if json:
            say_json(page)
            return
        names = names_of(api, [instance["parent_id"] for instance in page["items"]])
    rows = [
        (short(one["id"]), one["name"], one["status"], one["scope"], one["instance_type"], names.of(one["parent_id"]))
        for one in page["items"]
    ]
    table(
        ("id", "name", "status", "scope", "type", "parent"), rows, "No such instances. `hopper instance add` makes one."
    )
    more_note(page)


def show(instance: InstanceRef, server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Show an instance."""
    with connect(server) as api:
        found = find_instance(api, instance)
        if json:
            say_json(found)
            return
        line = api.get(f"/instances/{found['id']}/hierarchy")
    say(found["name"])
    facts(
        [
            ("id", found["id"]),
            ("status", found["status"]),
            ("scope", found["scope"]),
            ("type", found["instance_type"]),
            ("below", " < ".join(above["name"] for above in line[1:])),
            ("config", json_format.dumps(found["config"], ensure_ascii=False) if found["config"] else None),
            ("created", moment(found["created_at"])),
        ]
    )


def edit(
    instance: InstanceRef,
    name: Annotated[str | None, typer.Option(help="What it is called.")] = None,
    scope: ScopeOption = None,
    instance_type: TypeOption = None,
    status: StatusOption = None,
    parent: Parent = None,
    no_parent: Annotated[bool, typer.Option("--no-parent", help="Make it a root.")] = False,
    config: Config = None,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Change what is given."""
    with connect(server) as api:
        changes = given(
            name=name,
            scope=scope,
            instance_type=instance_type,
            status=status,
            parent_id=instance_id(api, parent),
            config=_config(config),
        )
        if no_parent:
            changes["parent_id"] = None
        if not changes:
            raise typer.BadParameter("Say what to change, such as --name or --status (see --help).")
        before = find_instance(api, instance)
        after = api.patch(f"/instances/{before['id']}", changes, version=before["version"])
    _tell(after, json)


def rm(instance: InstanceRef, server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Remove an instance that holds no tasks and has none below it."""
    with connect(server) as api:
        found = find_instance(api, instance)
        api.delete(f"/instances/{found['id']}")
    if json:
        say_json(found)
        return
    say(f"Removed {found['name']}")


def tree(
    instance: Annotated[str | None, typer.Argument(help="Only this one and those below it.")] = None,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Show who stands below whom."""
    with connect(server) as api:
        top = find_instance(api, instance) if instance is not None else None
        page = api.listing("/instances")
    below: dict[str | None, list[Entity]] = {}
    for one in page["items"]:
        below.setdefault(one["parent_id"], []).append(one)
    roots = [top] if top else below.get(None, [])
    lines = [line for root in roots for line in _branch(root, below)]
    if json:
        say_json({"items": [one for _, one in lines], "next_cursor": None})
        return
    for text, one in lines:
        say(f"{text}{one['name']}  {short(one['id'])}  {one['status']}")


def _branch(root: Entity, below: dict[str | None, list[Entity]]) -> list[tuple[str, Entity]]:
    """The instances of a tree, each with what is drawn before its name."""
    lines = []
    waiting = [("", "", root)]
    while waiting:
        mark, indent, one = waiting.pop()
        lines.append((mark, one))
        children = below.get(one["id"], [])
        for number, child in reversed(list(enumerate(children))):
            last = number == len(children) - 1
            waiting.append((indent + ("└─ " if last else "├─ "), indent + ("   " if last else "│  "), child))
    return lines


def _config(text: str | None) -> Any:
    try:
        return None if text is None else json_format.loads(text)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"This is not JSON: {error}", param_hint="--config") from None


def _tell(instance: Entity, json: bool) -> None:
    if json:
        say_json(instance)
    else:
        say(f"{short(instance['id'])}  {instance['name']}  {instance['status']}")


def _add_switch(group: typer.Typer, action: str, says: str) -> None:
    """hopper instance start, stop, pause or resume."""

    def switch(instance: InstanceRef, server: Server = DEFAULT_SERVER, json: Json = False) -> None:
        with connect(server) as api:
            found = find_instance(api, instance)
            after = api.post(f"/instances/{found['id']}/{action}", repeatable=True)
        _tell(after, json)

    group.command(action, help=says)(switch)


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Look after the instances that take tasks.")
    for command in (add, ls, show, edit, rm, tree):
        group.command()(command)
    _add_switch(group, "start", "Route to it from now on.")
    _add_switch(group, "stop", "Route nothing to it any more.")
    _add_switch(group, "pause", "Route nothing to it for a while.")
    _add_switch(group, "resume", "Route to it again.")
    app.add_typer(group, name="instance")
