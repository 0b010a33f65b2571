"""Work that one process does at a time, by PostgreSQL's advisory locks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from hopper.adapters.postgres.sql import BROKEN, GIVE_BACK_SECONDS, Connection, discard, translated

_POLL_SECONDS = 0.2
_ACQUIRE_SECONDS = 15.0


class PostgresTurns:
    """Implements ports.turns.Turns. Who waits holds no connection: whoever is at work may need it."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @asynccontextmanager
    async def take(self, name: str, patience: float) -> AsyncIterator[bool]:
        tries = max(1, round(patience / _POLL_SECONDS))
        for at in range(tries):
            if at:
                await asyncio.sleep(_POLL_SECONDS)
            async with self._held(name) as taken:
                if taken:
                    yield True
                    return
        yield False

    @asynccontextmanager
    async def _held(self, name: str) -> AsyncIterator[bool]:
        try:
            connection = await self._pool.acquire(timeout=_ACQUIRE_SECONDS)
        except Exception as error:
            raise (translated(error) or error) from error
        try:
            try:
                taken = await connection.fetchval("SELECT pg_try_advisory_lock(hashtext($1))", name)
            except BaseException as error:
                discard(connection)  # it may have the lock, and would keep it as long as it lives
                known = translated(error) if isinstance(error, Exception) else None
                raise (known or error) from error
            try:
                yield taken
            finally:
                if taken:
                    await _give_back(connection, name)
        finally:
            with suppress(*BROKEN):
                await self._pool.release(connection, timeout=GIVE_BACK_SECONDS)


async def _give_back(connection: Connection, name: str) -> None:
    """End the turn: at least with its connection."""
    with suppress(*BROKEN):
        try:
            await connection.execute("SELECT pg_advisory_unlock(hashtext($1))", name, timeout=GIVE_BACK_SECONDS)
        except BaseException:
            discard(connection)
            raise
