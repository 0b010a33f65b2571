"""Removing what is old, in PostgreSQL."""

from collections.abc import Mapping
from datetime import datetime

from hopper.adapters.postgres.sql import Connection
from hopper.ports.retention import Expiry

LOGS = {"sync_log": "synced_at", "audit_log": "at"}
"""The logs, and the column that tells an entry's age."""

_EXPIRED = """greatest(e.routed_at, e.completed_at, e.corrected_at) < $1 AND NOT EXISTS (
    SELECT FROM tasks t WHERE t.id = e.task_id AND t.status IN ('pending', 'in_progress'))"""
"""Nothing has been heard of the decision for so long, and its task isn't open."""


class PostgresRetention:
    """Implements ports.retention.RetentionRepository. Vectors of episodes go with them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def expired(self, expiry: Expiry) -> Mapping[str, int]:
        found: dict[str, int] = {}
        if expiry.episodes:
            found["episodes"] = await self._connection.fetchval(
                f"SELECT count(*) FROM routing_episodes e WHERE {_EXPIRED}", expiry.episodes
            )
        if expiry.logs:
            for table, moment in LOGS.items():
                found[table] = await self._connection.fetchval(
                    f"SELECT count(*) FROM {table} WHERE {moment} < $1", expiry.logs
                )
        return found

    async def remove_episodes(self, before: datetime, after: str, limit: int) -> tuple[int, str | None]:
        # By their ids, which lead once through all of them: what stays isn't looked at again in the next batch.
        last = await self._connection.fetchval(
            "SELECT max(id) FROM (SELECT id FROM routing_episodes WHERE id > $1 ORDER BY id LIMIT $2) AS next",
            after,
            limit,
        )
        if last is None:
            return 0, None
        status: str = await self._connection.execute(
            f"""DELETE FROM routing_episodes WHERE id = ANY(ARRAY(
                    SELECT e.id FROM routing_episodes e WHERE e.id > $2 AND e.id <= $3 AND {_EXPIRED}
                    ORDER BY e.id FOR UPDATE OF e SKIP LOCKED))""",
            before,
            after,
            last,
        )
        return int(status.rpartition(" ")[2]), last

    async def remove_logs(self, before: datetime, limit: int) -> Mapping[str, int]:
        removed = {}
        for table, moment in LOGS.items():
            status: str = await self._connection.execute(
                f"""DELETE FROM {table} WHERE ctid = ANY(ARRAY(
                        SELECT ctid FROM {table} WHERE {moment} < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))""",
                before,
                limit,
            )
            removed[table] = int(status.rpartition(" ")[2])
        return removed
