"""The projection queue in PostgreSQL."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from hopper.adapters.postgres.access import NOTE, Noted
from hopper.adapters.postgres.sql import Connection
from hopper.ports.queue import Backlog, Dirty

_UNCHANGED = """SELECT q.ctid FROM projection_queue q
    JOIN unnest($2::text[], $3::text[], $4::int[], $5::timestamptz[]) AS item(type, id, version, enqueued_at)
        ON q.projection = $1 AND q.entity_type = item.type AND q.entity_id = item.id AND q.version = item.version
            AND q.enqueued_at = item.enqueued_at
    ORDER BY q.entity_type COLLATE "C", q.entity_id COLLATE "C" FOR UPDATE OF q"""
"""The rows that didn't change since they were claimed, locked in the order in which writers lock them.

By their time as well: one that was taken off and put on again begins to count anew.
"""


COUNT_CHANGE = "UPDATE graph_changes SET changes = changes + 1 WHERE stripe = pg_backend_pid() % 64"

FORGET = """DELETE FROM projection_queue WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM projection_queue WHERE projection = $1
    ORDER BY entity_type COLLATE "C", entity_id COLLATE "C" FOR UPDATE))"""
"""What waits for a projection goes, locked in the order in which writers lock it."""


class PostgresQueue:
    """Implements ports.queue.ProjectionQueue.

    A claim doesn't hold row locks while the work is done (a writer that changes the same entity would have to
    wait for the projection): it moves `not_before` past the lease instead.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def enqueue(self, rows: Collection[tuple[str, str, str]]) -> int:
        return await self.enqueue_and_note(rows, ())

    async def enqueue_and_note(self, rows: Collection[tuple[str, str, str]], noted: Sequence[Noted]) -> int:
        """The same, and store in the audit log what was noted, both in one statement: every commit waits for it."""
        if not rows and not noted:
            return 0
        # In sorted order, so that writers can't deadlock. What waits keeps its place: what changes all the time
        # would never have its turn. An earlier failure says nothing of the try that is asked for now. Not joined, which
        # could change the order.
        # What answers about the graph may be older than is counted in the same transaction.
        status: str = await self._connection.execute(
            f"""WITH counted AS ({COUNT_CHANGE} AND 'graph' = ANY($1::text[])), noted AS ({NOTE})
               INSERT INTO projection_queue (projection, entity_type, entity_id)
               SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS dirty(projection)
               WHERE projection = ANY(ARRAY(
                   SELECT projection::text FROM projections WHERE followed_since IS NOT NULL))
               ON CONFLICT (projection, entity_type, entity_id) DO UPDATE
               SET version = projection_queue.version + 1, enqueued_at = now(), attempts = 0, last_error = NULL,
                   not_before = least(projection_queue.not_before, now())""",
            *_columns(sorted(rows), 3),
            *_columns(noted, 6),
        )
        return int(status.rpartition(" ")[2])

    async def claim(self, projection: str, limit: int, lease: timedelta) -> tuple[Dirty, ...]:
        # By ctid: a join would be planned badly while the queue grows faster than its statistics.
        rows = await self._connection.fetch(
            """UPDATE projection_queue SET not_before = now() + $3, attempts = attempts + 1
               WHERE ctid = ANY(ARRAY(
                   SELECT ctid FROM projection_queue WHERE projection = $1 AND not_before <= now()
                   ORDER BY not_before LIMIT $2 FOR UPDATE SKIP LOCKED))
               RETURNING entity_type, entity_id, version, attempts, enqueued_at""",
            projection,
            limit,
            lease,
        )
        return tuple(Dirty(*row) for row in rows)

    async def done(self, projection: str, items: Sequence[Dirty]) -> set[tuple[str, str]]:
        rows = await self._connection.fetch(
            f"DELETE FROM projection_queue WHERE ctid = ANY(ARRAY({_UNCHANGED})) RETURNING entity_type, entity_id",
            projection,
            *_of_claimed(items),
        )
        return {(row["entity_type"], row["entity_id"]) for row in rows}

    async def again(self, projection: str, items: Sequence[Dirty]) -> None:
        if items:
            await self.enqueue([(projection, item.entity_type, item.entity_id) for item in items])

    async def failed(
        self, projection: str, items: Sequence[Dirty], error: str, pause: timedelta
    ) -> set[tuple[str, str]]:
        rows = await self._connection.fetch(
            f"""UPDATE projection_queue SET last_error = $6, not_before = now() + $7
                WHERE ctid = ANY(ARRAY({_UNCHANGED})) RETURNING entity_type, entity_id""",
            projection,
            *_of_claimed(items),
            error,
            pause,
        )
        return {(row["entity_type"], row["entity_id"]) for row in rows}

    async def clear(self, projection: str) -> None:
        await self._connection.execute(FORGET, projection)

    async def backlog(self, projection: str) -> Backlog:
        row = await self._connection.fetchrow(
            """SELECT count(*), count(last_error), coalesce(extract(epoch FROM now() - min(enqueued_at)), 0)::float8,
                   max(last_error) FROM projection_queue WHERE projection = $1""",
            projection,
        )
        return Backlog(*row)

    async def depth(self, projection: str) -> int:
        waiting: int = await self._connection.fetchval(
            "SELECT count(*) FROM projection_queue WHERE projection = $1", projection
        )
        return waiting


def _columns(rows: Sequence[Sequence[str | None]], width: int) -> list[list[str | None]]:
    return [[row[column] for row in rows] for column in range(width)]


def _of_claimed(items: Sequence[Dirty]) -> tuple[list[str], list[str], list[int], list[datetime]]:
    return (
        [item.entity_type for item in items],
        [item.entity_id for item in items],
        [item.version for item in items],
        [item.enqueued_at for item in items],
    )
