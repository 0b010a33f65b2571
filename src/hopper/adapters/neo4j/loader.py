"""Filling an emptied graph, while nobody else writes it."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from neo4j import Record

from hopper.adapters.neo4j.driver import Connections
from hopper.adapters.neo4j.statements import (
    ADD_EDGES,
    ADD_NODES,
    COUNT_PAIRS,
    COUNT_TASKS,
    LEAVE_POSITION,
    STILL_FILLING,
)
from hopper.adapters.neo4j.values import KEY, all_of, sent
from hopper.domain.errors import Conflict
from hopper.domain.graph import ENDS, Edge, Label
from hopper.ports.graph import Unit

_SECONDS = 60.0
_EDGES_AT_ONCE = 10_000
_TAGS_AT_ONCE = 100

T = TypeVar("T")


class Neo4jLoader:
    """Implements ports.graph.GraphLoader.

    Edges are joined by Neo4j's own numbers of nodes, which are kept here. Statements take turns: they touch the same
    instances and tags, and would end in deadlocks.
    """

    def __init__(self, driver: Connections, number: int) -> None:
        self._driver = driver
        self._number_of_filling = number
        self._numbers: Mapping[Label, dict[str, int]] = {label: {} for label in Label}
        self._waiting: list[Edge] = []
        self._turn = asyncio.Lock()

    async def add(self, units: Sequence[Unit]) -> None:
        rows = defaultdict(list)
        for unit in units:
            rows[unit.node.label].append(all_of(unit.node))
        edges = [edge for unit in units for edge in unit.edges]
        tags = {edge.target for edge in edges if ENDS[edge.type][1] is Label.TAG}
        async with self._turn:
            for label, added in rows.items():
                await self._create(label, added)
            if fresh := tags - self._numbers[Label.TAG].keys():
                await self._create(Label.TAG, [{KEY[Label.TAG]: name} for name in sorted(fresh)])
        self._waiting += await self._join(edges)

    async def finish(self) -> None:
        await self._join(self._waiting)
        await self._run(COUNT_TASKS)
        for names in _parts(list(self._numbers[Label.TAG]), _TAGS_AT_ONCE):
            await self._run(COUNT_PAIRS, names=names)
        await self._run(LEAVE_POSITION, position=self._number_of_filling)

    async def _run(self, statement: str, **parameters: Any) -> list[Record]:
        return await filling(self._driver, self._number_of_filling, statement, **parameters)

    async def _create(self, label: Label, rows: Sequence[object]) -> None:
        """Nodes, whose numbers are noted."""
        [(ids, numbers)] = await self._run(ADD_NODES[label], rows=rows)
        self._numbers[label].update(zip(ids, numbers, strict=True))

    async def _join(self, edges: Iterable[Edge]) -> list[Edge]:
        """Create the edges whose ends are there; returns the others."""
        rows = defaultdict(list)
        others = []
        for edge in edges:
            source, target = ENDS[edge.type]
            one, other = self._numbers[source].get(edge.source), self._numbers[target].get(edge.target)
            if one is None or other is None:
                others.append(edge)
            else:
                rows[edge.type].append([one, other, sent(edge.properties)])
        async with self._turn:
            for edge_type, joined in rows.items():
                for part in _parts(joined, _EDGES_AT_ONCE):
                    await self._run(ADD_EDGES[edge_type], rows=part)
        return others


async def filling(driver: Connections, number: int, statement: str, **parameters: Any) -> list[Record]:
    """A part of filling the graph; Conflict when somebody with a greater number has begun to."""
    async with driver.transaction(_SECONDS) as transaction:
        if not await transaction.run(STILL_FILLING, number=number):
            raise Conflict("Another server has begun to fill the graph.")
        return await transaction.run(statement, **parameters)


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
