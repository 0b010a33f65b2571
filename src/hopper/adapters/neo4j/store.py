"""The graph database as a projection of one PostgreSQL database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hopper.adapters.neo4j.driver import Connections
from hopper.adapters.neo4j.loader import Neo4jLoader, filling
from hopper.adapters.neo4j.statements import (
    ANYTHING,
    BEGIN_FILLING,
    CONSTRAINTS,
    DELETE_SOME,
    LOCK,
    MARK,
    META,
    ORPHANED,
    PAGE,
    SET_WEIGHTS,
    TAG_NODES,
    TAG_PAIRS,
    UNWEIGHED,
    held_of,
)
from hopper.adapters.neo4j.values import edge_of, node_of
from hopper.adapters.neo4j.writer import Neo4jWriter
from hopper.domain.errors import Misconfigured
from hopper.domain.graph import Graph, Label
from hopper.ports.graph import Unit

_WRITE_SECONDS = 60.0
_DELETED_AT_ONCE = 2_000
_WEIGHED_AT_ONCE = 20
_LAST_ID = "\U0010ffff"


class Neo4jStore:
    """Implements ports.graph.GraphStore; `database_id` is that of the truth.

    A node of its own, HopperProjection, says which database the graph follows and how far. Its lock makes all writers
    take turns, those of other servers too.
    """

    def __init__(self, driver: Connections, database_id: str) -> None:
        self._driver = driver
        self._database_id = database_id

    async def prepare(self) -> None:
        await self._meta()
        for row in await self._driver.run(ORPHANED, _WRITE_SECONDS):
            await self._driver.run(f"DROP INDEX `{row[0]}` IF EXISTS", _WRITE_SECONDS)
        for statement in CONSTRAINTS:
            await self._driver.run(statement, _WRITE_SECONDS)
        await self._driver.run(MARK, _WRITE_SECONDS, database=self._database_id)
        await self._meta()

    async def position(self) -> int | None:
        meta = await self._meta()
        return meta[1] if meta else None

    async def _meta(self) -> tuple[str, int | None] | None:
        """Whose graph it is and how far it is; None if it is empty. Raises Misconfigured for others' data."""
        if rows := await self._driver.read(META, {}):
            self._check(rows[0][0])
            return self._database_id, rows[0][1]
        if await self._driver.read(ANYTHING, {}):
            raise Misconfigured(
                "This Neo4j holds data that isn't Hopper's, and Hopper leaves it alone. "
                "Give Hopper a Neo4j of its own ('database.neo4j.url')."
            )
        return None

    def _check(self, database_id: str) -> None:
        if database_id != self._database_id:
            raise Misconfigured(
                "This Neo4j holds the graph of another Hopper database. Set 'database.neo4j.url' to this one's own, or "
                "empty that Neo4j yourself if nobody needs it any more; Hopper then fills it again."
            )

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Neo4jWriter]:
        if await self._meta() is None:  # never filled, or wiped since
            await self.prepare()
        async with self._driver.transaction(_WRITE_SECONDS) as transaction:
            await transaction.run(LOCK)
            rows = await transaction.run(META)  # only now: another's turn may have been before
            self._check(rows[0][0])
            yield Neo4jWriter(transaction, rows[0][1])

    async def weigh(self) -> None:
        while await self._driver.read(UNWEIGHED, {}):
            async with self._driver.transaction(_WRITE_SECONDS) as transaction:
                rows = await transaction.run(LOCK)
                if not rows:  # wiped a moment ago
                    return
                self._check(rows[0][0])
                await transaction.run(SET_WEIGHTS, limit=_WEIGHED_AT_ONCE)

    async def clear(self, number: int) -> None:
        await self.prepare()
        await self._driver.run(BEGIN_FILLING, _WRITE_SECONDS, number=number)
        for label in (Label.TASK, Label.PATTERN, Label.INSTANCE, Label.TAG):
            while await self._deleted(label, number):
                pass

    async def _deleted(self, label: Label, number: int) -> int:
        rows = await filling(self._driver, number, DELETE_SOME[label], limit=_DELETED_AT_ONCE)
        return int(rows[0][0])

    def loading(self, number: int) -> Neo4jLoader:
        return Neo4jLoader(self._driver, number)

    async def units(self, label: Label, after: str, upto: str | None) -> tuple[Unit, ...]:
        parameters = {"after": after, "upto": _LAST_ID if upto is None else upto}
        return tuple(
            held_of(label, record).unit for record in await self._driver.read(PAGE[label], parameters, _WRITE_SECONDS)
        )

    async def tag_graph(self) -> Graph:
        nodes = await self._driver.read(TAG_NODES, {}, _WRITE_SECONDS)
        pairs = await self._driver.read(TAG_PAIRS, {}, _WRITE_SECONDS)
        # Not made one of equals, which there mustn't be.
        return Graph(
            tuple(sorted((node_of(Label.TAG, *record) for record in nodes), key=lambda node: node.key)),
            tuple(sorted((edge_of(*record) for record in pairs), key=lambda edge: edge.key)),
        )
