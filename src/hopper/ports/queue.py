"""The projection queue: which entities have changed since a projection last looked at them.

A dirty set and no message log: order doesn't matter, duplicates don't matter, bursts coalesce.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Dirty:
    """An entity that a projection has to look at; `version` and `enqueued_at` tell whether it changed meanwhile."""

    entity_type: str
    entity_id: str
    version: int
    attempts: int
    enqueued_at: datetime


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for a projection, and of that what failed; the first of it has waited for so many seconds."""

    waiting: int
    failing: int
    oldest_seconds: float
    last_error: str | None


class ProjectionQueue(Protocol):
    async def enqueue(self, rows: Collection[tuple[str, str, str]]) -> int:
        """Mark (projection, entity type, entity id) as dirty, where the projection is followed; returns how many."""
        ...

    async def claim(self, projection: str, limit: int, lease: timedelta) -> tuple[Dirty, ...]:
        """Take a batch that nobody else has; it comes back by itself when the lease passes unreported."""
        ...

    async def done(self, projection: str, items: Sequence[Dirty]) -> set[tuple[str, str]]:
        """Remove the items, save those that changed again meanwhile; returns type and id of those removed."""
        ...

    async def again(self, projection: str, items: Sequence[Dirty]) -> None:
        """Have the items looked at again, soon."""
        ...

    async def failed(
        self, projection: str, items: Sequence[Dirty], error: str, pause: timedelta
    ) -> set[tuple[str, str]]:
        """Keep the items for another try after the pause, visibly; save those that changed again meanwhile.

        Returns type and id of those kept."""
        ...

    async def clear(self, projection: str) -> None:
        """Forget what waits: the projection is made anew."""
        ...

    async def backlog(self, projection: str) -> Backlog:
        """What waits, and since when."""
        ...

    async def depth(self, projection: str) -> int:
        """How many entities wait."""
        ...
