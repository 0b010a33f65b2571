"""Where tasks came from, in PostgreSQL."""

from collections.abc import Mapping, Sequence

from hopper.adapters.postgres.sql import Connection
from hopper.domain.moving import Origin


class PostgresOrigins:
    """Implements ports.repositories.OriginRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def find(self, source: str, external_ids: Sequence[str]) -> Mapping[str, Origin]:
        rows = await self._connection.fetch(
            """SELECT external_id, task_id, said, as_of FROM task_origins
               WHERE source = $1 AND external_id = ANY($2::text[])""",
            source,
            list(external_ids),
        )
        return {row["external_id"]: Origin(**row) for row in rows}

    async def of_source(self, source: str) -> tuple[Origin, ...]:
        rows = await self._connection.fetch(
            """SELECT external_id, task_id, said, as_of FROM task_origins
               WHERE source = $1 ORDER BY external_id COLLATE "C\"""",
            source,
        )
        return tuple(Origin(**row) for row in rows)

    async def put(self, source: str, origins: Sequence[Origin]) -> None:
        await self._connection.execute(
            """INSERT INTO task_origins (source, external_id, task_id, said, as_of)
               SELECT $1, * FROM unnest($2::text[], $3::text[], $4::jsonb[], $5::timestamptz[])
               ON CONFLICT (source, external_id) DO UPDATE
                   SET task_id = excluded.task_id, said = excluded.said, as_of = excluded.as_of, read_at = now()""",
            source,
            [origin.external_id for origin in origins],
            [origin.task_id for origin in origins],
            [origin.said for origin in origins],
            [origin.as_of for origin in origins],
        )

    async def rename(self, source: str, new: str) -> None:
        await self._connection.execute(
            """WITH renamed AS (DELETE FROM task_origins WHERE source = $1 RETURNING *)
               INSERT INTO task_origins (source, external_id, task_id, said, read_at, as_of)
               SELECT $2, external_id, task_id, said, read_at, as_of FROM renamed
               ON CONFLICT (source, external_id) DO NOTHING""",
            source,
            new,
        )
