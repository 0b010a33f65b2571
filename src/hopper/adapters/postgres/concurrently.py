"""Building an index while others write."""

import asyncio

import asyncpg

from hopper.adapters.postgres.sql import Connection

_PAUSE_SECONDS = 0.5


async def build(connection: Connection, name: str, definition: str) -> None:
    """`definition` is what follows the name; what a build that was broken off has left is dropped first.

    A build waits for all who may see the table as it was. If one of them waits for something that this session has,
    PostgreSQL ends the build; it begins anew.
    """
    while True:
        try:
            await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            await connection.execute(f"CREATE INDEX CONCURRENTLY {name.rpartition('.')[2]} {definition}")
            return
        except asyncpg.DeadlockDetectedError:
            await asyncio.sleep(_PAUSE_SECONDS)
