"""When patterns were consolidated last, in PostgreSQL."""

from datetime import datetime, timedelta

from hopper.adapters.postgres.episodes import HAS_NEWS, NEWS_AT
from hopper.adapters.postgres.sql import Connection


class PostgresConsolidations:
    """Implements ports.repositories.ConsolidationRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def due(self, outcomes: int, pause: timedelta, now: datetime) -> bool:
        due: bool = await self._connection.fetchval(
            f"""WITH last AS (SELECT coalesce(max(consolidated_at), '-infinity') AS moment FROM consolidations)
               SELECT (SELECT moment FROM last) <= $2 AND $1 <= (
                   SELECT count(*) FROM (
                       SELECT FROM routing_episodes
                       WHERE {HAS_NEWS} AND {NEWS_AT} > (SELECT moment FROM last) LIMIT $1) AS new)""",
            outcomes,
            now - pause,
        )
        return due

    async def done(self, now: datetime) -> None:
        await self._connection.execute(
            """INSERT INTO consolidations (id, consolidated_at) VALUES (1, $1)
               ON CONFLICT (id) DO UPDATE SET consolidated_at = excluded.consolidated_at""",
            now,
        )
