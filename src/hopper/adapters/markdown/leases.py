"""Leases in the index, and the files that they come from: this machine's own, which git doesn't look at."""

import sqlite3
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hopper.adapters.markdown.layout import LEASES, path_of
from hopper.adapters.markdown.sql import Row, Where, insert, moment
from hopper.adapters.markdown.tasks import COLUMNS, READY, task_of
from hopper.domain.errors import Conflict
from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.lease import Claim, HeldLease, Lease

if TYPE_CHECKING:
    from hopper.adapters.markdown.session import Session

_TASK_IS_THERE = "task_id IN (SELECT id FROM tasks)"


def insert_lease(connection: sqlite3.Connection, path: str, held: tuple[Lease, str]) -> None:
    lease, token = held
    insert(connection, "task_leases", {"path": path, "token": token, **asdict(lease)})


def lease_at(connection: sqlite3.Connection, path: str) -> tuple[Lease, str] | None:
    row = connection.execute("SELECT * FROM task_leases WHERE path = ?", [path]).fetchone()
    return (Lease(**{name: _field(row, name) for name in _FIELDS}), row["token"]) if row else None


class MarkdownLeases:
    """Implements ports.repositories.LeaseRepository. The store's time is this machine's."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def claim(self, instance_id: InstanceId, token: str, worker: str | None, duration: timedelta) -> Claim | None:
        await self._session.lock()
        row = await self._session.fetchrow(
            f"""SELECT id, path FROM tasks WHERE instance_id = ? AND {READY}
                ORDER BY urgency, created_at, id LIMIT 1""",
            instance_id,
        )
        if row is None:
            return None
        if await self._session.fetchval("SELECT 1 FROM task_leases WHERE token = ?", token):
            raise Conflict("This token was given to a lease already. Use a new one for each claim.")
        now, task_id = self._session.now, row["id"]
        await self._restate(task_id, "in_progress", now)
        accepted = await self._session.fetch(
            "UPDATE task_delegations SET status = 'accepted' WHERE task_id = ? AND status = 'pending' RETURNING path",
            task_id,
        )
        if accepted:
            self._session.changes.write(*(one["path"] for one in accepted))
            self._session.changes.mark("delegation", task_id)
        await self._session.execute("DELETE FROM task_leases WHERE task_id = ?", task_id)
        lease = Lease(
            task_id=task_id, instance_id=instance_id, worker=worker, acquired_at=now, expires_at=now + duration
        )
        path = path_of(LEASES, task_id)
        insert_lease(self._session.connection, path, (lease, token))
        self._session.changes.write(path)
        return await self._claim(lease, token)

    async def claimed_with(self, token: str) -> Claim | None:
        row = await self._session.fetchrow(f"SELECT * FROM task_leases WHERE token = ? AND {_TASK_IS_THERE}", token)
        held = _lease(row, self._session.now) if row else None
        return await self._claim(held.shown(), held.token) if held and held.live else None

    async def find(self, task_id: TaskId) -> HeldLease | None:
        row = await self._session.fetchrow(f"SELECT * FROM task_leases WHERE task_id = ? AND {_TASK_IS_THERE}", task_id)
        return _lease(row, self._session.now) if row else None

    async def extend(self, task_id: TaskId, duration: timedelta) -> HeldLease:
        await self._session.lock()
        [row] = await self._session.fetch(
            "UPDATE task_leases SET expires_at = ? WHERE task_id = ? RETURNING *",
            self._session.now + duration,
            task_id,
        )
        self._session.changes.write(row["path"])
        return _lease(row, self._session.now)

    async def release(self, task_id: TaskId, reason: str | None) -> None:
        await self._session.lock()
        await self._give_back(task_id, reason)

    async def expire_next(self, instance_id: InstanceId | None = None) -> TaskId | None:
        where = Where(conditions=["returned_at IS NULL"])
        where.add("expires_at <= {}", self._session.now)
        where.add("leases.instance_id = {}", instance_id)
        statement = f"""SELECT tasks.id FROM task_leases leases JOIN tasks ON tasks.id = leases.task_id WHERE {where}
            ORDER BY urgency, created_at, tasks.id LIMIT 1"""
        if not await self._session.fetchval(statement, *where.parameters):
            return None  # without a lock: nearly always
        await self._session.lock()
        task_id: TaskId | None = await self._session.fetchval(statement, *where.parameters)
        if task_id:
            await self._give_back(task_id, None)
        return task_id

    async def _give_back(self, task_id: TaskId, reason: str | None) -> None:
        now = self._session.now
        returned = await self._session.fetch(
            """UPDATE task_leases SET returned_at = ?, reason = ? WHERE task_id = ? AND returned_at IS NULL
               RETURNING path""",
            now,
            reason,
            task_id,
        )
        if returned:
            self._session.changes.write(*(row["path"] for row in returned))
            await self._restate(task_id, "pending", now)

    async def _restate(self, task_id: TaskId, status: str, now: datetime) -> None:
        rows = await self._session.fetch(
            "UPDATE tasks SET status = ?, version = version + 1, updated_at = ? WHERE id = ? RETURNING path",
            status,
            now,
            task_id,
        )
        self._session.changes.write(*(row["path"] for row in rows))
        self._session.changes.mark("task", task_id)

    async def _claim(self, lease: Lease, token: str) -> Claim:
        [row] = await self._session.fetch(f"SELECT {COLUMNS} FROM tasks WHERE id = ?", lease.task_id)
        return Claim(task=task_of(row), lease=lease, token=token)


_FIELDS = [field.name for field in fields(Lease)]


def _field(row: Row, name: str) -> Any:
    return moment(row[name]) if name.endswith("_at") else row[name]


def _lease(row: Row, now: datetime) -> HeldLease:
    lease = {name: _field(row, name) for name in _FIELDS}
    live = lease["returned_at"] is None and lease["expires_at"] > now
    return HeldLease(**lease, token=row["token"], live=live)
