"""Whether a server can do its work, and which of its parts can't."""

import asyncio
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hopper.app.background import Log
from hopper.domain.errors import HopperError, Unavailable
from hopper.ports import Ports
from hopper.ports.monitor import Monitor
from hopper.ports.replica import ReplicaState, ReplicaStatus

_SECONDS = 1.2
"""What a part gets to answer."""


class State(StrEnum):
    """Without a part that is degraded the server does its work, if not as well; without one that is down it can't."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Part:
    """How a part is, for how long it has been seen so, and what to do. Nobody's address, name or error stands here:
    whoever asks needs no key.
    """

    state: State
    since: datetime
    seconds: float
    advice: str | None


@dataclass(frozen=True, slots=True)
class Readiness:
    """`is_ready` if the part is there that everything needs: PostgreSQL."""

    is_ready: bool
    parts: Mapping[str, Part]

    @property
    def status(self) -> str:
        return "ok" if all(part.state is State.UP for part in self.parts.values()) else "degraded"

    @property
    def advice(self) -> str:
        return " ".join(part.advice for part in self.parts.values() if part.state is State.DOWN and part.advice)


_Found = tuple[State, str | None]
_UP: _Found = (State.UP, None)

_POSTGRES = (
    "PostgreSQL can't be reached, or doesn't answer. Start it, or mend the way to it. "
    "This server goes on by itself when it is back."
)
_UNSEEN = "The schema can't be read while PostgreSQL is down."
_SCHEMA = (
    "The database is at revision {found}, and this Hopper is made for {needed}. If that is newer, run "
    "`hopper db upgrade`; else replace this server with one of the version that has migrated the database."
)
_POOL = (
    "All {most} connections are in use, and {waiting} requests wait for one. Find what is slow, or raise "
    "'database.postgres.pool_size'."
)
_NEO4J = (
    "The graph database isn't ready; PostgreSQL answers for it meanwhile. Start it if it is down; "
    "`hopper graph status` says more."
)
_REPLICA = "The replica is {state} ({why}); the primary answers searches meanwhile."
_EMBEDDINGS = (
    "The provider of embeddings fails: decisions are made without similar tasks, and what is new is embedded when it "
    "is back. `hopper embeddings status` says why."
)


class ReadinessWatch:
    """Looks when it is asked, and remembers since when each part has been as it is. A change is told to the log."""

    def __init__(self, ports: Ports, log: Log) -> None:
        self._ports = ports
        self._log = log
        self._seen: dict[str, tuple[State, datetime]] = {}
        self._looking: asyncio.Task[Readiness] | None = None

    async def look(self) -> Readiness:
        """How things are; those who ask at the same time share a look. It takes less than two seconds."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        return await asyncio.shield(self._looking)

    async def _look(self) -> Readiness:
        monitor = self._ports.monitor
        assert monitor, "only a server is asked whether it is ready"
        (postgres, schema), neo4j = await asyncio.gather(_database(monitor), self._graph())
        found = {"postgres": postgres, "schema": schema, "pool": _pool(monitor), "embeddings": self._embeddings()}
        if neo4j:
            found["neo4j"] = neo4j
        if self._ports.replica:
            found["replica"] = _replica(self._ports.replica.status)
        return Readiness(postgres is _UP, dict(self._dated(found)))

    def _dated(self, found: Mapping[str, _Found]) -> Iterator[tuple[str, Part]]:
        now = self._ports.clock.now()
        for name, (state, advice) in found.items():
            before, since = self._seen.get(name, (State.UP, now))
            if state is not before:
                since = now
                self._log("a part of the server has changed", part=name, state=state.value)
            self._seen[name] = state, since
            yield name, Part(state, since, round(max((now - since).total_seconds(), 0.0), 3), advice)

    async def _graph(self) -> _Found | None:
        """None where there is to be no graph database."""
        if self._ports.graph_store is None:
            return None
        return _UP if await _answers(self._ports.graph_store.position()) else (State.DEGRADED, _NEO4J)

    def _embeddings(self) -> _Found:
        return (State.DEGRADED, _EMBEDDINGS) if self._ports.circuits[self._ports.embedder.model].trouble else _UP


def _replica(status: ReplicaStatus) -> _Found:
    if status.state is ReplicaState.IN_USE:
        return _UP
    return State.DEGRADED, _REPLICA.format(state=status.state, why=status.trouble or "it is looked at again soon")


async def _database(monitor: Monitor) -> tuple[_Found, _Found]:
    """PostgreSQL, and the schema."""
    try:
        found = await monitor.look()
    except Unavailable:
        return (State.DOWN, _POSTGRES), (State.DOWN, _UNSEEN)
    if found == monitor.revision:
        return _UP, _UP
    return _UP, (State.DEGRADED, _SCHEMA.format(found=found or "none", needed=monitor.revision))


def _pool(monitor: Monitor) -> _Found:
    pool = monitor.pool()
    if pool.waiting and pool.idle == 0 and pool.size == pool.most:
        return State.DEGRADED, _POOL.format(most=pool.most, waiting=pool.waiting)
    return _UP


async def _answers(asked: Awaitable[object]) -> bool:
    try:
        async with asyncio.timeout(_SECONDS):
            await asked
    except (HopperError, TimeoutError):
        return False
    return True
