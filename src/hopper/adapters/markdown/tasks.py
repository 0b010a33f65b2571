"""Tasks in the index, and the files that they come from."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hopper.adapters.markdown.layout import TASKS
from hopper.adapters.markdown.sql import (
    AMONG,
    HAS_ID_PART,
    Row,
    Where,
    as_id,
    by_time,
    decode_cursor,
    insert,
    moment,
    page,
)
from hopper.domain.cursors import as_moment, as_urgency
from hopper.domain.errors import Conflict, Invalid
from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.task import Priority, Task, TaskStatus
from hopper.ports.repositories import Page, TaskFilter

if TYPE_CHECKING:
    from hopper.adapters.markdown.session import Session

COLUMNS = """id, title, description, status, priority, project, instance_id, tags, source, source_instance_id,
    parent_task_id, duplicate_of, version, created_at, updated_at,
    (SELECT json_group_array(depends_on_id) FROM task_dependencies d WHERE d.task_id = tasks.id) AS depends_on"""

IN_TRIAGE = "status = 'pending' AND instance_id IS NULL"

READY = """status = 'pending'
    AND NOT EXISTS (SELECT 1 FROM task_dependencies d JOIN tasks needed ON needed.id = d.depends_on_id
                    WHERE d.task_id = tasks.id AND needed.status IN ('pending', 'in_progress'))
    AND NOT EXISTS (SELECT 1 FROM task_dependencies d JOIN broken ON broken.id = d.depends_on_id
                    WHERE d.task_id = tasks.id AND broken.folder = 'tasks')"""
"""What is gone holds up nothing; a task whose file can't be read may still be open."""

_LED_TO = """WITH RECURSIVE above AS (
        SELECT {by} AS id FROM tasks WHERE id = ?
        UNION SELECT t.{by} FROM tasks t JOIN above ON t.id = above.id)
    SELECT id FROM above WHERE id IS NOT NULL"""
"""Where a column that names another task leads, however far."""

_HANGS_ON = """parent_task_id = ?1 OR duplicate_of = ?1
    OR id IN (SELECT task_id FROM task_dependencies WHERE depends_on_id = ?1)"""


def insert_task(connection: sqlite3.Connection, path: str, task: Task) -> None:
    insert(connection, "tasks", {"id": task.id, "path": path, "version": task.version, **_values(task)})
    _depend(connection, task)


def task_at(connection: sqlite3.Connection, path: str) -> Task | None:
    row = connection.execute(f"SELECT {COLUMNS} FROM tasks WHERE path = ?", [path]).fetchone()
    return task_of(row) if row else None


class MarkdownTasks:
    """Implements ports.repositories.TaskRepository."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def add(self, task: Task) -> None:
        await self._require_references([task], [])
        await self._insert(task)

    async def add_many(self, tasks: Sequence[Task]) -> set[TaskId]:
        await self._session.lock()
        firsts = {task.id: task for task in reversed(tasks)}
        added = {id: firsts[id] for id in await self.missing([*firsts])}
        await self._require_references([*added.values()], [*added])
        for task in added.values():
            await self._insert(task)
        return set(added)

    async def _insert(self, task: Task) -> None:
        path = await self._session.new_path(TASKS, task.id)
        try:
            insert_task(self._session.connection, path, task)
        except sqlite3.IntegrityError:
            raise Conflict("There is one with this id already, or another command has just done the same.") from None
        self._session.changes.write(path)
        self._session.changes.mark("task", task.id)

    async def get(self, task_id: TaskId) -> Task:
        row = await self._session.fetchrow(f"SELECT {COLUMNS} FROM tasks WHERE id = ?", task_id)
        if row is None:
            raise await self._session.absent("task", task_id)
        return task_of(row)

    async def get_many(self, task_ids: Sequence[TaskId]) -> tuple[Task, ...]:
        rows = await self._session.fetch(f"SELECT {COLUMNS} FROM tasks WHERE id {AMONG.format('?')}", list(task_ids))
        return tuple(map(task_of, rows))

    async def get_for_update(self, task_id: TaskId) -> Task:
        await self._session.lock()
        return await self.get(task_id)

    async def update(self, task: Task, expected_version: int | None = None) -> Task:
        await self._session.lock()
        before = await self._session.fetchrow(f"SELECT path, {COLUMNS} FROM tasks WHERE id = ?", task.id)
        if before is None or expected_version not in (None, before["version"]):
            await self._session.raise_not_changed("tasks", task.id, expected_version)
        assert before is not None
        old = task_of(before)
        await self._require_references([task], [], old)
        values = {**_values(task), "version": old.version + 1}
        del values["created_at"]
        await self._session.execute(
            f"UPDATE tasks SET {', '.join(f'{name} = ?' for name in values)} WHERE id = ?", *values.values(), task.id
        )
        await self._session.execute("DELETE FROM task_dependencies WHERE task_id = ?", task.id)
        _depend(self._session.connection, task)
        if (old.status, old.instance_id) != (task.status, task.instance_id):
            await self._end_lease(task.id)
        self._session.changes.write(before["path"])
        self._session.changes.mark("task", task.id)
        return replace(task, version=old.version + 1)

    async def delete(self, task_id: TaskId, expected_version: int | None = None) -> None:
        await self._session.lock()
        path = await self._session.fetchval("SELECT path FROM tasks WHERE id = ?", task_id)
        await self._session.delete_versioned("tasks", task_id, expected_version)
        hanging = await self._session.fetch(f"SELECT id, path FROM tasks WHERE {_HANGS_ON}", task_id)
        await self._session.execute(
            f"""UPDATE tasks SET version = version + 1, parent_task_id = nullif(parent_task_id, ?1),
                   duplicate_of = nullif(duplicate_of, ?1) WHERE {_HANGS_ON}""",
            task_id,
        )
        await self._session.execute("DELETE FROM embeddings WHERE kind = 'task' AND id = ?", task_id)
        await self._session.execute("DELETE FROM task_dependencies WHERE ? IN (task_id, depends_on_id)", task_id)
        for table in ("task_delegations", "routing_episodes", "task_feedback", "task_leases"):
            said = await self._session.fetch(f"DELETE FROM {table} WHERE task_id = ? RETURNING path", task_id)
            self._session.changes.write(*(row["path"] for row in said))
        self._session.changes.write(path, *(row["path"] for row in hanging))
        self._session.changes.mark("task", task_id, *(row["id"] for row in hanging))

    async def _end_lease(self, task_id: TaskId) -> None:
        ended = await self._session.fetch("DELETE FROM task_leases WHERE task_id = ? RETURNING path", task_id)
        self._session.changes.write(*(row["path"] for row in ended))

    async def list(self, where: TaskFilter, limit: int, cursor: str | None = None) -> Page[Task]:
        conditions = filtered(where)
        order = by_time(conditions, cursor, "created_at", newest_first=True)
        return await self._page(conditions, order, limit)

    async def triage(self, limit: int, cursor: str | None = None) -> Page[Task]:
        conditions = Where(conditions=[IN_TRIAGE])
        order = by_time(conditions, cursor, "created_at", newest_first=False)
        return await self._page(conditions, order, limit)

    async def ready(self, limit: int, cursor: str | None = None, instance_id: InstanceId | None = None) -> Page[Task]:
        conditions = Where(conditions=[READY])
        conditions.add("instance_id = {}", instance_id)
        if cursor:
            position = decode_cursor(cursor, as_urgency, as_moment, as_id)
            conditions.add("(urgency, created_at, id) > ({}, {}, {})", *position)
        rows = await self._session.fetch(
            f"""SELECT {COLUMNS}, urgency FROM tasks WHERE {conditions}
                ORDER BY urgency, created_at, id LIMIT {limit + 1:d}""",
            *conditions.parameters,
        )
        return page(rows, limit, task_of, "urgency", "created_at")

    async def missing(self, task_ids: Sequence[TaskId]) -> set[TaskId]:
        rows = await self._session.fetch(
            f"""SELECT id FROM tasks WHERE id {AMONG.format("?1")}
                UNION SELECT id FROM broken WHERE folder = 'tasks' AND id {AMONG.format("?1")}""",
            list(task_ids),
        )
        return set(task_ids) - {row["id"] for row in rows}

    async def lock_structure(self) -> None:
        await self._session.lock()

    async def ancestors(self, task_id: TaskId) -> set[TaskId]:
        return _ids(await self._session.fetch(_LED_TO.format(by="parent_task_id"), task_id))

    async def originals(self, task_id: TaskId) -> set[TaskId]:
        return _ids(await self._session.fetch(_LED_TO.format(by="duplicate_of"), task_id))

    async def prerequisites(self, task_ids: Sequence[TaskId]) -> set[TaskId]:
        return _ids(
            await self._session.fetch(
                f"""WITH RECURSIVE needed AS (
                       SELECT depends_on_id AS id FROM task_dependencies WHERE task_id {AMONG.format("?")}
                       UNION SELECT d.depends_on_id FROM task_dependencies d JOIN needed ON d.task_id = needed.id)
                    SELECT id FROM needed""",
                list(task_ids),
            )
        )

    async def open_among(self, task_ids: Sequence[TaskId]) -> tuple[TaskId, ...]:
        rows = await self._session.fetch(
            f"SELECT id FROM tasks WHERE id {AMONG.format('?')} AND status IN ('pending', 'in_progress') ORDER BY id",
            list(task_ids),
        )
        return tuple(row["id"] for row in rows)

    async def _page(self, where: Where, order: str, limit: int) -> Page[Task]:
        rows = await self._session.fetch(
            f"SELECT {COLUMNS} FROM tasks WHERE {where} ORDER BY {order} LIMIT {limit + 1:d}",
            *where.parameters,
        )
        return page(rows, limit, task_of, "created_at")

    async def _require_references(
        self, tasks: Sequence[Task], together: Sequence[TaskId], old: Task | None = None
    ) -> None:
        """Raise Invalid for what a task newly refers to and isn't there. What git has left dangling may stay."""
        for name in ("parent_task_id", "duplicate_of", "depends_on"):
            wanted = _named(name, tasks) - (_named(name, [old]) if old else set()) - set(together)
            absent = await self.missing(sorted(wanted)) if wanted else set()
            if absent:
                raise Invalid(name, f"There is nothing with the id {min(absent)!r}.")
        holders = _named("instance_id", tasks) - (_named("instance_id", [old]) if old else set())
        if holders:
            rows = await self._session.fetch(
                f"SELECT id FROM hopper_instances WHERE id {AMONG.format('?')}", sorted(holders)
            )
            if absent := holders - _ids(rows):
                raise Invalid("instance_id", f"There is nothing with the id {min(absent)!r}.")


def filtered(where: TaskFilter, parameters: Sequence[object] = ()) -> Where:
    """The filter's conditions on the columns of `tasks`; their parameters follow those that there are."""
    name, _, value = (where.tag or "").partition("=")
    conditions = Where(parameters=[*parameters])
    for condition, wanted in (
        (HAS_ID_PART, where.id_part),
        ("status = {}", where.status),
        ("priority = {}", where.priority),
        ("project = {}", where.project),
        ("instance_id = {}", where.instance_id),
        ("source = {}", where.source),
        ("parent_task_id = {}", where.parent_task_id),
        ("(status IN ('pending', 'in_progress')) = {}", where.is_open),
        ("EXISTS (SELECT 1 FROM json_each(tags) WHERE key = {})", name if name and not value else None),
    ):
        conditions.add(condition, wanted)
    if value:
        conditions.add("EXISTS (SELECT 1 FROM json_each(tags) WHERE key = {} AND value = {})", name, value)
    return conditions


def _named(name: str, tasks: Iterable[Task]) -> set[str]:
    """What the tasks refer to in a field."""
    values = (getattr(task, name) for task in tasks)
    return {id for value in values if value for id in (value if isinstance(value, tuple) else (value,))}


def _ids(rows: Iterable[Row]) -> set[str]:
    return {row["id"] for row in rows}


def _depend(connection: sqlite3.Connection, task: Task) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO task_dependencies VALUES (?, ?)", [(task.id, needed) for needed in task.depends_on]
    )


def _values(task: Task) -> dict[str, Any]:
    return {
        "title": task.title,
        "description": task.description,
        "status": task.status,
        "priority": task.priority,
        "project": task.project,
        "instance_id": task.instance_id,
        "tags": task.tags,
        "source": task.source,
        "source_instance_id": task.source_instance_id,
        "parent_task_id": task.parent_task_id,
        "duplicate_of": task.duplicate_of,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
    }


def task_of(row: Row) -> Task:
    return Task(
        id=row["id"],
        title=row["title"],
        description=row["description"],
        status=TaskStatus(row["status"]),
        priority=Priority(row["priority"]) if row["priority"] else None,
        project=row["project"],
        instance_id=row["instance_id"],
        tags=json.loads(tags) if (tags := row["tags"]) != "{}" else {},
        source=row["source"],
        source_instance_id=row["source_instance_id"],
        parent_task_id=row["parent_task_id"],
        duplicate_of=row["duplicate_of"],
        depends_on=tuple(sorted(json.loads(needed))) if (needed := row["depends_on"]) != "[]" else (),
        version=row["version"],
        created_at=moment(row["created_at"]),
        updated_at=moment(row["updated_at"]),
    )
