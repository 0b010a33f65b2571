"""The projection queue in the index: files that were changed by hand stand in it, too."""

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hopper.adapters.markdown.sql import bound, moment
from hopper.ports.queue import Backlog, Dirty

if TYPE_CHECKING:
    from hopper.adapters.markdown.session import Session

Subscriptions = Mapping[str, Mapping[str, str]]
"""Which types of entity each projection hears of, and as what it looks at them."""

_UNCHANGED = "projection = ? AND entity_type = ? AND entity_id = ? AND version = ? AND enqueued_at = ?"


def enqueue(connection: sqlite3.Connection, followed: Subscriptions, touched: Iterable[tuple[str, str]]) -> None:
    """Mark entities for the projections that look at them."""
    _put(
        connection,
        {
            (projection, looked_at_as[entity_type], id)
            for projection, looked_at_as in followed.items()
            for entity_type, id in touched
            if entity_type in looked_at_as
        },
    )


def _put(connection: sqlite3.Connection, rows: Collection[tuple[str, str, str]]) -> None:
    now = bound(datetime.now(UTC))
    connection.executemany(
        """INSERT INTO projection_queue (projection, entity_type, entity_id, enqueued_at, not_before)
           VALUES (?1, ?2, ?3, ?4, ?4)
           ON CONFLICT (projection, entity_type, entity_id) DO UPDATE
           SET version = version + 1, enqueued_at = excluded.enqueued_at, attempts = 0, last_error = NULL,
               not_before = min(not_before, excluded.not_before)""",
        [(*row, now) for row in sorted(rows)],
    )


class MarkdownQueue:
    """Implements ports.queue.ProjectionQueue."""

    def __init__(self, session: "Session", followed: Subscriptions) -> None:
        self._session = session
        self._followed = followed

    async def enqueue(self, rows: Collection[tuple[str, str, str]]) -> int:
        wanted = {row for row in rows if row[0] in self._followed}
        await self._session.lock()
        _put(self._session.connection, wanted)
        return len(wanted)

    async def claim(self, projection: str, limit: int, lease: timedelta) -> tuple[Dirty, ...]:
        now = datetime.now(UTC)
        await self._session.lock()
        rows = await self._session.fetch(
            """UPDATE projection_queue SET not_before = ?, attempts = attempts + 1
               WHERE (projection, entity_type, entity_id) IN (
                   SELECT projection, entity_type, entity_id FROM projection_queue
                   WHERE projection = ? AND not_before <= ? ORDER BY not_before LIMIT ?)
               RETURNING entity_type, entity_id, version, attempts, enqueued_at""",
            now + lease,
            projection,
            now,
            limit,
        )
        return tuple(Dirty(row[0], row[1], row[2], row[3], moment(row[4])) for row in rows)

    async def done(self, projection: str, items: Sequence[Dirty]) -> set[tuple[str, str]]:
        removed = set()
        for item in items:
            if await self._session.execute(f"DELETE FROM projection_queue WHERE {_UNCHANGED}", *_key(projection, item)):
                removed.add((item.entity_type, item.entity_id))
        return removed

    async def again(self, projection: str, items: Sequence[Dirty]) -> None:
        if items:
            await self.enqueue([(projection, item.entity_type, item.entity_id) for item in items])

    async def failed(
        self, projection: str, items: Sequence[Dirty], error: str, pause: timedelta
    ) -> set[tuple[str, str]]:
        kept = set()
        for item in items:
            if await self._session.execute(
                f"UPDATE projection_queue SET last_error = ?, not_before = ? WHERE {_UNCHANGED}",
                error,
                datetime.now(UTC) + pause,
                *_key(projection, item),
            ):
                kept.add((item.entity_type, item.entity_id))
        return kept

    async def clear(self, projection: str) -> None:
        await self._session.execute("DELETE FROM projection_queue WHERE projection = ?", projection)

    async def backlog(self, projection: str) -> Backlog:
        [row] = await self._session.fetch(
            """SELECT count(*), count(last_error), min(enqueued_at), max(last_error) FROM projection_queue
               WHERE projection = ?""",
            projection,
        )
        waited = (datetime.now(UTC) - moment(row[2])).total_seconds() if row[2] else 0.0
        return Backlog(row[0], row[1], waited, row[3])

    async def depth(self, projection: str) -> int:
        return int(
            await self._session.fetchval("SELECT count(*) FROM projection_queue WHERE projection = ?", projection)
        )


def _key(projection: str, item: Dirty) -> tuple[object, ...]:
    return projection, item.entity_type, item.entity_id, item.version, item.enqueued_at
