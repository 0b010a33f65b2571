"""What Hopper's own exports share: the fields of a task, by the names that they have everywhere."""

from typing import Any

from hopper.adapters.formats.draft import UnusableRecord, as_text, as_time
from hopper.domain.moving import Record
from hopper.domain.task import Priority, TaskStatus

Entity = dict[str, Any]
"""A task as the API gives it."""

FIELDS = (
    "id",
    "title",
    "description",
    "status",
    "priority",
    "project",
    "instance_id",
    "tags",
    "source",
    "source_instance_id",
    "parent_task_id",
    "duplicate_of",
    "depends_on",
    "created_at",
    "updated_at",
)
"""All of a task but its version, which counts the changes at one place."""


LEFT_OUT = "left out: no task of Hopper has it"


def record_of(task: Entity, where: str) -> Record:
    """The record of an exported task. Raises UnusableRecord."""
    tags = task.get("tags") or {}
    if not isinstance(tags, dict):
        tags = dict.fromkeys(tags, True)
    return Record(
        external_id=_required(task, "id"),
        title=_required(task, "title"),
        description=task.get("description"),
        status=_one_of(TaskStatus, task.get("status") or "pending", "status"),
        priority=_one_of(Priority, task["priority"], "priority") if task.get("priority") else None,
        project=task.get("project") or None,
        instance_id=task.get("instance_id") or None,
        tags=tags,
        source=task.get("source") or None,
        source_instance_id=task.get("source_instance_id") or None,
        parent=task.get("parent_task_id") or None,
        duplicate_of=task.get("duplicate_of") or None,
        depends_on=tuple(task.get("depends_on") or ()),
        created_at=_time(task, "created_at"),
        updated_at=_time(task, "updated_at"),
        kept=dict.fromkeys(task.keys() - {*FIELDS, "version"}, LEFT_OUT),
        where=where,
    )


def _required(task: Entity, name: str) -> str:
    value = task.get(name)
    if not isinstance(value, str) or not value.strip():
        raise UnusableRecord(f"It has no {name}.")
    return value


def _one_of(kind: Any, value: Any, name: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise UnusableRecord(f"{name} is {as_text(value)[:40]!r}; it can be {', '.join(kind)}.") from None


def _time(task: Entity, name: str) -> Any:
    value = task.get(name)
    moment = as_time(value) if value else None
    if value and moment is None:
        raise UnusableRecord(f"{name} is {as_text(value)[:40]!r}, and no time between 1970 and now.")
    return moment
