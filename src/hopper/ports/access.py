"""Keys, and what was done with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from hopper.domain.access import Asker, AuditEntry, Key, Secret
    from hopper.domain.ids import InstanceId
    from hopper.ports.repositories import Page


class KeyRepository(Protocol):
    async def add(self, key: Key, secret: Secret) -> bool:
        """Keep a key; False if there is one with its id already."""
        ...

    async def use(self, key_id: str, key_hash: str, now: datetime) -> tuple[Key, Secret] | None:
        """A key, revoked or not, and what is kept of its token.

        If that is the hash, it is noted, to the minute, that the key is used now.
        """
        ...

    async def list(self, within: InstanceId | None) -> tuple[Key, ...]:
        """All keys but those of sources, the oldest first; `within`: only those bound to it or to what is below it."""
        ...

    async def revoke(self, key_id: str, now: datetime) -> Key:
        """Let a key be used no more. Raises NotFound."""
        ...


class AuditRepository(Protocol):
    def note(self, asker: Asker, entity_type: str | None, *entity_ids: str) -> None:
        """Who does what, stored when the unit of work commits; what its repositories change is noted by itself."""
        ...

    async def list(
        self, limit: int, cursor: str | None = None, *, key_id: str | None = None, entity_id: str | None = None
    ) -> Page[AuditEntry]:
        """The newest first."""
        ...
