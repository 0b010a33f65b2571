"""A change of the schema while the version before still serves: expand, migrate, contract.

New tables grow in a schema of their own, `change_<revision>`, which is all that there is to remember: without it
nothing has begun, in it stands how far it is, and it goes with the last step. Triggers on the old tables keep the new
ones equal. The database's revision moves on at the end only, so the version before may even be started until then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from hopper.adapters.postgres.bounds import DROP, Views
from hopper.adapters.postgres.sql import APPLICATION, Connection
from hopper.adapters.postgres.vector_indexes import like_those_of
from hopper.domain.errors import HopperError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection as Bind

Say = Callable[[str], None]

_PATIENCE_MS = 100
"""What a step waits for a lock, and others behind it. Less than PostgreSQL's deadlock_timeout, so the step yields."""

_BATCH_SECONDS = 0.05
_BATCH, _LARGEST_BATCH = 100, 1_000
"""Rows that are copied, and may not be changed meanwhile, at a time: at first, and at most if that is quick enough."""

_PAUSE_SECONDS = 0.2
"""After a lock wasn't to be had; those who waited behind it go first."""

_TOLD_SECONDS = 2.0

_YIELDS = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.ForeignKeyViolationError)
"""What a step is told when others were quicker; it tries again."""

_OLDER = f"""SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND (
    application_name = '{APPLICATION}' OR application_name ~ '^{APPLICATION} [0-9]+$'
        AND split_part(application_name, ' ', 2) < $1)"""


class CopyDiffers(HopperError):
    """What was copied isn't what is there."""

    slug = "schema-copy-differs"


@dataclass(frozen=True, slots=True)
class Copy:
    """How a table's rows get into its successor.

    `batch` copies up to $2 rows behind the key $1, locked FOR SHARE, and tells the `last` key and how many it `copied`;
    `differences` counts where old and new aren't the same, in one statement.
    """

    what: str
    total: str
    batch: str
    differences: str


@dataclass(frozen=True, slots=True)
class Phased:
    """A migration in phases. `expand` and `contract` are a few statements that take moments, each a transaction.

    `vectors` is the table whose approximate indexes the new one needs before it is searched.
    """

    revision: str
    expand: str
    copies: tuple[Copy, ...]
    contract: str
    vectors: str

    @property
    def schema(self) -> str:
        return f"change_{self.revision}"

    def at_once(self, bind: "Bind") -> None:
        """For Alembic, in a new database: all in its transaction."""

        async def run(connection: Connection) -> None:
            await self._begin(connection)
            for copy in self.copies:
                await connection.fetch(copy.batch, "", 2**31 - 1)
            await self._end(connection)

        bind.connection.run_async(run)

    async def carry_out(self, connection: Connection, views: Views, say: Say) -> bool:
        """Go on from wherever it is; False if older versions still use the old tables.

        The `views` of bound keys stand on the old tables first, which are widened for them, then on the new ones.
        """
        if not await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", self.schema):
            say(f"Schema {self.revision}: new tables beside the old ones.")
            await _briefly(connection, lambda: self._begin(connection), say)
        if not await views.are_there(connection):
            await _briefly(connection, lambda: views.make(connection), say)
        for copy in self.copies:
            await self._copy(connection, copy, say)
        await like_those_of(connection, self.vectors, self.schema, say)
        if older := await connection.fetchval(_OLDER, self.revision):
            say(
                f"Schema {self.revision}: all is copied, and kept up. An older Hopper still uses the old tables "
                f"({older} connections). When it has been stopped, a server of this version does the rest."
            )
            return False
        await self._compare(connection)
        await _briefly(connection, lambda: self._stamped(connection, views), say)
        say(f"Schema {self.revision}: the new tables have taken the old ones' place.")
        return True

    async def _begin(self, connection: Connection) -> None:
        await connection.execute(
            f"""CREATE SCHEMA {self.schema};
                CREATE TABLE {self.schema}.progress (what text PRIMARY KEY, last text, copied bigint, is_done bool);
                {self.expand}"""
        )
        await connection.executemany(
            f"INSERT INTO {self.schema}.progress VALUES ($1, '', 0, false)", [[copy.what] for copy in self.copies]
        )

    async def _end(self, connection: Connection) -> None:
        await connection.execute(f"{self.contract}; DROP SCHEMA {self.schema} CASCADE")

    async def _stamped(self, connection: Connection, views: Views) -> None:
        await connection.execute(DROP)
        await self._end(connection)
        await views.make(connection)
        await connection.execute("UPDATE alembic_version SET version_num = $1", self.revision)

    async def _copy(self, connection: Connection, copy: Copy, say: Say) -> None:
        state = await connection.fetchrow(f"SELECT * FROM {self.schema}.progress WHERE what = $1", copy.what)
        if state["is_done"]:
            return
        last, copied, told = state["last"], state["copied"], 0.0
        total = await connection.fetchval(copy.total)

        size, clock = _BATCH, asyncio.get_running_loop().time

        async def batch() -> Any:
            page = await connection.fetchrow(copy.batch, last, size)
            await connection.execute(
                f"""UPDATE {self.schema}.progress SET last = coalesce($2, last), copied = copied + $3,
                    is_done = $2 IS NULL WHERE what = $1""",
                copy.what,
                page["last"],
                page["copied"],
            )
            return page

        while last is not None:
            began = clock()
            page = await _briefly(connection, batch, say)
            size = max(1, min(_LARGEST_BATCH, 2 * size, int(size * _BATCH_SECONDS / (clock() - began))))
            last, copied = page["last"], copied + page["copied"]
            if (now := clock()) > told + _TOLD_SECONDS:
                say(f"Schema {self.revision}: {copied:,} of {total:,} {copy.what} copied.")
                told = now

    async def _compare(self, connection: Connection) -> None:
        for copy in self.copies:
            if differences := await connection.fetchval(copy.differences):
                raise CopyDiffers(
                    f"{differences} of {copy.what} differ between the old tables and the new ones, and nothing was "
                    f"changed: the old ones count. `DROP SCHEMA {self.schema} CASCADE`, then `hopper db upgrade`, "
                    "begins anew. Please report it."
                )


async def _briefly(connection: Connection, run: Callable[[], Awaitable[Any]], say: Say) -> Any:
    """A transaction that waits for no lock longer than others can bear, until it gets through."""
    told = asyncio.get_running_loop().time()
    while True:
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{_PATIENCE_MS}ms'")
                return await run()
        except _YIELDS:
            if (now := asyncio.get_running_loop().time()) > told + _TOLD_SECONDS:
                say("Waiting for a moment when no long transaction is in the way.")
                told = now + 10 * _TOLD_SECONDS
            await asyncio.sleep(_PAUSE_SECONDS)


def execute(bind: "Bind", statements: str) -> None:
    """Run several statements at once, which Alembic's own way can't with asyncpg."""
    bind.connection.run_async(lambda connection: connection.execute(statements))
