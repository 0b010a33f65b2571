"""Removing decisions and entries of logs that are older than they are to be kept.

A decision goes when nothing has been heard of it for so long and its task isn't open: what an open task still needs, to
be explained, judged and not decided twice, stays. Records of patterns stay as they are.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from hopper.app.background import Log, Repeating
from hopper.ports import Ports
from hopper.ports.retention import Expiry
from hopper.ports.unit_of_work import UnitOfWork

_TURN = "retention"
_EVERY_SECONDS = 6 * 3600.0
_FIRST_SECONDS = 60.0

_BATCH = 500
_DEFERENCE = 4.0
"""It rests so many times as long as it worked: others go first."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How long decisions and logs are kept; None: for ever."""

    episodes: timedelta | None = None
    logs: timedelta | None = None

    def expiry(self, now: datetime) -> Expiry:
        return Expiry(*(None if age is None else now - age for age in (self.episodes, self.logs)))


async def expired(kept: Kept, now: datetime, unit_of_work: Callable[[], UnitOfWork]) -> Mapping[str, int]:
    """How many would be removed, by what they are."""
    async with unit_of_work() as uow:
        return await uow.retention.expired(kept.expiry(now))


async def prune(
    kept: Kept, now: datetime, unit_of_work: Callable[[], UnitOfWork], *, deference: float = 0.0
) -> Mapping[str, int]:
    """Remove what has expired, batch by batch; how many were removed, by what they are. Several may be at it."""
    expiry = kept.expiry(now)
    removed: Counter[str] = Counter()
    after: str | None = ""
    while expiry.episodes and after is not None:
        began = monotonic()
        async with unit_of_work() as uow:
            count, after = await uow.retention.remove_episodes(expiry.episodes, after, _BATCH)
            await uow.commit()
        removed["episodes"] += count
        await asyncio.sleep(deference * (monotonic() - began))
    while expiry.logs:
        began = monotonic()
        async with unit_of_work() as uow:
            counts = await uow.retention.remove_logs(expiry.logs, _BATCH)
            await uow.commit()
        removed.update(counts)
        if not any(counts.values()):
            break
        await asyncio.sleep(deference * (monotonic() - began))
    return removed


def retention_keeper(kept: Kept, ports: Ports, log: Log) -> Repeating:
    """Removes what has expired every few hours; one process at a time does it."""

    async def work() -> None:
        async with ports.turns.take(_TURN, 0) as taken:
            if taken:
                await prune(kept, ports.clock.now(), ports.unit_of_work, deference=_DEFERENCE)

    return Repeating(work, _EVERY_SECONDS, "removing what is old failed", log, first=_FIRST_SECONDS)
