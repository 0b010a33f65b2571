"""hopper search and similar: finding tasks."""

from typing import Annotated, Any

import typer

from hopper.domain.query import QUERY_LENGTH, Mode
from hopper.domain.task import Priority, TaskStatus
from hopper.entrypoints.cli.bodies import given
from hopper.entrypoints.cli.common import DEFAULT_SERVER, Json, Limit, OnlyTag, Server, TaskRef, connect
from hopper.entrypoints.cli.output import clipped, note, say_json, table
from hopper.entrypoints.cli.references import find_task, instance_id, names_of, short

Entity = dict[str, Any]

Status = Annotated[TaskStatus | None, typer.Option(help="Only those where the work stands so.")]
PriorityOption = Annotated[Priority | None, typer.Option("--priority", "-p", help="Only those of this urgency.")]
Project = Annotated[str | None, typer.Option(help="Only those of this project.")]
Instance = Annotated[str | None, typer.Option(help="Only those that it holds: a name or an id.")]
Source = Annotated[str | None, typer.Option(help="Only those that came from there, such as cli or api.")]

_FILTERED_OUT = "No other task that can be compared passes these filters; try fewer."
_NOTHING_TO_COMPARE = "No other task can be compared with it yet (`hopper embeddings status` tells what waits)."


def search(
    query: Annotated[str, typer.Argument(help='Words, "phrases", beginnings*, -without, or.')],
    mode: Annotated[Mode, typer.Option(help="By words (keyword), by meaning (semantic), or by both.")] = Mode.HYBRID,
    status: Status = None,
    priority: PriorityOption = None,
    project: Project = None,
    instance: Instance = None,
    tag: OnlyTag = None,
    source: Source = None,
    limit: Limit = 20,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Find tasks by their words and their meaning, the best first."""
    if not 0 < len(query) <= QUERY_LENGTH:
        raise typer.BadParameter(f"A query has 1 to {QUERY_LENGTH:,} characters.", param_hint="QUERY")
    with connect(server) as api:
        filters = {
            "status": status,
            "priority": priority,
            "project": project,
            "instance_id": instance_id(api, instance),
            "tag": tag,
            "source": source,
        }
        found = api.listing("/search", limit=limit, q=query, mode=mode, **filters)
        if json:
            say_json(found)
            return
        hits = found["items"]
        names = names_of(api, [hit["task"]["instance_id"] for hit in hits])
    rows = [
        (
            short(hit["task"]["id"]),
            hit["task"]["status"],
            names.of(hit["task"]["instance_id"]),
            ", ".join(f"{ranker} {rank}" for ranker, rank in hit["ranks"].items()),
            "" if hit["similarity"] is None else f"{hit['similarity']:.2f}",
            clipped(hit["task"]["title"]),
            hit["highlight"],
        )
        for hit in hits
    ]
    if found["degraded"]:
        note("The embedder can't be reached: found by words alone.")
    table(("id", "status", "instance", "by", "alike", "title", "found"), rows, "Nothing was found.")


def similar(
    task: TaskRef,
    status: Status = None,
    priority: PriorityOption = None,
    project: Project = None,
    instance: Instance = None,
    tag: OnlyTag = None,
    source: Source = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 10,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Show the tasks that mean nearly the same, the most alike first."""
    with connect(server) as api:
        filters = given(
            status=status,
            priority=priority,
            project=project,
            instance_id=instance_id(api, instance),
            tag=tag,
            source=source,
        )
        near = api.get(f"/tasks/{find_task(api, task)['id']}/similar", limit=limit, **filters)
        if json:
            say_json(near)
            return
        names = names_of(api, [one["task"]["instance_id"] for one in near])
    rows = [
        (
            short(one["task"]["id"]),
            one["task"]["status"],
            names.of(one["task"]["instance_id"]),
            f"{one['similarity']:.2f}",
            one["task"]["title"],
        )
        for one in near
    ]
    table(("id", "status", "instance", "alike", "title"), rows, _FILTERED_OUT if filters else _NOTHING_TO_COMPARE)


def register(app: typer.Typer) -> None:
    for command in (search, similar):
        app.command()(command)
