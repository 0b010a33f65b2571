"""hopper delegation …: what the targets say to the tasks that were handed to them."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopper.domain.delegation import DelegationStatus
from hopper.domain.errors import HopperError
from hopper.entrypoints.cli.common import DEFAULT_SERVER, All, Json, Limit, Server, connect
from hopper.entrypoints.cli.output import moment, more_note, say, say_json, table
from hopper.entrypoints.cli.references import NoMatch, find_instance, find_task, names_of, short

if TYPE_CHECKING:
    from hopper.adapters.http.api import Api

Entity = dict[str, Any]

Ref = Annotated[
    str, typer.Argument(metavar="DELEGATION|TASK", help="The delegation's full id, or the task that it is about.")
]
_LIVE = {"pending", "accepted"}


def ls(
    instance: Annotated[str | None, typer.Option(help="Those to this instance.")] = None,
    task: Annotated[str | None, typer.Option(help="Those of this task.")] = None,
    status: Annotated[DelegationStatus | None, typer.Option(help="With --instance: only these.")] = None,
    limit: Limit = 50,
    all: All = False,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """List the delegations to an instance, the newest first, or of a task, the first one first."""
    if (instance is None) == (task is None) or (task and status):
        raise typer.BadParameter("Give either --instance, with --status if you like, or --task.")
    with connect(server) as api:
        if task is not None:
            page = {"items": api.get(f"/tasks/{find_task(api, task)['id']}/delegations"), "next_cursor": None}
        else:
            path = f"/instances/{find_instance(api, instance or '')['id']}/delegations"
            page = api.listing(path, limit=None if all else limit, status=status)
        if json:
            say_json(page)
            return
        _show(api, page["items"])
    more_note(page)


def accept(delegation: Ref, server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Take the task on."""
    _answer(server, delegation, "accept", json)


def reject(delegation: Ref, server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Refuse the task: it goes back to who sent it, and the choice counts as wrong."""
    _answer(server, delegation, "reject", json)


def complete(
    delegation: Ref,
    force: Annotated[bool, typer.Option("--force", help="Although the task depends on open ones.")] = False,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Say that the task is done."""
    _answer(server, delegation, "complete", json, force=force or None)


def _answer(server: str, reference: str, action: str, json: bool, force: bool | None = None) -> None:
    with connect(server) as api:
        after = _act(api, reference, action, force)
        if json:
            say_json(after)
            return
        target = names_of(api, [after["target_instance_id"]]).of(after["target_instance_id"])
        say(f"{short(after['task_id'])} → {target}: {after['status']}")


def _act(api: "Api", reference: str, action: str, force: bool | None) -> Entity:
    """Answer a delegation, or else the live one of the task that was named."""
    if len(reference) == 36:
        try:
            return _post(api, reference, action, force)
        except HopperError as problem:
            if problem.slug != "not-found":
                raise
    task = find_task(api, reference)
    live = [one for one in api.get(f"/tasks/{task['id']}/delegations") if one["status"] in _LIVE]
    if not live:
        raise NoMatch(f"The task {short(task['id'])} is with nobody just now; `hopper show` tells what became of it.")
    return _post(api, live[-1]["id"], action, force)


def _post(api: "Api", id: str, action: str, force: bool | None) -> Entity:
    from hopper.adapters.http.client import segment

    answer: Entity = api.post(f"/delegations/{segment(id)}/{action}", repeatable=True, force=force)
    return answer


def _show(api: "Api", delegations: list[Entity]) -> None:
    names = names_of(api, [one[end] for one in delegations for end in ("source_instance_id", "target_instance_id")])
    rows = [
        (
            one["id"],
            short(one["task_id"]),
            one["status"],
            one["delegation_type"],
            names.of(one["source_instance_id"]),
            names.of(one["target_instance_id"]),
            moment(one["delegated_at"]),
        )
        for one in delegations
    ]
    table(("id", "task", "status", "type", "from", "to", "delegated"), rows, "No such delegations.")


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Accept, reject or complete what was handed over.")
    for command in (ls, accept, reject, complete):
        group.command()(command)
    app.add_typer(group, name="delegation")
