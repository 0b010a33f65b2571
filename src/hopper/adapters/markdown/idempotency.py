"""Which retry key made which entity. It is kept in the index, and forgotten with it."""

from datetime import datetime
from typing import TYPE_CHECKING

from hopper.domain.errors import IdempotencyMismatch

if TYPE_CHECKING:
    from hopper.adapters.markdown.session import Session


class MarkdownIdempotency:
    """Implements ports.repositories.IdempotencyRepository."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def begin(self, key: str, fingerprint: str, entity_id: str, now: datetime) -> str | None:
        if await self._session.execute(
            "INSERT OR IGNORE INTO idempotency_keys VALUES (?, ?, ?, ?)", key, fingerprint, entity_id, now
        ):
            return None
        [earlier] = await self._session.fetch("SELECT fingerprint, entity_id FROM idempotency_keys WHERE key = ?", key)
        if earlier["fingerprint"] != fingerprint:
            raise IdempotencyMismatch(key.split(":", 1)[-1])
        return str(earlier["entity_id"])
