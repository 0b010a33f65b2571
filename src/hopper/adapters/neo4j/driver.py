"""Connections to Neo4j: each call has a deadline, and what goes wrong is said in the domain's words."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import lru_cache
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

from neo4j import READ_ACCESS, AsyncDriver, AsyncGraphDatabase, AsyncTransaction, Record
from neo4j.exceptions import (
    AuthError,
    ConfigurationError,
    DriverError,
    Neo4jError,
    ServiceUnavailable,
    SessionExpired,
)

from hopper.domain.errors import Conflict, HopperError, Misconfigured, Unavailable
from hopper.ports.spans import Attributes, Spans, calling

READ_SECONDS = 5.0
_CONNECT_SECONDS = 3.0
_CLOSE_SECONDS = 2.0
_OUTAGES = (
    "Neo.DatabaseError.",
    "Neo.TransientError.General.DatabaseUnavailable",
    "Neo.TransientError.Transaction.",
    "Neo.ClientError.Transaction.",
    "Neo.ClientError.Database.",
    "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase",
)
"""Codes of what any other statement would be answered, too."""

_REST_AFTER_REFUSAL = 30.0
"""Neo4j locks an account after three wrong passwords."""

# What the driver logs may contain parameters, and everything that matters is raised.
logging.getLogger("neo4j").addHandler(logging.NullHandler())
logging.getLogger("neo4j").propagate = False


class Transaction:
    """A transaction under way."""

    def __init__(
        self, driver: "GraphDriver", transaction: AsyncTransaction, seconds: float, spans: Spans | None
    ) -> None:
        self._driver = driver
        self._transaction = transaction
        self._seconds = seconds
        self._spans = spans

    async def run(self, statement: str, **parameters: Any) -> list[Record]:
        with calling(self._spans, *told(statement)):
            return await self._run(statement, parameters)

    async def _run(self, statement: str, parameters: dict[str, Any]) -> list[Record]:
        async with self._driver.within(self._seconds):
            result = await self._transaction.run(statement, parameters)
            return [record async for record in result]


class Connections(Protocol):
    """What the store and the queries need of a driver."""

    async def read(self, statement: str, parameters: dict[str, Any], seconds: float = READ_SECONDS) -> list[Record]: ...

    async def run(self, statement: str, seconds: float, **parameters: Any) -> list[Record]: ...

    def transaction(self, seconds: float) -> AbstractAsyncContextManager[Transaction]: ...


class GraphDriver:
    """A pool of connections, made when they are first needed. Everything raises Unavailable or Misconfigured."""

    def __init__(self, driver: AsyncDriver, where: str) -> None:
        self._driver = driver
        self._where = where
        self._first = asyncio.Lock()
        self._accepted = False
        self._refused: tuple[float, Misconfigured] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        with suppress(TimeoutError, DriverError, Neo4jError, OSError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._driver.close()

    async def read(self, statement: str, parameters: dict[str, Any], seconds: float = READ_SECONDS) -> list[Record]:
        """What a statement finds; sent once more if the connection has died since its last use."""
        async with self.within(seconds):
            await self._let_in()
            try:
                return await self._read(statement, parameters)
            except (SessionExpired, ServiceUnavailable):
                return await self._read(statement, parameters)

    async def _read(self, statement: str, parameters: dict[str, Any]) -> list[Record]:
        async with self._driver.session(default_access_mode=READ_ACCESS) as session:
            result = await session.run(statement, parameters)
            return [record async for record in result]

    async def run(self, statement: str, seconds: float, **parameters: Any) -> list[Record]:
        """A statement in a transaction of its own."""
        async with self.transaction(seconds) as transaction:
            return await transaction.run(statement, **parameters)

    @asynccontextmanager
    async def transaction(self, seconds: float, spans: Spans | None = None) -> AsyncIterator[Transaction]:
        """A transaction that the server ends after so many seconds; undone unless the block ends well."""
        session = self._driver.session()
        try:
            async with self.within(_CONNECT_SECONDS + READ_SECONDS):
                await self._let_in()
                begun = await session.begin_transaction(timeout=seconds)
            yield Transaction(self, begun, seconds, spans)
            async with self.within(seconds):
                await begun.commit()
        finally:
            with suppress(TimeoutError, DriverError, Neo4jError, OSError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await session.close()  # undoes what wasn't committed

    async def _let_in(self) -> None:
        """Present the credentials once before others do it at the same time."""
        if not self._accepted:
            async with self._first:
                self._heed_refusal()
                if not self._accepted:
                    await self._driver.verify_connectivity()
                    self._accepted = True

    def _heed_refusal(self) -> None:
        if self._refused and monotonic() < self._refused[0]:
            raise self._refused[1]

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """A deadline, and the domain's errors for the driver's."""
        self._heed_refusal()
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise Unavailable(f"{self._where} gave no answer within {seconds:g} seconds.") from None
        except (DriverError, Neo4jError, OSError) as error:
            raise self._meaning(error) from None

    def _meaning(self, error: Exception) -> HopperError:
        """Only codes are repeated: the server's messages may contain what tasks say."""
        code = (error.code or "") if isinstance(error, Neo4jError) else ""
        if isinstance(error, AuthError) or code.startswith("Neo.ClientError.Security."):
            refused = Misconfigured(
                f"{self._where} refuses these credentials. Check 'database.neo4j.username' and "
                "'database.neo4j.password'. Hopper tries again in half a minute."
            )
            self._accepted = False
            self._refused = (monotonic() + _REST_AFTER_REFUSAL, refused)
            return refused
        if isinstance(error, ConfigurationError):
            return Misconfigured(f"{self._where} can't be used by this driver. Check 'database.neo4j.url'.")
        if code == "Neo.ClientError.Transaction.TransactionTimedOut":
            return Unavailable(f"{self._where} took too long.")
        if code and not code.startswith(_OUTAGES):
            return Conflict(f"{self._where} refuses this ({code}).")
        if code:
            return Unavailable(f"{self._where} couldn't do this just now ({code}).")
        return Unavailable(f"{self._where} can't be reached.")


@lru_cache(256)
def told(statement: str) -> tuple[str, Attributes]:
    """A span's name, and what it tells of a statement: its text, whose values are parameters."""
    text = " ".join(statement.split())
    operation = text.removeprefix("OPTIONAL ").partition(" ")[0]
    return operation, {"db.system.name": "neo4j", "db.operation.name": operation, "db.query.text": text[:2_000]}


def open_graph(url: str, username: str, password: str) -> GraphDriver:
    """Connections to this server, which needn't be up. Raises Misconfigured for a URL that can't be one."""
    try:
        parts = urlsplit(url)
        where = f"Neo4j at {parts.hostname}:{parts.port or 7687}"
        driver = AsyncGraphDatabase.driver(
            url,
            auth=(username, password),
            user_agent="hopper",
            connection_timeout=_CONNECT_SECONDS,
            connection_acquisition_timeout=READ_SECONDS,
            max_connection_pool_size=16,
            keep_alive=True,
            notifications_min_severity="OFF",
            telemetry_disabled=True,
        )
    except (ValueError, ConfigurationError):
        raise Misconfigured(
            "'database.neo4j.url' isn't an address of Neo4j. Write it like bolt://localhost:7687."
        ) from None
    return GraphDriver(driver, where)
