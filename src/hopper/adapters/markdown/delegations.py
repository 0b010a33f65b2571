"""Delegations in the index, and the files that they come from: one a task."""

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hopper.adapters.markdown.layout import DELEGATIONS, path_of
from hopper.adapters.markdown.sql import Row, Where, by_time, insert, moment, page
from hopper.domain.delegation import Delegation, DelegationStatus, DelegationType
from hopper.domain.errors import Conflict, Invalid, NotFound
from hopper.domain.ids import DelegationId, InstanceId, TaskId
from hopper.ports.repositories import Page

if TYPE_CHECKING:
    from hopper.adapters.markdown.session import Session

_COLUMNS = """id, task_id, episode_id, source_instance_id, target_instance_id, delegation_type, status, delegated_at,
    completed_at, expired_leases"""

_TASK_IS_THERE = "task_id IN (SELECT id FROM tasks)"
"""The delegations of a task whose file is gone stay on the disk, for the case that git brings it back."""


def insert_delegations(connection: sqlite3.Connection, path: str, delegations: tuple[Delegation, ...]) -> None:
    for one in delegations:
        insert(
            connection,
            "task_delegations",
            {
                "id": one.id,
                "path": path,
                "task_id": one.task_id,
                "episode_id": one.episode_id,
                "source_instance_id": one.source_instance_id,
                "target_instance_id": one.target_instance_id,
                "delegation_type": one.delegation_type,
                "status": one.status,
                "delegated_at": one.delegated_at,
                "completed_at": one.completed_at,
                "expired_leases": one.expired_leases,
            },
        )


def delegations_at(connection: sqlite3.Connection, path: str) -> tuple[Delegation, ...]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM task_delegations WHERE path = ? ORDER BY rowid", [path])
    return tuple(map(_delegation, rows))


class MarkdownDelegations:
    """Implements ports.repositories.DelegationRepository."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def add(self, delegation: Delegation) -> None:
        await self._session.lock()
        await self._require_references(delegation)
        path = path_of(DELEGATIONS, delegation.task_id)
        try:
            insert_delegations(self._session.connection, path, (delegation,))
        except sqlite3.IntegrityError:
            raise Conflict("There is one with this id already.") from None
        self._session.changes.write(path)
        self._session.changes.mark("delegation", delegation.task_id)

    async def get_for_update(self, delegation_id: DelegationId) -> Delegation:
        await self._session.lock()
        row = await self._session.fetchrow(
            f"SELECT {_COLUMNS} FROM task_delegations WHERE id = ? AND {_TASK_IS_THERE}", delegation_id
        )
        if row is None:
            raise NotFound("delegation", delegation_id)
        return _delegation(row)

    async def missing(self, delegation_ids: Sequence[DelegationId]) -> set[DelegationId]:
        there = {
            id
            for id in delegation_ids
            if await self._session.fetchval(f"SELECT 1 FROM task_delegations WHERE id = ? AND {_TASK_IS_THERE}", id)
        }
        return set(delegation_ids) - there

    async def update(self, delegation: Delegation) -> None:
        await self._session.lock()
        await self._require_only_live(delegation)
        rows = await self._session.fetch(
            """UPDATE task_delegations SET status = ?, completed_at = ?, expired_leases = ? WHERE id = ?
               RETURNING path""",
            delegation.status,
            delegation.completed_at,
            delegation.expired_leases,
            delegation.id,
        )
        self._session.changes.write(*(row["path"] for row in rows))
        self._session.changes.mark("delegation", delegation.task_id)

    async def live(self, task_id: TaskId) -> Delegation | None:
        row = await self._session.fetchrow(
            f"""SELECT {_COLUMNS} FROM task_delegations
                WHERE task_id = ? AND status IN ('pending', 'accepted') AND {_TASK_IS_THERE}""",
            task_id,
        )
        return _delegation(row) if row else None

    async def of_task(self, task_id: TaskId) -> tuple[Delegation, ...]:
        rows = await self._session.fetch(
            f"""SELECT {_COLUMNS} FROM task_delegations WHERE task_id = ? AND {_TASK_IS_THERE}
                ORDER BY delegated_at, id""",
            task_id,
        )
        return tuple(map(_delegation, rows))

    async def to_instance(
        self,
        instance_id: InstanceId,
        limit: int,
        cursor: str | None = None,
        status: DelegationStatus | None = None,
    ) -> Page[Delegation]:
        where = Where(conditions=[_TASK_IS_THERE])
        where.add("target_instance_id = {}", instance_id)
        where.add("status = {}", status)
        order = by_time(where, cursor, "delegated_at", newest_first=True)
        rows = await self._session.fetch(
            f"SELECT {_COLUMNS} FROM task_delegations WHERE {where} ORDER BY {order} LIMIT {limit + 1:d}",
            *where.parameters,
        )
        return page(rows, limit, _delegation, "delegated_at")

    async def _require_references(self, delegation: Delegation) -> None:
        for name, table in (
            ("task_id", "tasks"),
            ("source_instance_id", "hopper_instances"),
            ("target_instance_id", "hopper_instances"),
        ):
            id = getattr(delegation, name)
            if id and not await self._session.fetchval(f"SELECT 1 FROM {table} WHERE id = ?", id):
                raise Invalid(name, f"There is nothing with the id {id!r}.")
        await self._require_only_live(delegation)

    async def _require_only_live(self, delegation: Delegation) -> None:
        live = await self.live(delegation.task_id) if delegation.status.is_live else None
        if live and live.id != delegation.id:
            raise Conflict(f"The task {delegation.task_id!r} is delegated to somebody already.")


def _delegation(row: Row) -> Delegation:
    return Delegation(
        id=row["id"],
        task_id=row["task_id"],
        episode_id=row["episode_id"],
        source_instance_id=row["source_instance_id"],
        target_instance_id=row["target_instance_id"],
        delegation_type=DelegationType(row["delegation_type"]),
        status=DelegationStatus(row["status"]),
        delegated_at=moment(row["delegated_at"]),
        completed_at=moment(row["completed_at"]),
        expired_leases=row["expired_leases"],
    )
