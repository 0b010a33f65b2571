"""hopper graph …: how tasks, instances, patterns and tags hang together."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer

from hopper.entrypoints.cli import graph_formats, graph_trees, graph_upkeep
from hopper.entrypoints.cli.common import DEFAULT_SERVER, InstanceRef, Json, Server, TaskRef, connect
from hopper.entrypoints.cli.output import Branch, note, percent, say, say_json, table, trees
from hopper.entrypoints.cli.references import find_instance, find_task

Entity = dict[str, Any]


class Format(StrEnum):
    """How an answer is shown."""

    TREE = "tree"
    MERMAID = "mermaid"
    DOT = "dot"
    JSON = "json"


FormatOption = Annotated[
    Format, typer.Option("--format", help="A tree, JSON, or text for Mermaid or Graphviz to draw.")
]
Limit = Annotated[int, typer.Option(min=1, max=5_000, help="How many entries at most.")]


def chain(
    task: TaskRef,
    format: FormatOption = Format.TREE,
    limit: Limit = 500,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Show how a task was handed on, in the order of time."""
    answer = _of_task(task, "delegation-chain", limit, server)
    if _shown(answer, format, json):
        return
    trees([graph_trees.chain(answer)])
    _more(answer)
    if not answer["hops"]:
        note("It was never delegated. `hopper route` decides who should do it.")


def blocked(
    task: TaskRef,
    format: FormatOption = Format.TREE,
    limit: Limit = 500,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Show what depends on a task, however indirectly."""
    answer = _of_task(task, "blocked", limit, server)
    if _shown(answer, format, json):
        return
    trees([graph_trees.waiting(answer)])
    say(f"{_tasks(answer['total']).capitalize()} {'depends' if answer['total'] == 1 else 'depend'} on it.")
    _more(answer)


def impact(
    task: TaskRef,
    format: FormatOption = Format.TREE,
    limit: Limit = 500,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Show which open tasks a task holds up, over all projects."""
    answer = _of_task(task, "impact", limit, server)
    if _shown(answer, format, json):
        return
    trees([graph_trees.waiting(answer)])
    projects = ", ".join(f"{one['project'] or 'no project'} {one['tasks']}" for one in answer["by_project"])
    steps = "1 step" if answer["depth"] == 1 else f"{answer['depth']} steps"
    depth = f", up to {steps} away ({projects})" if answer["total"] else ""
    say(f"It holds up {_tasks(answer['total'], 'open ')}{depth}.")
    _more(answer)


def path(
    task: TaskRef,
    format: FormatOption = Format.TREE,
    limit: Limit = 500,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Show the longest chain of open tasks that must be done for a task to be done."""
    answer = _of_task(task, "critical-path", limit, server)
    if _shown(answer, format, json):
        return
    if not answer["tasks"]:
        say(f"Nothing is left to do: it is {answer['task']['status']}.")
        return
    trees([graph_trees.path(answer)])
    alone = f"; {answer['total'] - 1} of them one after the other" if answer["needed"] else ""
    say(f"{_tasks(answer['needed'], 'open ').capitalize()} must be done before it{alone}.")
    _more(answer)


def lineage(
    task: TaskRef,
    format: FormatOption = Format.TREE,
    limit: Limit = 500,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Show what a task (») is a part of and its parts, with who was given each."""
    answer = _of_task(task, "lineage", limit, server)
    if not _shown(answer, format, json):
        trees([graph_trees.lineage(answer)])
        _more(answer)


def hierarchy(
    instance: InstanceRef,
    format: FormatOption = Format.TREE,
    limit: Limit = 500,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Show an instance (») and all above it."""
    with connect(server) as api:
        answer = api.get(f"/graph/instances/{find_instance(api, instance)['id']}/hierarchy", limit=limit)
    if not _shown(answer, format, json):
        trees([graph_trees.hierarchy(answer)])
        _more(answer)


def patterns(
    instance: InstanceRef,
    min_confidence: Annotated[float, typer.Option(min=0, max=1, help="Only those that are surer.")] = 0,
    format: FormatOption = Format.TREE,
    limit: Limit = 500,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Show the active patterns that route to an instance, the surest first."""
    with connect(server) as api:
        path = f"/graph/instances/{find_instance(api, instance)['id']}/patterns"
        answer = api.get(path, min_confidence=str(min_confidence), limit=limit)
    if _shown(answer, format, json):
        return
    trees([graph_trees.patterns(answer)])
    _more(answer)
    if not answer["patterns"]:
        note("No such pattern routes to it. `hopper pattern add` makes one.")


def tags(
    more_than: Annotated[int | None, typer.Option("--min", min=0, help="On more tasks than so many. [5]")] = None,
    hygiene: Annotated[
        bool, typer.Option("--hygiene", help="Tags that may be the same, and that nobody needs.")
    ] = False,
    format: FormatOption = Format.TREE,
    limit: Limit = 500,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Show which tags often occur together, or with --hygiene, what may be tidied up among them."""
    if hygiene and (more_than is not None or format in (Format.MERMAID, Format.DOT)):
        raise typer.BadParameter("It goes with --limit and --format tree or json only.", param_hint="--hygiene")
    with connect(server) as api:
        if hygiene:
            answer = api.get("/graph/tags/hygiene", limit=limit)
        else:
            answer = api.get("/graph/tags/co-occurrence", min=5 if more_than is None else more_than, limit=limit)
    if _shown(answer, format, json):
        return
    if hygiene:
        _draw(graph_trees.hygiene(answer), f"Nothing to tidy up among {answer['tags']} tags.")
    else:
        rows = [(*pair["tags"], pair["count"], percent(pair["weight"])) for pair in answer["pairs"]]
        table(("tag", "with", "tasks", "of either"), rows, "No tags occur together so often. --min asks for fewer.")
    _more(answer)


def ping_pong(
    at_least: Annotated[int, typer.Option("--min", min=1, help="So many returns at least.")] = 1,
    format: FormatOption = Format.TREE,
    limit: Limit = 500,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Show the tasks that are delegated back and forth, the worst first."""
    with connect(server) as api:
        answer = api.get("/graph/ping-pong", min=at_least, limit=limit)
    if not _shown(answer, format, json):
        _draw(graph_trees.ping_pong(answer), "No task came back to an instance that had it before.")
        _more(answer)


def bottlenecks(
    format: FormatOption = Format.TREE,
    limit: Limit = 10,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Show the open tasks for which most others wait, and who holds them."""
    with connect(server) as api:
        answer = api.get("/graph/bottlenecks", limit=limit)
    if not _shown(answer, format, json):
        _draw(graph_trees.bottlenecks(answer), "No open task waits for another.")
        _more(answer)


def _of_task(task: str, question: str, limit: int, server: str) -> Entity:
    with connect(server) as api:
        answer: Entity = api.get(f"/graph/tasks/{find_task(api, task)['id']}/{question}", limit=limit)
    return answer


def _shown(answer: Entity, format: Format, json: bool) -> bool:
    """Whether it was printed for another program; otherwise it is to be drawn for people."""
    if json or format is Format.JSON:
        say_json(answer)
    elif format is Format.MERMAID:
        say(graph_formats.mermaid(answer["nodes"], answer["edges"]))
    elif format is Format.DOT:
        say(graph_formats.dot(answer["nodes"], answer["edges"]))
    else:
        return False
    return True


def _draw(branches: Sequence[Branch], empty: str) -> None:
    if branches:
        trees(branches)
    else:
        note(empty)


def _more(answer: Entity) -> None:
    if answer["truncated"]:
        note("There is more than is shown; --limit shows up to 5,000.")


def _tasks(count: int, kind: str = "") -> str:
    return f"{count or 'no'} {kind}{'task' if count == 1 else 'tasks'}"


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="See how tasks, instances, patterns and tags hang together.")
    commands: tuple[Callable[..., None], ...] = (
        chain,
        blocked,
        impact,
        path,
        lineage,
        hierarchy,
        patterns,
        tags,
        ping_pong,
        bottlenecks,
    )
    for command in commands:
        group.command()(command)
    graph_upkeep.register(group)
    app.add_typer(group, name="graph")
