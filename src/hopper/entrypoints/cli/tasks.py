"""hopper add, ls, edit, done, rm and triage: tasks."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hopper.domain.duplicate import OnDuplicate
from hopper.domain.task import Priority, TaskStatus
from hopper.entrypoints.cli.bodies import given, tags_of
from hopper.entrypoints.cli.common import DEFAULT_SERVER, All, Json, Limit, OnlyTag, Server, Tags, TaskRef, connect
from hopper.entrypoints.cli.output import say, say_json, task_page
from hopper.entrypoints.cli.plain import LISTED, SOURCE, list_tasks, tell_filed
from hopper.entrypoints.cli.references import find_task, instance_id, short, task_id

if TYPE_CHECKING:
    from hopper.adapters.http.api import Api

Entity = dict[str, Any]

Description = Annotated[str | None, typer.Option("--description", "-d", help="What it is about.")]
PriorityOption = Annotated[Priority | None, typer.Option("--priority", "-p", help="How urgent it is.")]
Status = Annotated[TaskStatus | None, typer.Option(help="Where the work stands.")]
Project = Annotated[str | None, typer.Option(help="The project that it belongs to.")]
Instance = Annotated[str | None, typer.Option(help="Who holds it: a name or an id.")]
Parent = Annotated[str | None, typer.Option(help="The task that it is a part of.")]
DependsOn = Annotated[list[str] | None, typer.Option(help="A task that must be done first; may be repeated.")]


class Clearable(StrEnum):
    """What a task can be without."""

    DESCRIPTION = "description"
    PRIORITY = "priority"
    PROJECT = "project"
    INSTANCE = "instance"
    PARENT = "parent"
    DUPLICATE_OF = "duplicate-of"
    DEPENDS_ON = "depends-on"
    TAGS = "tags"


_EMPTY: dict[Clearable, tuple[str, Any]] = {
    Clearable.DESCRIPTION: ("description", None),
    Clearable.PRIORITY: ("priority", None),
    Clearable.PROJECT: ("project", None),
    Clearable.INSTANCE: ("instance_id", None),
    Clearable.PARENT: ("parent_task_id", None),
    Clearable.DUPLICATE_OF: ("duplicate_of", None),
    Clearable.DEPENDS_ON: ("depends_on", []),
    Clearable.TAGS: ("tags", {}),
}


def add(
    title: Annotated[str, typer.Argument(help="What is to be done.")],
    description: Description = None,
    tag: Tags = None,
    priority: PriorityOption = None,
    project: Project = None,
    instance: Instance = None,
    parent: Parent = None,
    depends_on: DependsOn = None,
    route: Annotated[bool, typer.Option("--route", help="Decide at once who should do it.")] = False,
    on_duplicate: Annotated[
        OnDuplicate | None,
        typer.Option(help="Look for open tasks that say the same: tell of them, refuse this one, or link it to that."),
    ] = None,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """File a task, and with --route decide and delegate at once."""
    with connect(server) as api:
        body = given(
            title=title,
            description=description,
            priority=priority,
            project=project,
            instance_id=instance_id(api, instance),
            parent_task_id=task_id(api, parent),
        )
        body |= {"tags": tags_of(tag), "depends_on": _ids(api, depends_on), "source": SOURCE, "route": route}
        body |= given(on_duplicate=on_duplicate)
        task = api.create("/tasks", body)
        tell_filed(api, task, json)


def ls(
    status: Status = None,
    instance: Instance = None,
    tag: OnlyTag = None,
    priority: PriorityOption = None,
    project: Project = None,
    limit: Limit = LISTED,
    all: All = False,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """List tasks, the newest first."""
    with connect(server) as api:
        list_tasks(
            api,
            all,
            limit,
            json,
            status=status,
            instance_id=instance_id(api, instance),
            tag=tag,
            priority=priority,
            project=project,
        )


def triage(limit: Limit = 50, all: All = False, server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """List the tasks that nobody holds, the oldest first."""
    with connect(server) as api:
        page = api.listing("/tasks/triage", limit=None if all else limit)
        task_page(api, page, json, "Nothing waits in triage.")


def edit(
    task: TaskRef,
    title: Annotated[str | None, typer.Option(help="What is to be done.")] = None,
    description: Description = None,
    tag: Tags = None,
    untag: Annotated[list[str] | None, typer.Option(help="The name of a tag to take off; may be repeated.")] = None,
    status: Status = None,
    priority: PriorityOption = None,
    project: Project = None,
    instance: Instance = None,
    parent: Parent = None,
    depends_on: DependsOn = None,
    clear: Annotated[list[Clearable] | None, typer.Option(help="Take this off first; may be repeated.")] = None,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Change a task. Tags and dependencies are added to those that are there."""
    with connect(server) as api:
        before = find_task(api, task)
        changes: Entity = dict(_EMPTY[what] for what in clear or ())
        kept = before | changes
        changes |= given(
            title=title,
            description=description,
            status=status,
            priority=priority,
            project=project,
            instance_id=instance_id(api, instance),
            parent_task_id=task_id(api, parent),
        )
        if tag or untag:
            tags = kept["tags"] | tags_of(tag)
            changes["tags"] = {name: value for name, value in tags.items() if name not in (untag or ())}
        if depends_on:
            changes["depends_on"] = [*kept["depends_on"], *_ids(api, depends_on)]
        if not changes:
            raise typer.BadParameter("Say what to change, such as --title or --priority (see --help).")
        after = api.patch(f"/tasks/{before['id']}", changes, version=before["version"])
        _tell(f"Changed {short(after['id'])}: {after['title']}", after, json)


def done(
    task: TaskRef,
    force: Annotated[bool, typer.Option("--force", help="Although it depends on open tasks.")] = False,
    token: Annotated[
        str | None, typer.Option(help="Of a claim: refused if somebody else has claimed it since.")
    ] = None,
    server: Server = DEFAULT_SERVER,
    json: Json = False,
) -> None:
    """Say that a task is done."""
    with connect(server) as api:
        found = find_task(api, task)
        after = api.post(f"/tasks/{found['id']}/complete", given(token=token) or None, repeatable=True, force=force)
        _tell(f"Done {short(after['id'])}: {after['title']}", after, json)


def rm(task: TaskRef, server: Server = DEFAULT_SERVER, json: Json = False) -> None:
    """Remove a task and everything that says something of it."""
    with connect(server) as api:
        found = find_task(api, task)
        api.delete(f"/tasks/{found['id']}")
        _tell(f"Removed {short(found['id'])}: {found['title']}", found, json)


def _ids(api: "Api", references: list[str] | None) -> list[str]:
    return [str(find_task(api, reference)["id"]) for reference in references or ()]


def _tell(text: str, answer: Entity, json: bool) -> None:
    if json:
        say_json(answer)
    else:
        say(text)


def register(app: typer.Typer) -> None:
    for command in (add, ls, edit, done, rm, triage):
        app.command()(command)
