"""Which projections are followed, in PostgreSQL."""

from datetime import datetime

from hopper.adapters.postgres.queue import COUNT_CHANGE, FORGET
from hopper.adapters.postgres.sql import Connection
from hopper.ports.projections import GraphStamp, ProjectionState

_OLDEST_WRITER = """
    SELECT coalesce(
        (SELECT min(xid::text::bigint) FROM pg_snapshot_xip(now.snapshot) AS xid
         WHERE NOT EXISTS (
            SELECT FROM pg_locks AS held JOIN pg_stat_activity AS its USING (pid)
            WHERE held.locktype = 'transactionid' AND held.mode = 'ExclusiveLock' AND held.transactionid = xid::xid
              AND its.datid <> (SELECT oid FROM pg_database WHERE datname = current_database())
         )),
        pg_snapshot_xmax(now.snapshot)::text::bigint
    )
    FROM pg_current_snapshot() AS now (snapshot)
"""
"""A snapshot names all transactions under way that have written, those of other databases too; only the lock that each
has on its own number tells where it runs. Whoever puts a change on the queue has written it before, and so has a
number."""


class PostgresProjections:
    """Implements ports.projections.ProjectionRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def state(self, projection: str) -> ProjectionState:
        row = await self._connection.fetchrow(
            "SELECT followed_since, reserved, applied, rebuilding FROM projections WHERE projection = $1",
            projection,
        )
        return ProjectionState(*row)

    async def identity(self, projection: str) -> str:
        identity: str = await self._connection.fetchval(
            "SELECT identity FROM projections WHERE projection = $1", projection
        )
        return identity

    async def follow(self, projection: str, now: datetime) -> bool:
        status: str = await self._connection.execute(
            """UPDATE projections SET followed_since = $2, rebuilding = true
               WHERE projection = $1 AND followed_since IS NULL""",
            projection,
            now,
        )
        return status == "UPDATE 1"

    async def unfollow(self, projection: str) -> None:
        await self._connection.execute(
            """UPDATE projections SET followed_since = NULL, applied = 0, rebuilding = false WHERE projection = $1""",
            projection,
        )
        await self._connection.execute(FORGET, projection)

    async def reserve(self, projection: str) -> int:
        position: int = await self._connection.fetchval(
            "UPDATE projections SET reserved = reserved + 1 WHERE projection = $1 RETURNING reserved", projection
        )
        return position

    async def applied(self, projection: str, position: int) -> None:
        await self._connection.execute(
            """UPDATE projections SET applied = $2
               WHERE projection = $1 AND applied < $2 AND followed_since IS NOT NULL""",
            projection,
            position,
        )

    async def begin_rebuilding(self, projection: str) -> None:
        await self._connection.execute("UPDATE projections SET rebuilding = true WHERE projection = $1", projection)

    async def rebuilt(self, projection: str, position: int) -> None:
        await self._connection.execute(
            """UPDATE projections SET rebuilding = false, applied = greatest(applied, $2)
               WHERE projection = $1 AND reserved = $2""",
            projection,
            position,
        )

    async def count_change(self) -> None:
        await self._connection.execute(COUNT_CHANGE)

    async def graph_stamp(self) -> GraphStamp:
        row = await self._connection.fetchrow(
            """SELECT (SELECT sum(changes)::bigint FROM graph_changes),
                   applied > 0 AND followed_since IS NOT NULL AND NOT rebuilding
                   AND NOT EXISTS (SELECT FROM projection_queue WHERE projection = 'graph'), applied
               FROM projections WHERE projection = 'graph'"""
        )
        return GraphStamp(*row)

    async def last_writer(self) -> int:
        number: int = await self._connection.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        return number

    async def oldest_writer(self) -> int:
        number: int = await self._connection.fetchval(_OLDEST_WRITER)
        return number
