"""What is removed once it is old enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Expiry:
    """What is older than these moments goes; None: nothing does."""

    episodes: datetime | None = None
    logs: datetime | None = None


class RetentionRepository(Protocol):
    async def expired(self, expiry: Expiry) -> Mapping[str, int]:
        """How many would go, by what they are."""
        ...

    async def remove_episodes(self, before: datetime, after: str, limit: int) -> tuple[int, str | None]:
        """Remove those that have expired among the next so many after an id, save for what others have locked.

        Returns how many went, and the id to go on after; None at the end.
        """
        ...

    async def remove_logs(self, before: datetime, limit: int) -> Mapping[str, int]:
        """Remove up to so many old entries of each log; how many went, by log."""
        ...
