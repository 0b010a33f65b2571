"""Tasks in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import replace

from hopper.adapters.postgres.bounds import INSIDE
from hopper.adapters.postgres.sql import (
    HAS_ID_PART,
    Changes,
    Connection,
    Row,
    Where,
    by_time,
    decode_cursor,
    delete_versioned,
    page,
    raise_not_changed,
)
from hopper.domain.cursors import as_id, as_moment, as_urgency
from hopper.domain.errors import NotFound
from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.task import Priority, Task, TaskStatus
from hopper.ports.repositories import Page, TaskFilter

COLUMNS = """id, title, description, status, priority, project, instance_id, tags, source, source_instance_id,
    parent_task_id, duplicate_of, version, created_at, updated_at,
    ARRAY(SELECT depends_on_id FROM task_dependencies d WHERE d.task_id = tasks.id ORDER BY 1) AS depends_on"""

IN_TRIAGE = "status = 'pending' AND instance_id IS NULL"
HANDED_TO_NOBODY = """status = 'pending' AND instance_id = current_setting('hopper.root') AND NOT EXISTS (
    SELECT FROM task_delegations d WHERE d.task_id = tasks.id AND d.status IN ('pending', 'accepted'))"""
"""In triage; for a bound key, what was filed where it is bound, and not handed to anyone since."""

READY = """status = 'pending' AND waits_for IS NULL
    AND NOT EXISTS (SELECT FROM task_dependencies d JOIN tasks needed ON needed.id = d.depends_on_id
                    WHERE d.task_id = tasks.id AND needed.status IN ('pending', 'in_progress'))"""
"""`waits_for` names an open dependency, so that the many tasks that wait are out of the index by which the next one is
found. It may be empty although there is an open one, and then the dependencies themselves tell."""

_AN_OPEN_DEPENDENCY = """SELECT needed.id FROM task_dependencies d JOIN tasks needed ON needed.id = d.depends_on_id
    WHERE d.task_id = tasks.id AND needed.status IN ('pending', 'in_progress')
    LIMIT 1 FOR SHARE OF needed SKIP LOCKED"""
"""Held until the end of the transaction, so that it isn't closed before those that wait for it can be seen."""

_LED_TO = """WITH RECURSIVE above AS (
        SELECT {by} AS id FROM tasks WHERE id = $1
        UNION SELECT t.{by} FROM tasks t JOIN above ON t.id = above.id)
    SELECT id FROM above WHERE id IS NOT NULL"""
"""Where a column that names another task leads, however far."""


class PostgresTasks:
    """Implements ports.repositories.TaskRepository."""

    def __init__(self, connection: Connection, changes: Changes, *, is_bound: bool = False) -> None:
        self._connection = connection
        self._changes = changes
        self._is_bound = is_bound

    async def add(self, task: Task) -> None:
        await self._connection.execute(
            """INSERT INTO tasks (id, title, description, status, priority, project, instance_id, tags, source,
                   source_instance_id, parent_task_id, duplicate_of, version, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)""",
            *_values(task),
        )
        if task.depends_on:
            await self._depend([task])
        self._changes.mark("task", task.id)

    async def add_many(self, tasks: Sequence[Task]) -> set[TaskId]:
        firsts = {task.id: task for task in reversed(tasks)}
        if not firsts:
            return set()
        rows = await self._connection.fetch(
            """INSERT INTO tasks (id, title, description, status, priority, project, instance_id, tags, source,
                   source_instance_id, parent_task_id, duplicate_of, version, created_at, updated_at)
               SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                   $7::text[], $8::jsonb[], $9::text[], $10::text[], $11::text[], $12::text[], $13::int[],
                   $14::timestamptz[], $15::timestamptz[])
               ON CONFLICT (id) DO NOTHING RETURNING id""",
            *map(list, zip(*map(_values, firsts.values()), strict=True)),
        )
        added = {row["id"] for row in rows}
        await self._depend([task for id, task in firsts.items() if task.depends_on and id in added])
        self._changes.mark("task", *added)
        return added

    async def get(self, task_id: TaskId) -> Task:
        return _found(await self._connection.fetchrow(f"SELECT {COLUMNS} FROM tasks WHERE id = $1", task_id), task_id)

    async def get_many(self, task_ids: Sequence[TaskId]) -> tuple[Task, ...]:
        rows = await self._connection.fetch(f"SELECT {COLUMNS} FROM tasks WHERE id = ANY($1::text[])", list(task_ids))
        return tuple(map(task_of, rows))

    async def get_for_update(self, task_id: TaskId) -> Task:
        # Two statements: one that waits for the lock would still read the dependencies as they were before it
        # waited. NO KEY: whoever only refers to the task, such as its vector, needn't wait.
        await self._connection.execute("SELECT FROM tasks WHERE id = $1 FOR NO KEY UPDATE", task_id)
        return await self.get(task_id)

    async def update(self, task: Task, expected_version: int | None = None) -> Task:
        version = await self._connection.fetchval(
            """WITH changed AS (
                   UPDATE tasks SET title = $2, description = $3, status = $4, priority = $5, project = $6,
                       instance_id = $7, tags = $8, source = $9, source_instance_id = $10, parent_task_id = $11,
                       duplicate_of = $12, version = version + 1, updated_at = $13,
                       waits_for = CASE WHEN waits_for = ANY($15::text[]) THEN waits_for END
                   WHERE id = $1 AND ($14::int IS NULL OR version = $14) RETURNING version),
               dropped AS (
                   DELETE FROM task_dependencies
                   WHERE task_id = $1 AND depends_on_id <> ALL($15::text[]) AND EXISTS (SELECT FROM changed)),
               ended AS (
                   DELETE FROM task_leases USING tasks before
                   WHERE task_id = $1 AND before.id = $1 AND EXISTS (SELECT FROM changed)
                       AND (before.status <> $4 OR before.instance_id IS DISTINCT FROM $7))
               SELECT version FROM changed""",
            *_values(task)[:12],
            task.updated_at,
            expected_version,
            list(task.depends_on),
        )
        if version is None:
            await raise_not_changed(self._connection, "tasks", "task", task.id, expected_version)
        if task.depends_on:
            await self._depend([task])
        if not task.status.is_open:
            await self._wait("waits_for = $1", task.id)
        self._changes.mark("task", task.id)
        return replace(task, version=version)

    async def delete(self, task_id: TaskId, expected_version: int | None = None) -> None:
        # Those that refer to the task change with it; locked in one order, so that deletions can't wait in a ring.
        await self._connection.execute(
            """SELECT FROM tasks WHERE id = $1 OR parent_task_id = $1 OR duplicate_of = $1
                   OR id IN (SELECT task_id FROM task_dependencies WHERE depends_on_id = $1)
               ORDER BY id FOR UPDATE""",
            task_id,
        )
        changed = await self._connection.fetch(
            """UPDATE tasks SET version = version + 1,
                   parent_task_id = CASE WHEN parent_task_id = $1 THEN NULL ELSE parent_task_id END,
                   duplicate_of = CASE WHEN duplicate_of = $1 THEN NULL ELSE duplicate_of END
               WHERE (parent_task_id = $1 OR duplicate_of = $1
                       OR id IN (SELECT task_id FROM task_dependencies WHERE depends_on_id = $1))
                   AND EXISTS (SELECT FROM tasks WHERE id = $1 AND ($2::int IS NULL OR version = $2))
               RETURNING id""",
            task_id,
            expected_version,
        )
        await delete_versioned(self._connection, "tasks", "task", task_id, expected_version)
        self._changes.mark("task", task_id, *(row["id"] for row in changed))

    async def list(self, where: TaskFilter, limit: int, cursor: str | None = None) -> Page[Task]:
        conditions = filtered(where)
        order = by_time(conditions, cursor, "created_at", newest_first=True)
        return await self._page(conditions, order, limit)

    async def triage(self, limit: int, cursor: str | None = None) -> Page[Task]:
        conditions = Where(conditions=[HANDED_TO_NOBODY if self._is_bound else IN_TRIAGE])
        order = by_time(conditions, cursor, "created_at", newest_first=False)
        return await self._page(conditions, order, limit)

    async def ready(self, limit: int, cursor: str | None = None, instance_id: InstanceId | None = None) -> Page[Task]:
        conditions = Where(conditions=[READY])
        conditions.add("instance_id = {}", instance_id)
        if cursor:
            position = decode_cursor(cursor, as_urgency, as_moment, as_id)
            conditions.add("(urgency, created_at, id) > ({}, {}, {})", *position)
        rows = await self._connection.fetch(
            f"""SELECT {COLUMNS}, urgency FROM tasks WHERE {conditions}
                ORDER BY urgency, created_at, id LIMIT {limit + 1:d}""",
            *conditions.parameters,
        )
        return page(rows, limit, task_of, "urgency", "created_at")

    async def missing(self, task_ids: Sequence[TaskId]) -> set[TaskId]:
        inside = f"instance_id {INSIDE}" if self._is_bound else "true"
        rows = await self._connection.fetch(
            f"SELECT id FROM tasks WHERE id = ANY($1::text[]) AND {inside}", list(task_ids)
        )
        return set(task_ids) - {row["id"] for row in rows}

    async def lock_structure(self) -> None:
        await self._connection.execute("SELECT pg_advisory_xact_lock(hashtext('tasks.structure'))")

    async def ancestors(self, task_id: TaskId) -> set[TaskId]:
        rows = await self._connection.fetch(_LED_TO.format(by="parent_task_id"), task_id)
        return {row["id"] for row in rows}

    async def originals(self, task_id: TaskId) -> set[TaskId]:
        rows = await self._connection.fetch(_LED_TO.format(by="duplicate_of"), task_id)
        return {row["id"] for row in rows}

    async def prerequisites(self, task_ids: Sequence[TaskId]) -> set[TaskId]:
        rows = await self._connection.fetch(
            """WITH RECURSIVE needed AS (
                   SELECT depends_on_id AS id FROM task_dependencies WHERE task_id = ANY($1::text[])
                   UNION SELECT d.depends_on_id FROM task_dependencies d JOIN needed ON d.task_id = needed.id)
               SELECT id FROM needed""",
            list(task_ids),
        )
        return {row["id"] for row in rows}

    async def open_among(self, task_ids: Sequence[TaskId]) -> tuple[TaskId, ...]:
        rows = await self._connection.fetch(
            """SELECT id FROM tasks WHERE id = ANY($1::text[]) AND status IN ('pending', 'in_progress')
               ORDER BY id""",
            list(task_ids),
        )
        return tuple(row["id"] for row in rows)

    async def _depend(self, tasks: Sequence[Task]) -> None:
        pairs = [(task.id, needed) for task in tasks for needed in task.depends_on]
        if pairs:
            await self._connection.execute(
                "INSERT INTO task_dependencies SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING",
                *map(list, zip(*pairs, strict=True)),
            )
            await self._wait("waits_for IS NULL AND id = ANY($1::text[])", [task.id for task in tasks])

    async def _wait(self, condition: str, about: object) -> None:
        """Have these tasks wait for an open dependency; for none where there is none, or none that can be held."""
        await self._connection.execute(f"UPDATE tasks SET waits_for = ({_AN_OPEN_DEPENDENCY}) WHERE {condition}", about)

    async def _page(self, where: Where, order: str, limit: int) -> Page[Task]:
        rows = await self._connection.fetch(
            f"SELECT {COLUMNS} FROM tasks WHERE {where} ORDER BY {order} LIMIT {limit + 1:d}",
            *where.parameters,
        )
        return page(rows, limit, task_of, "created_at")


def _conditions(where: TaskFilter) -> list[tuple[str, object]]:
    name, _, value = (where.tag or "").partition("=")
    return [
        (HAS_ID_PART, where.id_part),
        ("status = {}", where.status),
        ("priority = {}", where.priority),
        ("project = {}", where.project),
        ("instance_id = {}", where.instance_id),
        ("source = {}", where.source),
        ("parent_task_id = {}", where.parent_task_id),
        ("(status IN ('pending', 'in_progress')) = {}", where.is_open),
        ("tags ? {}::text", name if name and not value else None),
        ("tags @> {}", {name: value} if value else None),
    ]


def filtered(where: TaskFilter, parameters: Sequence[object] = ()) -> Where:
    """The filter's conditions on the columns of `tasks`; their parameters follow those that there are."""
    conditions = Where(parameters=[*parameters])
    for condition, value in _conditions(where):
        conditions.add(condition, value)
    return conditions


def _found(row: Row | None, task_id: TaskId) -> Task:
    if row is None:
        raise NotFound("task", task_id)
    return task_of(row)


def _values(task: Task) -> tuple[object, ...]:
    return (
        task.id,
        task.title,
        task.description,
        task.status,
        task.priority,
        task.project,
        task.instance_id,
        task.tags,
        task.source,
        task.source_instance_id,
        task.parent_task_id,
        task.duplicate_of,
        task.version,
        task.created_at,
        task.updated_at,
    )


def task_of(row: Row) -> Task:
    return Task(
        id=row["id"],
        title=row["title"],
        description=row["description"],
        status=TaskStatus(row["status"]),
        priority=Priority(row["priority"]) if row["priority"] else None,
        project=row["project"],
        instance_id=row["instance_id"],
        tags=row["tags"],
        source=row["source"],
        source_instance_id=row["source_instance_id"],
        parent_task_id=row["parent_task_id"],
        duplicate_of=row["duplicate_of"],
        depends_on=tuple(row["depends_on"]),
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
