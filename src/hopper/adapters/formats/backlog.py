"""A folder of Backlog.md (src/markdown/parser.ts and serializer.ts of MrLesk/Backlog.md): tasks, completed, drafts."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from hopper.adapters.formats.draft import Draft, Files, Read, UnusableRecord, as_text, finished, listed
from hopper.adapters.formats.front_matter import BadFrontMatter, load, split
from hopper.domain.moving import Unusable
from hopper.domain.task import Priority, TaskStatus

NAME = "Backlog.md"

CONFIG = ("config.yml", "config.yaml")

_FOLDERS = {"tasks", "completed", "drafts"}
_TASK_FILE = re.compile(r"[A-Za-z]+-\d")
_STATUSES = ("to do", "in progress", "done")
_MARKER = re.compile(r"^[ \t]*<!-- (?:SECTION:\w+|AC|DOD|COMMENTS|COMMENT):(?:BEGIN|END) -->[ \t]*\n?", re.MULTILINE)
_PERSON = re.compile(r"^([ \t]*(?:assignee|reporter):[ \t]*|[ \t]*-[ \t]+)(@[^\s\"'\[\],#]+)[ \t]*$", re.MULTILINE)
_PERSONS = re.compile(r"(?<=[\[,\s])(@[^\s\"'\[\],#]+)(?=\s*[,\]])")
_TAKEN = {
    "id",
    "title",
    "status",
    "labels",
    "dependencies",
    "priority",
    "parent_task_id",
    "created_date",
    "updated_date",
    "subtasks",
}
"""subtasks are told by what they are parts of."""
_PLACED = {"assignee", "milestone", "type"}


def read(files: Files) -> Read:
    config = configured(files)
    for name, content in files:
        path = PurePosixPath(name)
        if path.suffix != ".md":
            continue
        folder = path.parent.name
        if folder not in _FOLDERS or "archive" in path.parts or not _TASK_FILE.match(path.name):
            yield Unusable(name, "It is archived, or no task.", is_fault=False)
            continue
        try:
            values, body = split(_quoted(content))
        except BadFrontMatter as error:
            yield Unusable(f"{name}:{error.line}", str(error))
            continue
        yield finished(name, lambda: _draft(name, folder, values, body, config))  # noqa: B023, it is called at once


@dataclass(frozen=True, slots=True)
class Config:
    """What a project has of its own: its statuses in their order, its name, and how its ids begin."""

    statuses: tuple[str, ...] = _STATUSES
    project: str | None = None
    prefix: str = "TASK"


def configured(files: Files) -> Config:
    """What config.yml says; the tasks can be read without."""
    for name, content in files:
        if PurePosixPath(name).name in CONFIG:
            from yaml import YAMLError

            try:
                values = load(content.decode())
                statuses = [as_text(status).lower() for status in listed(values.get("statuses"))]
            except (YAMLError, UnicodeDecodeError, AttributeError, UnusableRecord):
                break
            project, prefix = (as_text(values.get(key) or "") for key in ("project_name", "task_prefix"))
            return Config(tuple(statuses) or _STATUSES, project or None, (prefix or "task").upper())
    return Config()


def _draft(name: str, folder: str, values: dict[str, Any], body: str, config: Config) -> Draft:
    draft = Draft(
        NAME, name, _id(values.get("id"), config), as_text(values.get("title") or ""), body=_MARKER.sub("", body)
    )
    status = as_text(values.get("status") or "")
    draft.status = _status(status, folder, config)
    if status and status.lower() not in _STATUSES:
        draft.tag("status", "status", status)
    elif folder == "drafts":
        draft.tag("status", "status", "Draft")
    priority = as_text(values.get("priority") or "").lower()
    draft.priority = Priority(priority) if priority in set(Priority) else None
    if priority and not draft.priority:
        draft.tag("priority", "priority", priority)
    for label in listed(values.get("labels")):
        draft.label(as_text(label))
    assignee = values.get("assignee")
    for person in assignee if isinstance(assignee, list) else [assignee]:
        if person:
            draft.tag("assignee", f"assignee:{as_text(person).removeprefix('@')}")
    draft.tag("milestone", "milestone", values.get("milestone"))
    draft.tag("type", "type", values.get("type"))
    draft.depends_on = [_id(other, config) for other in listed(values.get("dependencies"))]
    draft.parent = _id(values.get("parent_task_id"), config) or None
    draft.created_at = draft.time("created_date", values.get("created_date"))
    draft.updated_at = draft.time("updated_date", values.get("updated_date"))
    for key in sorted(values.keys() - _TAKEN - _PLACED):
        draft.fact(key, values[key])
    return draft


def _status(status: str, folder: str, config: Config) -> TaskStatus:
    """The first status is to begin, the last one means done, whatever they are called."""
    if folder == "completed":
        return TaskStatus.DONE
    lowered, order = status.lower(), config.statuses
    if folder == "drafts" or lowered not in order or lowered == order[0]:
        return TaskStatus.PENDING
    return TaskStatus.DONE if lowered == order[-1] else TaskStatus.IN_PROGRESS


def _id(value: Any, config: Config) -> str:
    """Ids are the same in upper and lower case there, and without what they begin with."""
    id = as_text(value or "").upper()
    return f"{config.prefix}-{id}" if id[:1].isdigit() else id


def _quoted(content: bytes) -> bytes:
    """Names with an @ in quotes, which YAML demands and people forget."""
    head, end, rest = content.partition(b"\n---")
    text = head.decode(errors="surrogateescape")
    text = _PERSONS.sub(r'"\1"', _PERSON.sub(r'\1"\2"', text))
    return text.encode(errors="surrogateescape") + end + rest
