"""`hopper ls` and `hopper add` on a local instance, without the whole command line, which takes longer to load.

What isn't plainly right goes the whole way, and is told of there.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hopper.domain.task import MOST_TAGS, Priority, Task, TaskStatus, tags_from
from hopper.entrypoints.cli.bodies import tags_of
from hopper.entrypoints.cli.choice import choose
from hopper.entrypoints.cli.output import clipped, note, say, say_json, task_page
from hopper.entrypoints.cli.references import short

if TYPE_CHECKING:
    from hopper.adapters.http.api import Api
    from hopper.entrypoints.local.client import LocalClient

Entity = dict[str, Any]
Given = dict[str, Any]

LISTED = 50
"""How many a listing shows unless it is told."""

SOURCE = "cli"
"""Where tasks come from that a person or an agent files with a command."""

_LONGEST = 200
"""Any text may have so many characters; some may have more."""

_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "add": {
        "--description": "description",
        "-d": "description",
        "--tag": "tag",
        "-t": "tag",
        "--priority": "priority",
        "-p": "priority",
        "--project": "project",
        "--json": "",
    },
    "ls": {
        "--status": "status",
        "--tag": "tag",
        "-t": "tag",
        "--priority": "priority",
        "-p": "priority",
        "--project": "project",
        "--limit": "limit",
        "--all": "",
        "--json": "",
    },
}
"""Options that are understood here, and the names of their values; without a name they have none."""


def serve_plainly(words: Sequence[str]) -> bool:
    """Do what a command line says, if it is plain and a local instance answers; whether it was done."""
    given = understood(words)
    if given is None or os.environ.get("HOPPER_SERVER"):
        return False
    directory = choose().directory
    if directory is None:
        return False
    from hopper.entrypoints.local.client import LocalClient, without_waiting

    with LocalClient(directory, note, without_waiting) as client:
        _COMMANDS[words[0]](client, **given)
    return True


def understood(words: Sequence[str]) -> Given | None:
    """What is given to `ls` or `add` as keywords; None for what isn't plain."""
    options = _OPTIONS.get(words[0]) if words else None
    if options is None:
        return None
    given: Given = {}
    rest = iter(words[1:])
    for word in rest:
        name = options.get(word)
        if name is None:
            if word.startswith("-") or "title" in given or words[0] != "add":
                return None
            name, text = "title", word
        elif name == "":
            given[word.removeprefix("--")] = True
            continue
        else:
            text = next(rest, "")
        try:
            value = _value(name, text)
        except ValueError:
            return None
        given[name] = [*given.get("tag", ()), value] if (words[0], name) == ("add", "tag") else value
    if words[0] == "add" and ("title" not in given or len(given.get("tag", ())) > MOST_TAGS):
        return None
    return given


def _value(name: str, text: str) -> Any:
    """The value of an option. Raises ValueError for one that isn't plain."""
    if not text.strip() or text.startswith("-") or len(text) > _LONGEST or not text.isprintable():
        raise ValueError(text)
    if name == "tag" and not text.partition("=")[0].strip():
        raise ValueError(text)
    if name == "limit" and (not text.isascii() or not text.isdigit() or not 0 < int(text) < 10**9):
        raise ValueError(text)
    kind: Callable[[str], Any] = {"priority": Priority, "status": TaskStatus, "limit": int}.get(name, str)
    return kind(text)


def _add(
    client: "LocalClient",
    title: str,
    description: str | None = None,
    tag: list[str] | None = None,
    priority: Priority | None = None,
    project: str | None = None,
    json: bool = False,
) -> None:
    from hopper.entrypoints.local.routes import new_task_id

    now = client.ports.clock.now()
    task = Task(
        id=new_task_id(),
        title=title,
        description=description,
        tags=tags_from(tags_of(tag)),
        priority=priority,
        project=project,
        source=SOURCE,
        created_at=now,
        updated_at=now,
    )
    tell_filed(client, client.file(task), json)


def list_tasks(api: "Api", all: bool = False, limit: int = LISTED, json: bool = False, **only: str | None) -> None:
    """Show the newest tasks that pass the filters."""
    page = api.listing("/tasks", limit=None if all else limit, **only)
    task_page(api, page, json, "No such tasks. `hopper add TITLE` files one.")


def tell_filed(api: "Api", task: Entity, json: bool) -> None:
    """Show what was filed: its id, which tasks it probably repeats, and who should do it, when that was asked for."""
    if json:
        say_json(task)
        return
    say(short(task["id"]))
    for one in task["duplicates"] or ():
        linked = "  linked" if task["duplicate_of"] in (one["task_id"], one["duplicate_of"] or "") else ""
        say(f"  like {short(one['task_id'])}  {one['score']:.2f}  {one['status']}  {clipped(one['title'])}{linked}")
    if task["decision"]:
        from hopper.entrypoints.cli.decisions import advise, explain, names_in

        explain(task["decision"], names_in(api, task["decision"]))
        advise(api, task, task["decision"])


_COMMANDS: Mapping[str, Callable[..., None]] = {"add": _add, "ls": list_tasks}
