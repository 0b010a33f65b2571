"""A folder of Backlog.md (src/markdown/parser.ts and serializer.ts of MrLesk/Backlog.md): tasks, completed, drafts."""

import re
from pathlib import PurePosixPath
from typing import Any

from hopper.adapters.formats.draft import Draft, Files, Read, as_text, finished, listed
from hopper.adapters.formats.front_matter import BadFrontMatter, load, split
from hopper.domain.moving import Unusable
from hopper.domain.task import Priority, TaskStatus

NAME = "Backlog.md"

CONFIG = ("config.yml", "config.yaml")

_FOLDERS = {"tasks", "completed", "drafts"}
_TASK_FILE = re.compile(r"[A-Za-z]+-\d")
_USUAL = {"to do", "in progress", "done"}
_MARKER = re.compile(r"^[ \t]*<!-- (?:SECTION:\w+|AC|DOD|COMMENTS|COMMENT):(?:BEGIN|END) -->[ \t]*\n?", re.MULTILINE)
_PERSON = re.compile(r"^(\s*(?:assignee|reporter):[ \t]*|\s*-[ \t]+)(@[^\s\"'\[\],#]+)[ \t]*$", re.MULTILINE)
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
    steps, _ = configured(files)
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
        yield finished(name, lambda: _draft(name, folder, values, body, steps))  # noqa: B023, it is called at once


def configured(files: Files) -> tuple[list[str], str | None]:
    """The statuses in their order, and the project's name."""
    for name, content in files:
        if PurePosixPath(name).name in CONFIG:
            try:
                values = load(content.decode())
                steps = [as_text(step) for step in listed(values.get("statuses"))]
                return steps, as_text(values.get("project_name") or "") or None
            except Exception:  # the tasks can be read without
                break
    return [], None


def _draft(name: str, folder: str, values: dict[str, Any], body: str, steps: list[str]) -> Draft:
    draft = Draft(NAME, name, _id(values.get("id")), as_text(values.get("title") or ""), body=_MARKER.sub("", body))
    status = as_text(values.get("status") or "")
    draft.status = _status(status, folder, steps)
    if status and status.lower() not in _USUAL:
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
    draft.depends_on = [_id(other) for other in listed(values.get("dependencies"))]
    draft.parent = _id(values.get("parent_task_id")) or None
    draft.created_at = draft.time("created_date", values.get("created_date"))
    draft.updated_at = draft.time("updated_date", values.get("updated_date"))
    for key in sorted(values.keys() - _TAKEN - _PLACED):
        draft.fact(key, values[key])
    return draft


def _status(status: str, folder: str, steps: list[str]) -> TaskStatus:
    """The first status is to begin, the last one means done, whatever they are called."""
    if folder == "completed":
        return TaskStatus.DONE
    lowered, order = status.lower(), [step.lower() for step in steps] or ["to do", "in progress", "done"]
    if folder == "drafts" or lowered not in order or lowered == order[0]:
        return TaskStatus.PENDING
    return TaskStatus.DONE if lowered == order[-1] else TaskStatus.IN_PROGRESS


def _id(value: Any) -> str:
    """Ids are the same in upper and lower case there."""
    return as_text(value or "").upper()


def _quoted(content: bytes) -> bytes:
    """Names with an @ in quotes, which YAML demands and people forget."""
    head, end, rest = content.partition(b"\n---")
    text = head.decode(errors="surrogateescape")
    text = _PERSONS.sub(r'"\1"', _PERSON.sub(r'\1"\2"', text))
    return text.encode(errors="surrogateescape") + end + rest
