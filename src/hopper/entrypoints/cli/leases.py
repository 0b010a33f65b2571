"""hopper ready, claim, heartbeat and release: working through what an instance holds."""

from datetime import datetime
from typing import Annotated, Any

import typer

from hopper.domain.lease import LONGEST_SECONDS
from hopper.entrypoints.cli.bodies import given
from hopper.entrypoints.cli.common import DEFAULT_SERVER, All, Json, Limit, Server, TaskRef, connect
from hopper.entrypoints.cli.durations import duration
from hopper.entrypoints.cli.output import note, say, say_json, task_page
from hopper.entrypoints.cli.references import find_instance, find_task, instance_id, short

Entity = dict[str, Any]

LeaseTime = Annotated[
    str, typer.Option("--lease", metavar="TIME", help="How long to have the task: 90s, 5m, 2h, at most 1d.")
]
Worker = Annotated[
    str | None, typer.Option(help="What the worker calls itself; user@host unless given.", show_default=False)
]
Token = Annotated[str | None, typer.Option(help="The claim's token, in place of the worker's name.")]


def ready(
    instance: Annotated[str | None, typer.Option(help="Those that it holds: a name or an id.")] = None,
    limit: Limit = 50,
    all: All = False,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """List the tasks that wait for no other, in the order in which they are claimed."""
    with connect(server) as api:
        held_by = instance_id(api, instance)
        page = api.listing("/tasks/ready", limit=None if all else limit, instance_id=held_by)
        task_page(api, page, json, "Nothing is ready.")


def claim(
    instance: Annotated[str, typer.Option(help="Whose work: a name or an id.")],
    worker: Worker = None,
    lease: LeaseTime = "5m",
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Take the next ready task of an instance, for a while; no other worker gets it meanwhile."""
    seconds = _seconds(lease)
    with connect(server) as api:
        body = {"instance_id": find_instance(api, instance)["id"], "worker": worker or _myself()}
        claimed = api.create("/tasks/claim", body | {"lease_seconds": seconds})
    if json:
        say_json(claimed)
    elif claimed is None:
        note("Nothing is ready just now.")
    else:
        say(short(claimed["task"]["id"]))
        note(claimed["task"]["title"])
        note(f"yours until {_clock(claimed['lease'])}, by the token {claimed['token']}")


def heartbeat(
    task: TaskRef,
    worker: Worker = None,
    token: Token = None,
    lease: LeaseTime = "5m",
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Say that the work on a claimed task goes on: its lease lasts so long from now."""
    body = _proof(worker, token) | {"lease_seconds": _seconds(lease)}
    with connect(server) as api:
        found = find_task(api, task)
        held = api.post(f"/tasks/{found['id']}/heartbeat", body, repeatable=True)
    if json:
        say_json(held)
    else:
        say(f"{short(found['id'])} is yours until {_clock(held)}")


def release(
    task: TaskRef,
    worker: Worker = None,
    token: Token = None,
    reason: Annotated[str | None, typer.Option(help="Why, for whoever looks at it next.")] = None,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Give a claimed task back, for another worker to claim."""
    body = _proof(worker, token) | given(reason=reason)
    with connect(server) as api:
        found = find_task(api, task)
        after = api.post(f"/tasks/{found['id']}/release", body, repeatable=True)
    if json:
        say_json(after)
    else:
        say(f"Given back {short(after['id'])}: {after['title']}")


def _seconds(text: str) -> int:
    length = duration(text)
    if length is None:
        raise typer.BadParameter(f"{text!r} isn't a time such as 90s, 5m, 2h or 1d.", param_hint="--lease")
    seconds = int(length.total_seconds())
    if not 1 <= seconds <= LONGEST_SECONDS:
        raise typer.BadParameter(
            f"A lease lasts from 1s to {LONGEST_SECONDS // 3600}h, and not {text}. A heartbeat prolongs it.",
            param_hint="--lease",
        )
    return seconds


def _proof(worker: str | None, token: str | None) -> Entity:
    if worker is not None and token is not None:
        raise typer.BadParameter("Give either --token or --worker.")
    return {"token": token} if token is not None else {"worker": worker or _myself()}


def _myself() -> str:
    """The same for every command of one account on one machine."""
    import getpass
    import socket

    return f"{getpass.getuser()}@{socket.gethostname()}"[:200]


def _clock(lease: Entity) -> str:
    return datetime.fromisoformat(lease["expires_at"]).astimezone().strftime("%H:%M:%S")


def register(app: typer.Typer) -> None:
    for command in (ready, claim, heartbeat, release):
        app.command()(command)
