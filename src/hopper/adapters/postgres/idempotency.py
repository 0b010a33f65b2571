"""Which Idempotency-Key made which entity."""

from datetime import datetime

from hopper.adapters.postgres.sql import Connection
from hopper.domain.errors import IdempotencyMismatch


class PostgresIdempotency:
    """Implements ports.repositories.IdempotencyRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def begin(self, key: str, fingerprint: str, entity_id: str, now: datetime) -> str | None:
        claimed = await self._connection.fetchval(
            """INSERT INTO idempotency_keys (key, fingerprint, entity_id, created_at) VALUES ($1, $2, $3, $4)
               ON CONFLICT (key) DO NOTHING RETURNING true""",
            key,
            fingerprint,
            entity_id,
            now,
        )
        if claimed:
            return None
        earlier = await self._connection.fetchrow(
            "SELECT fingerprint, entity_id FROM idempotency_keys WHERE key = $1", key
        )
        if earlier["fingerprint"] != fingerprint:
            raise IdempotencyMismatch(key.split(":", 1)[-1])
        made: str = earlier["entity_id"]
        return made
