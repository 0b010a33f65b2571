"""Tasks: what people and agents file."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from hopper.domain.errors import Invalid
from hopper.domain.ids import InstanceId, TaskId

Tags = Mapping[str, bool | str]

TITLE_LENGTH = 500
DESCRIPTION_LENGTH = 100_000
MOST_TAGS = 100


class TaskStatus(StrEnum):
    """What a task's owner says of it; blocked, ready and in triage are derived, never stored."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        return self in (TaskStatus.PENDING, TaskStatus.IN_PROGRESS)


class Priority(StrEnum):
    """From the first to be handed out to the last."""

    URGENT = "urgent"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A piece of work.

    `instance_id` is who holds the task now (None: nobody), `tags` maps a tag to true or to its value,
    `duplicate_of` is the task that says the same, and `version` grows by one with every change.
    """

    id: TaskId
    title: str
    description: str | None = None
    status: TaskStatus = TaskStatus.PENDING
    priority: Priority | None = None
    project: str | None = None
    instance_id: InstanceId | None = None
    tags: Tags = field(default_factory=dict)
    source: str = "api"
    source_instance_id: InstanceId | None = None
    parent_task_id: TaskId | None = None
    duplicate_of: TaskId | None = None
    depends_on: tuple[TaskId, ...] = ()
    version: int = 1
    created_at: datetime
    updated_at: datetime


def tags_from(tags: Tags | Iterable[str]) -> dict[str, bool | str]:
    """Tags in their stored form, from an object or a list; blank and duplicate names fall away."""
    pairs = tags.items() if isinstance(tags, Mapping) else ((name, True) for name in tags)
    result: dict[str, bool | str] = {}
    for name, value in pairs:
        if len(name) > 200:
            raise Invalid("tags", "A tag has at most 200 characters.")
        if name.strip():
            result[name.strip()] = value
    return result


def labels(tags: Tags) -> Iterator[str]:
    """The tags as they are compared: each one's name, and name=value besides where it has a value."""
    for name, value in tags.items():
        yield name.casefold()
        if isinstance(value, str):
            yield f"{name}={value}".casefold()


def embedding_text(title: str, description: str | None, tags: Tags) -> str:
    """The text that stands for a task in similarity search."""
    return f"{title}\n{description or ''}\nTags: {', '.join(tags)}"
