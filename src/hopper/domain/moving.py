"""Tasks that come from elsewhere: what a record says, what it said last time, and what follows for the task here."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.task import Priority, Tags, Task, TaskStatus

OWN = "hopper"
"""The source whose external ids are the ids of tasks: Hopper's own exports."""


class Format(StrEnum):
    """What tasks can be read from; TASKS are new ones, one JSON object a line, which follow no source."""

    TASKS = "tasks"
    HOPPER = "hopper"
    CSV = "csv"
    FOLDER = "folder"
    GITHUB = "github"
    BEADS = "beads"
    TASKWARRIOR = "taskwarrior"
    BACKLOG = "backlog"


EXTERNAL_ID_LENGTH = 180
SOURCE_LENGTH = 50

_SPACE = UUID("0198c0de-8d11-7b52-a6c4-3e0f9b7d2a61")

Flat = Mapping[str, Any]
"""A task's fields one by one: a tag is tags.NAME, a dependency depends_on.ID; without those that are empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A task as another program tells of it. What it refers to, it names by external ids.

    `source` is the task's own, where it has one besides that of the import. `kept` says of fields that tasks don't have
    where they are kept, if they are, and `where` is the file and the place in it.
    """

    external_id: str
    title: str
    description: str | None = None
    status: TaskStatus = TaskStatus.PENDING
    priority: Priority | None = None
    project: str | None = None
    instance_id: InstanceId | None = None
    tags: Tags = field(default_factory=dict)
    source: str | None = None
    source_instance_id: InstanceId | None = None
    parent: str | None = None
    duplicate_of: str | None = None
    depends_on: tuple[str, ...] = ()
    created_at: datetime | None = None
    updated_at: datetime | None = None
    kept: Mapping[str, str] = field(default_factory=dict)
    where: str = ""

    def references(self) -> Iterator[tuple[str, str]]:
        """The fields that name other tasks, and what they name."""
        if self.parent:
            yield "parent_task_id", self.parent
        if self.duplicate_of:
            yield "duplicate_of", self.duplicate_of
        for needed in self.depends_on:
            yield "depends_on", needed


@dataclass(frozen=True, slots=True)
class Unusable:
    """A part of a file that makes no task; `is_fault` unless it was never meant to."""

    where: str
    detail: str
    is_fault: bool = True


@dataclass(frozen=True, slots=True)
class Origin:
    """Which task a record became, and what the record said last, as a digest of each field.

    `as_of` is the record's time where it is another Hopper's: of that which was taken last, or that was sent there.
    """

    external_id: str
    task_id: TaskId
    said: Mapping[str, str]
    as_of: datetime | None = None

    @property
    def state(self) -> str:
        """Another one once anything more was taken or sent."""
        return digest([dict(self.said), self.as_of and self.as_of.isoformat()])


class Fate(StrEnum):
    """What becomes of a record."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    NEWER_HERE = "newer_here"
    REMOVED_HERE = "removed_here"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became, or would become, of one record.

    `changed` names the fields that follow the record, `newer_here` those that both sides changed and that stay as they
    are here, `notes` what had to go elsewhere.
    """

    external_id: str
    task_id: TaskId | None
    outcome: Fate
    changed: tuple[str, ...] = ()
    newer_here: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    field: str | None = None
    detail: str | None = None


def space_of(source: str, within: InstanceId | None) -> str:
    """Under which name the records of a source that are new are remembered.

    What a bound key takes first is its own: if others' imports followed it, they would bring it what they read.
    """
    return str(uuid5(_SPACE, f"{within}\x00{source}")) if within and source != OWN else source


def task_id_of(source: str, external_id: str) -> TaskId:
    """The id that a record's task gets: always the same one, so that a lost answer makes no second task."""
    return external_id if source == OWN else str(uuid5(_SPACE, f"{source}\x00{external_id}"))


def flat(task: Task, *, with_holder: bool) -> dict[str, Any]:
    """What of a task can come from elsewhere; its holder only from another Hopper."""
    fields = {
        "title": task.title,
        "description": task.description,
        "status": task.status,
        "priority": task.priority,
        "project": task.project,
        "parent_task_id": task.parent_task_id,
        "duplicate_of": task.duplicate_of,
        "instance_id": task.instance_id if with_holder else None,
    }
    return {
        **{name: value for name, value in fields.items() if value is not None},
        **{f"tags.{name}": value for name, value in task.tags.items()},
        **{f"depends_on.{id}": True for id in task.depends_on},
    }


def changes_of(fields: Flat, changed: Sequence[str]) -> dict[str, Any]:
    """The changed ones of a task's flat fields, as the task has them."""
    changes: dict[str, Any] = {}
    for name in changed:
        group, dot, _ = name.partition(".")
        if not dot:
            value = fields.get(name)
            changes[name] = _TYPES[name](value) if name in _TYPES and value is not None else value
        elif group == "tags":
            changes["tags"] = {key[5:]: value for key, value in fields.items() if key.startswith("tags.")}
        else:
            changes[group] = tuple(sorted(key[11:] for key in fields if key.startswith("depends_on.")))
    return changes


_TYPES: dict[str, Any] = {"status": TaskStatus, "priority": Priority}


@dataclass(frozen=True, slots=True)
class Merged:
    """The fields as they should be here, which of them that changes, which stay against the record, what it said."""

    fields: Flat
    changed: tuple[str, ...]
    newer_here: tuple[str, ...]
    said: Mapping[str, str]


def merge(said: Mapping[str, str] | None, theirs: Flat, ours: Flat, *, theirs_is_newer: bool) -> Merged:
    """Bring what a record says together with the task that is here, field by field.

    What only the record has changed since it was read last is taken over; what was changed here stays. A task that was
    never read from there (`said` is None) is overwritten where the record is newer, and loses nothing.
    """
    fields, changed, kept = dict(ours), [], []
    now_said = {name: digest(value) for name, value in theirs.items()}
    for name in sorted({*theirs, *ours, *(said or ())}):
        there, here = theirs.get(name), ours.get(name)
        before = (said or {}).get(name)
        if there == here or (said is not None and now_said.get(name) == before):
            continue
        untouched = theirs_is_newer and there is not None if said is None else _digest_of(here) == before
        if not untouched:
            kept.append(name)
            now_said.pop(name, None)
            if before is not None:
                now_said[name] = before
            continue
        changed.append(name)
        fields.pop(name, None)
        if there is not None:
            fields[name] = there
    return Merged(fields, tuple(changed), tuple(kept), now_said)


def digest(value: Any) -> str:
    """Enough of a value to tell whether it has changed, and nothing of what it says."""
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _digest_of(value: Any) -> str | None:
    return None if value is None else digest(value)


def in_order(records: Sequence[Record]) -> list[Record]:
    """The records so that what they refer to comes before them, as far as they aren't in a ring; else as they came."""
    by_id = {record.external_id: record for record in records}
    ordered: dict[str, Record] = {}
    begun: set[str] = set()
    for first in records:
        if first.external_id in begun:
            continue
        begun.add(first.external_id)
        path = [(first, first.references())]
        while path:
            record, references = path[-1]
            following = next((by_id[id] for _, id in references if id in by_id and id not in begun), None)
            if following:
                begun.add(following.external_id)
                path.append((following, following.references()))
            else:
                ordered[record.external_id] = record
                path.pop()
    return list(ordered.values())
