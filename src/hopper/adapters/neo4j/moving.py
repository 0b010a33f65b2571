"""Connections to a Neo4j that may come later, end, and come back elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from neo4j import Record

from hopper.adapters.neo4j.driver import READ_SECONDS, GraphDriver, Transaction, open_graph, told
from hopper.domain.errors import Starting
from hopper.ports.graph import Neo4jAddress
from hopper.ports.spans import Spans, calling


class MovingDriver:
    """A driver of where `address` says that Neo4j is now; Starting while that is nowhere."""

    def __init__(self, address: Callable[[], Neo4jAddress | None], spans: Spans | None = None) -> None:
        self._address = address
        self._spans = spans
        self._open: tuple[Neo4jAddress, GraphDriver] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        await asyncio.gather(*self._closing)

    def _current(self) -> GraphDriver:
        address = self._address()
        if address is None:
            raise Starting("Neo4j isn't ready yet.")
        if self._open is None or self._open[0] != address:
            self._leave()
            self._open = address, open_graph(address.url, address.username, address.password)
        return self._open[1]

    def _leave(self) -> None:
        if self._open:
            closing = asyncio.ensure_future(self._open[1].close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self._open = None

    async def read(self, statement: str, parameters: dict[str, Any], seconds: float = READ_SECONDS) -> list[Record]:
        with calling(self._spans, *told(statement)):
            return await self._current().read(statement, parameters, seconds)

    async def run(self, statement: str, seconds: float, **parameters: Any) -> list[Record]:
        with calling(self._spans, *told(statement), always=True):
            return await self._current().run(statement, seconds, **parameters)

    @asynccontextmanager
    async def transaction(self, seconds: float) -> AsyncIterator[Transaction]:
        with calling(self._spans, "transaction", {"db.system.name": "neo4j"}, always=True):
            async with self._current().transaction(seconds, self._spans) as transaction:
                yield transaction
