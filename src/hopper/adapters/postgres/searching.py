"""A unit of work that only looks: at the replica where that will do, at the primary where it won't."""

from typing import Any, Self, cast

import asyncpg

from hopper.adapters.postgres.monitor import Waits
from hopper.adapters.postgres.replica import PATIENCE_SECONDS, PostgresReplica
from hopper.adapters.postgres.sql import ACQUIRE_SECONDS, GIVE_BACK_SECONDS, Connection
from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork
from hopper.ports.replica import Position


class SearchingUnitOfWork(PostgresUnitOfWork):
    """Sees what was stored up to a position; None: all that was stored when it began."""

    def __init__(self, replica: PostgresReplica, since: Position | None, **others: Any) -> None:
        super().__init__(replica.primary, {}, reading=True, **others)
        self._replica = replica
        self._since = since

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        cast(EitherConnection, self._connection).begun()
        return self

    async def _acquire(self) -> Connection:
        # As far as repositories ask, it is a connection.
        return cast(Connection, await EitherConnection.open(self._replica, self._since, self._waits))

    async def _release(self, connection: Connection) -> None:
        await cast(EitherConnection, connection).release()


class EitherConnection:
    """One to the replica, until that fails; from then on one to the primary.

    Each statement of a reading unit of work sees what is stored by then, so that one can be asked again elsewhere. What
    the unit of work has begun with is said there first: a bound key sees there, too, what is inside and nothing else.
    """

    def __init__(self, replica: PostgresReplica, at_replica: Connection | None, waits: Waits) -> None:
        self._replica = replica
        self._waits = waits
        self._at_replica = at_replica
        self._at_primary: Connection | None = None
        self._is_asking = False
        self._beginning: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self._is_begun = False

    @classmethod
    async def open(cls, replica: PostgresReplica, since: Position | None, waits: Waits) -> "EitherConnection":
        opened = cls(replica, await replica.connection(since), waits)
        if opened._at_replica is None:
            await opened._turn_to_primary()
        return opened

    def begun(self) -> None:
        """What was said so far makes the connection what it is."""
        self._is_begun = True

    async def fetch(self, *statement: Any, **how: Any) -> list[asyncpg.Record]:
        return cast("list[asyncpg.Record]", await self._asked("fetch", statement, how))

    async def fetchrow(self, *statement: Any, **how: Any) -> asyncpg.Record | None:
        return await self._asked("fetchrow", statement, how)

    async def fetchval(self, *statement: Any, **how: Any) -> Any:
        return await self._asked("fetchval", statement, how)

    async def execute(self, *statement: Any, **how: Any) -> str:
        return cast(str, await self._asked("execute", statement, how))

    async def release(self) -> None:
        if self._at_replica:
            await self._leave_replica()
        if self._at_primary:
            await self._replica.primary.release(self._at_primary, timeout=GIVE_BACK_SECONDS)

    async def _asked(self, method: str, statement: tuple[Any, ...], how: dict[str, Any]) -> Any:
        if self._at_replica is None:
            if self._at_primary is None:  # the primary didn't take over
                raise asyncpg.InterfaceError("connection is closed")
            return await getattr(self._at_primary, method)(*statement, **how)
        self._is_asking = True
        try:
            answer = await getattr(self._at_replica, method)(*statement, timeout=PATIENCE_SECONDS)
        except Exception as error:
            await self._leave_replica()
            await self._turn_to_primary()
            answer = await getattr(self._at_primary, method)(*statement, **how)
            self._replica.suspect(error)  # and not where the primary fails as well: that is the statement's own fault
            return answer
        self._is_asking = False
        if not self._is_begun:
            self._beginning.append((method, statement, how))
        return answer

    async def _turn_to_primary(self) -> None:
        connection = await self._waits.during(self._replica.primary.acquire(timeout=ACQUIRE_SECONDS))
        try:
            for method, statement, how in self._beginning:
                await getattr(connection, method)(*statement, **how)
        except BaseException:
            await self._replica.primary.release(connection, timeout=GIVE_BACK_SECONDS)
            raise
        self._at_primary = connection  # and not before: without its beginning nothing may be asked there

    async def _leave_replica(self) -> None:
        connection, self._at_replica = self._at_replica, None
        if connection:
            await self._replica.release(connection, is_whole=not self._is_asking)
