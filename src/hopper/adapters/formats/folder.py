"""A folder of task files, one markdown file with front matter a task, as local instances keep them.

That is what apathy-ca/hopper writes (src/hopper/storage/tasks.py, docs/local-storage-spec.md there), and Hopper's own
export, which says so in its config.yaml and keeps the ids.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

from hopper.adapters.formats.draft import Draft, Files, Read, UnusableRecord, as_text, finished, listed
from hopper.adapters.formats.front_matter import BadFrontMatter, dump, load, split
from hopper.adapters.formats.own import Entity, record_of
from hopper.domain.moving import Record, Unusable
from hopper.domain.task import Priority, TaskStatus

NAME = "a folder of tasks"

CONFIG = "config.yaml"

_EXPORTED = {
    "instance": {"id": "export", "name": "Export", "scope": "project"},
    "storage": {"type": "markdown"},
    "exported_by": "hopper",
}
_STATUS = {
    **{status.value: status for status in TaskStatus},
    "open": TaskStatus.PENDING,
    "todo": TaskStatus.PENDING,
    "blocked": TaskStatus.PENDING,
    "claimed": TaskStatus.IN_PROGRESS,
    "completed": TaskStatus.DONE,
    "closed": TaskStatus.DONE,
    "canceled": TaskStatus.CANCELLED,
}
_TAKEN = {"id", "title", "description", "status", "priority", "tags", "project", "depends_on", "created_at"} | {
    "updated_at",
    "parent_task_id",
    "duplicate_of",
    "version",
}
_UNFIT = re.compile(r"\r|^(<{7} |={7}$|>{7} )", re.MULTILINE)
"""What a body can't hold: other ends of lines, and what looks like an unresolved conflict."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]|^\.")
"""What an id that a server gives can't bring into a file's name: it would lead elsewhere."""

_LAST = ("source_instance_id", "parent_task_id", "duplicate_of")


def read(files: Files) -> Read:
    own = is_export(files)
    for name, content in files:
        path = PurePosixPath(name)
        if path.suffix != ".md" or path.parent.name != "tasks":
            if path.suffix == ".md":
                yield Unusable(name, "What a local instance remembers, and no task.", is_fault=False)
            continue
        try:
            values, body = split(content)
        except BadFrontMatter as error:
            yield Unusable(f"{name}:{error.line}", str(error))
            continue
        if own:
            yield _own_record(name, values, body)
        else:
            yield finished(name, lambda: _draft(name, values, body))  # noqa: B023, it is called at once


def is_export(files: Files) -> bool:
    """Whether Hopper exported it, so that its ids are those of tasks."""
    from yaml import YAMLError

    for name, content in files:
        if PurePosixPath(name).name == CONFIG:
            try:
                config = load(content.decode())
            except (YAMLError, UnicodeDecodeError):
                return False
            return isinstance(config, dict) and config.get("exported_by") == "hopper"
    return False


def write(tasks: Iterable[Entity]) -> Iterator[tuple[str, bytes]]:
    """Each file's path in the folder and its content."""
    yield CONFIG, dump(_EXPORTED).encode()
    for task in tasks:
        yield f"tasks/{_UNSAFE.sub(_escaped, task['id'])}.md", _file(task)


def _escaped(found: "re.Match[str]") -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())


def _file(task: Entity) -> bytes:
    description = task["description"]
    plain = bool(description) and description == description.strip() and not _UNFIT.search(description)
    tags = task["tags"]
    values = {
        "id": task["id"],
        "title": task["title"],
        "status": task["status"],
        "priority": task["priority"],
        "tags": list(tags) if all(value is True for value in tags.values()) else _with_words(tags),
        "project": task["project"],
        "instance": task["instance_id"],
        "source": task["source"],
        "depends_on": list(task["depends_on"]) or None,
        "created_at": task["created_at"],
        "updated_at": task["updated_at"],
        **{name: task[name] for name in _LAST},
        "description": None if plain else description,
    }
    head = dump({name: value for name, value in values.items() if value is not None})
    return f"---\n{head}---\n\n{description if plain else ''}".encode()


def _with_words(tags: dict[str, bool | str]) -> dict[str, Any]:
    """A tag without a value as null, which no value is."""
    return {name: None if value is True else value for name, value in tags.items()}


def _tags(values: Any) -> dict[str, bool | str]:
    if isinstance(values, dict):
        return {name: True if value in (None, "true") else as_text(value) for name, value in values.items()}
    if isinstance(values, str):
        values = [name for name in map(str.strip, values.split(",")) if name]
    return dict.fromkeys(map(as_text, listed(values)), True)


def _own_record(name: str, values: dict[str, Any], body: str) -> Record | Unusable:
    try:
        tags = values.get("tags") or {}
        exact = {tag: True if value is None else value for tag, value in tags.items()} if isinstance(tags, dict) else {}
        body = body.removeprefix("\n")
        if body.strip() and values.get("description") is not None:
            raise UnusableRecord("It has a description, and a text below the front matter. Leave one of them.")
        return record_of(
            {
                **{key: value for key, value in values.items() if key != "instance"},
                "tags": exact or tags,
                "instance_id": values.get("instance"),
                "description": values.get("description", body or None),
            },
            name,
        )
    except UnusableRecord as error:
        return Unusable(name, str(error))
    except (TypeError, ValueError):
        return Unusable(name, "One of its fields is of another kind than a task has.")


def _draft(name: str, values: dict[str, Any], body: str) -> Draft:
    title = as_text(values.get("title") or "Untitled")
    description = values.get("description")
    draft = Draft("the folder", name, as_text(values.get("id") or ""), title, body=description or body)
    if description:
        draft.section("body", "Body", body)
    draft.project = as_text(values.get("project") or "")
    status = as_text(values.get("status") or "pending").lower()
    draft.status = _STATUS.get(status, TaskStatus.PENDING)
    if status not in _STATUS:
        draft.tag("status", "status", status)
    priority = as_text(values.get("priority") or "").lower()
    draft.priority = Priority(priority) if priority in set(Priority) else None
    if priority and not draft.priority:
        draft.tag("priority", "priority", priority)
    for tag, value in _tags(values.get("tags")).items():
        draft.label(tag, value)
    draft.depends_on = [as_text(other) for other in listed(values.get("depends_on"))]
    draft.parent = as_text(values.get("parent_task_id") or "") or None
    draft.duplicate_of = as_text(values.get("duplicate_of") or "") or None
    draft.created_at = draft.time("created_at", values.get("created_at"))
    draft.updated_at = draft.time("updated_at", values.get("updated_at"))
    if values.get("instance") not in (None, "local"):
        draft.tag("instance", "instance", values["instance"])
    for key in sorted(values.keys() - _TAKEN - {"instance"}):
        draft.fact(key, values[key])
    return draft
