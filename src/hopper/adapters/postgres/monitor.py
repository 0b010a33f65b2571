"""Watching over the database, on a connection that nothing else uses."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

import asyncpg

from hopper.adapters.postgres.migrate import HEAD
from hopper.adapters.postgres.queue import PostgresQueue
from hopper.adapters.postgres.sql import Connection
from hopper.domain.errors import Unavailable
from hopper.ports.monitor import Figures, Pool

T = TypeVar("T")

_SECONDS = 1.2
"""Whoever asks whether the server is ready gets an answer within two, also while PostgreSQL hangs."""

_FAILED = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

_RECENT = 1_000

_ACCURACY = f"""SELECT count(*), count(*) FILTER (WHERE outcome_success) FROM (
    SELECT outcome_success FROM routing_episodes
    WHERE completed_at IS NOT NULL AND outcome_success IS NOT NULL AND source IS DISTINCT FROM 'northbound'
        AND strategy NOT IN ('manual', 'feedback')
    ORDER BY completed_at DESC, id DESC LIMIT {_RECENT}) recent"""


@dataclass(slots=True)
class Waits:
    """How long units of work wait for their connection."""

    waiting: int = 0
    taken: int = 0
    seconds: float = 0.0

    async def during(self, taking: Awaitable[T]) -> T:
        self.waiting += 1
        began = perf_counter()
        try:
            return await taking
        finally:
            self.waiting -= 1
            self.taken += 1
            self.seconds += perf_counter() - began


class PostgresMonitor:
    """Implements ports.monitor.Monitor. `pool` is whose connections the units of work wait for."""

    revision = HEAD

    def __init__(self, url: str, pool: "asyncpg.Pool[asyncpg.Record]", waits: Waits) -> None:
        self._url = url
        self._pool = pool
        self._waits = waits
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    async def close(self) -> None:
        if self._connection:
            self._connection.terminate()

    async def look(self) -> str | None:
        async def read(connection: Connection) -> str | None:
            with suppress(asyncpg.UndefinedTableError):
                found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
                return found
            return None

        return await self._asked(read)

    async def figures(self, projections: Collection[str]) -> Figures:
        async def read(connection: Connection) -> Figures:
            queue = PostgresQueue(connection)
            backlogs = {projection: await queue.backlog(projection) for projection in projections}
            return Figures(backlogs, *await connection.fetchrow(_ACCURACY))

        return await self._asked(read)

    def pool(self) -> Pool:
        pool, waits = self._pool, self._waits
        return Pool(
            pool.get_size(), pool.get_idle_size(), pool.get_max_size(), waits.waiting, waits.taken, waits.seconds
        )

    async def _asked(self, ask: Callable[[Connection], Awaitable[T]]) -> T:
        """Ask on the connection, or on a new one where it has gone."""
        try:
            async with asyncio.timeout(_SECONDS), self._turn:
                if self._connection and not self._connection.is_closed():
                    with suppress(*_FAILED):  # as after PostgreSQL's restart
                        return await self._answer(self._connection, ask)
                self._connection = await asyncpg.connect(
                    self._url, server_settings={"application_name": "hopper monitor"}
                )
                return await self._answer(self._connection, ask)
        except _FAILED as error:
            raise Unavailable(f"PostgreSQL doesn't answer ({type(error).__name__}).") from error

    async def _answer(self, connection: Connection, ask: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            return await ask(connection)
        except BaseException:
            connection.terminate()  # whatever state it is in; it may hang
            raise
