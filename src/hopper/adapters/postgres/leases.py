"""Leases in PostgreSQL: handing out tasks, each to one worker at a time."""

from datetime import timedelta

from hopper.adapters.postgres.sql import Changes, Connection, Row, Where
from hopper.adapters.postgres.tasks import READY, PostgresTasks
from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.lease import Claim, HeldLease

_COLUMNS = """task_id, instance_id, token, worker, acquired_at, expires_at, returned_at, reason,
    returned_at IS NULL AND expires_at > now() AS live"""

_RUN_OUT = "returned_at IS NULL AND expires_at <= now()"

_NEXT = f"""SELECT id FROM tasks WHERE instance_id = $1 AND {READY}
    ORDER BY urgency, created_at, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED"""

_TAKE = f"""WITH started AS (
        UPDATE tasks SET status = 'in_progress', version = version + 1, updated_at = now()
        WHERE id = $1 AND {READY} RETURNING id, instance_id),
    accepted AS (
        UPDATE task_delegations d SET status = 'accepted' FROM started
        WHERE d.task_id = started.id AND d.status = 'pending' RETURNING d.task_id)
    INSERT INTO task_leases (task_id, instance_id, token, worker, expires_at)
    SELECT id, instance_id, $2, $3, now() + $4 FROM started
    ON CONFLICT (task_id) DO UPDATE SET instance_id = excluded.instance_id, token = excluded.token,
        worker = excluded.worker, acquired_at = now(), expires_at = excluded.expires_at, returned_at = NULL,
        reason = NULL
    RETURNING {_COLUMNS}, EXISTS (SELECT FROM accepted) AS accepted"""

_GIVE_BACK = """WITH returned AS (
        UPDATE task_leases SET returned_at = now(), reason = $2 WHERE task_id = $1 AND {condition} RETURNING task_id)
    UPDATE tasks SET status = 'pending', version = version + 1, updated_at = now()
    FROM returned WHERE tasks.id = returned.task_id RETURNING tasks.id"""


class PostgresLeases:
    """Implements ports.repositories.LeaseRepository.

    A task is locked by one statement and looked at again by the next: between a statement's snapshot and its lock,
    others may have changed what the task waits for, or prolonged its lease.
    """

    def __init__(self, connection: Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes
        self._tasks = PostgresTasks(connection, changes)

    async def claim(self, instance_id: InstanceId, token: str, worker: str | None, duration: timedelta) -> Claim | None:
        while task_id := await self._connection.fetchval(_NEXT, instance_id):
            if row := await self._connection.fetchrow(_TAKE, task_id, token, worker, duration):
                self._changes.mark("task", task_id)
                if row["accepted"]:
                    self._changes.mark("delegation", task_id)
                return await self._claim(row)
        return None

    async def claimed_with(self, token: str) -> Claim | None:
        row = await self._connection.fetchrow(f"SELECT {_COLUMNS} FROM task_leases WHERE token = $1", token)
        return await self._claim(row) if row and row["live"] else None

    async def find(self, task_id: TaskId) -> HeldLease | None:
        row = await self._connection.fetchrow(f"SELECT {_COLUMNS} FROM task_leases WHERE task_id = $1", task_id)
        return _lease(row) if row else None

    async def extend(self, task_id: TaskId, duration: timedelta) -> HeldLease:
        row = await self._connection.fetchrow(
            f"UPDATE task_leases SET expires_at = now() + $2 WHERE task_id = $1 RETURNING {_COLUMNS}", task_id, duration
        )
        return _lease(row)

    async def release(self, task_id: TaskId, reason: str | None) -> None:
        await self._connection.execute(_GIVE_BACK.format(condition="returned_at IS NULL"), task_id, reason)
        self._changes.mark("task", task_id)

    async def expire_next(self, instance_id: InstanceId | None = None) -> TaskId | None:
        where = Where(conditions=[_RUN_OUT])
        where.add("leases.instance_id = {}", instance_id)
        next_one = f"""SELECT tasks.id FROM task_leases leases JOIN tasks ON tasks.id = leases.task_id WHERE {where}
            ORDER BY urgency, created_at, tasks.id LIMIT 1 FOR NO KEY UPDATE OF tasks SKIP LOCKED"""
        while task_id := await self._connection.fetchval(next_one, *where.parameters):
            if await self._connection.fetchval(_GIVE_BACK.format(condition=_RUN_OUT), task_id, None):
                self._changes.mark("task", task_id)
                return str(task_id)
        return None

    async def _claim(self, row: Row) -> Claim:
        return Claim(task=await self._tasks.get(row["task_id"]), lease=_lease(row).shown(), token=row["token"])


def _lease(row: Row) -> HeldLease:
    return HeldLease(
        task_id=row["task_id"],
        instance_id=row["instance_id"],
        token=row["token"],
        worker=row["worker"],
        acquired_at=row["acquired_at"],
        expires_at=row["expires_at"],
        returned_at=row["returned_at"],
        reason=row["reason"],
        live=row["live"],
    )
