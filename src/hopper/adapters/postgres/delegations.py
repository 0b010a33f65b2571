"""Delegations in PostgreSQL."""

from collections.abc import Sequence

from hopper.adapters.postgres.sql import Changes, Connection, Row, Where, by_time, page
from hopper.domain.delegation import Delegation, DelegationStatus, DelegationType
from hopper.domain.errors import NotFound
from hopper.domain.ids import DelegationId, InstanceId, TaskId
from hopper.ports.repositories import Page

_COLUMNS = """id, task_id, episode_id, source_instance_id, target_instance_id, delegation_type, status, delegated_at,
    completed_at, expired_leases"""


class PostgresDelegations:
    """Implements ports.repositories.DelegationRepository."""

    def __init__(self, connection: Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    async def add(self, delegation: Delegation) -> None:
        await self._connection.execute(
            f"INSERT INTO task_delegations ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            delegation.id,
            delegation.task_id,
            delegation.episode_id,
            delegation.source_instance_id,
            delegation.target_instance_id,
            delegation.delegation_type,
            delegation.status,
            delegation.delegated_at,
            delegation.completed_at,
            delegation.expired_leases,
        )
        self._changes.mark("delegation", delegation.task_id)

    async def get_for_update(self, delegation_id: DelegationId) -> Delegation:
        # The task is locked first, as everywhere, so that two requests can't wait for each other.
        await self._connection.execute(
            """SELECT FROM tasks WHERE id = (SELECT task_id FROM task_delegations WHERE id = $1) FOR NO KEY UPDATE""",
            delegation_id,
        )
        row = await self._connection.fetchrow(
            f"SELECT {_COLUMNS} FROM task_delegations WHERE id = $1 FOR NO KEY UPDATE", delegation_id
        )
        if row is None:
            raise NotFound("delegation", delegation_id)
        return _delegation(row)

    async def missing(self, delegation_ids: Sequence[DelegationId]) -> set[DelegationId]:
        rows = await self._connection.fetch(
            "SELECT id FROM task_delegations WHERE id = ANY($1::text[])", list(delegation_ids)
        )
        return set(delegation_ids) - {row["id"] for row in rows}

    async def update(self, delegation: Delegation) -> None:
        await self._connection.execute(
            "UPDATE task_delegations SET status = $2, completed_at = $3, expired_leases = $4 WHERE id = $1",
            delegation.id,
            delegation.status,
            delegation.completed_at,
            delegation.expired_leases,
        )
        self._changes.mark("delegation", delegation.task_id)

    async def live(self, task_id: TaskId) -> Delegation | None:
        row = await self._connection.fetchrow(
            f"SELECT {_COLUMNS} FROM task_delegations WHERE task_id = $1 AND status IN ('pending', 'accepted')",
            task_id,
        )
        return _delegation(row) if row else None

    async def of_task(self, task_id: TaskId) -> tuple[Delegation, ...]:
        rows = await self._connection.fetch(
            f"SELECT {_COLUMNS} FROM task_delegations WHERE task_id = $1 ORDER BY delegated_at, id", task_id
        )
        return tuple(map(_delegation, rows))

    async def to_instance(
        self,
        instance_id: InstanceId,
        limit: int,
        cursor: str | None = None,
        status: DelegationStatus | None = None,
    ) -> Page[Delegation]:
        where = Where()
        where.add("target_instance_id = {}", instance_id)
        where.add("status = {}", status)
        order = by_time(where, cursor, "delegated_at", newest_first=True)
        rows = await self._connection.fetch(
            f"SELECT {_COLUMNS} FROM task_delegations WHERE {where} ORDER BY {order} LIMIT {limit + 1:d}",
            *where.parameters,
        )
        return page(rows, limit, _delegation, "delegated_at")


def _delegation(row: Row) -> Delegation:
    return Delegation(
        id=row["id"],
        task_id=row["task_id"],
        episode_id=row["episode_id"],
        source_instance_id=row["source_instance_id"],
        target_instance_id=row["target_instance_id"],
        delegation_type=DelegationType(row["delegation_type"]),
        status=DelegationStatus(row["status"]),
        delegated_at=row["delegated_at"],
        completed_at=row["completed_at"],
        expired_leases=row["expired_leases"],
    )
