"""Taskwarrior's JSON, as `task export` prints it (doc/devel/rfcs/task.md of GothenburgBitFactory/taskwarrior)."""

from typing import Any

from hopper.adapters.formats.draft import Draft, Files, Read, UnusableRecord, as_text, each, listed
from hopper.domain.task import Priority, TaskStatus

NAME = "Taskwarrior"

_STATUS = {"completed": TaskStatus.DONE, "deleted": TaskStatus.CANCELLED}
_PRIORITY = {"H": Priority.HIGH, "M": Priority.MEDIUM, "L": Priority.LOW}
_TAKEN = {"uuid", "description", "status", "priority", "project", "tags", "depends", "parent", "entry", "modified"}
_DERIVED = {"id", "urgency"}
_PLACED = {"annotations", "start"}


def read(files: Files) -> Read:
    return each(files, _draft)


def _draft(where: str, task: dict[str, Any]) -> Draft:
    uuid = as_text(task.get("uuid") or "")
    if not uuid:
        raise UnusableRecord("It has no uuid.")
    draft = Draft(NAME, where, uuid, as_text(task.get("description") or ""))
    status = as_text(task.get("status") or "pending")
    draft.status = _STATUS.get(status, TaskStatus.IN_PROGRESS if task.get("start") else TaskStatus.PENDING)
    if status not in {"pending", *_STATUS}:
        draft.tag("status", "status", status)  # waiting and recurring
    draft.fact("start", task.get("start"))
    priority = as_text(task.get("priority") or "")
    draft.priority = _PRIORITY.get(priority)
    if priority and not draft.priority:
        draft.tag("priority", "priority", priority)
    draft.project = as_text(task.get("project") or "")
    for tag in listed(task.get("tags")):
        draft.label(as_text(tag))
    depends = task.get("depends")
    needed = depends.split(",") if isinstance(depends, str) else map(as_text, listed(depends))  # 2.x wrote a string
    draft.depends_on = [id.strip() for id in needed if id.strip()]
    draft.parent = as_text(task.get("parent") or "") or None
    notes = [
        f"- {as_text(note.get('entry') or '')} {as_text(note.get('description') or '')}"
        for note in listed(task.get("annotations"))
    ]
    draft.section("annotations", "Annotations", "\n".join(notes))
    draft.created_at = draft.time("entry", task.get("entry"))
    draft.updated_at = draft.time("modified", task.get("modified"))
    for name in sorted(task.keys() - _TAKEN - _DERIVED - _PLACED):
        draft.fact(name, task[name])
    return draft
