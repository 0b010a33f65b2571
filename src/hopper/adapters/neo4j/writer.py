"""Writing entities to the graph, with what follows from their tags."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from hopper.adapters.neo4j.difference import Difference, Held, TagChanges
from hopper.adapters.neo4j.driver import Transaction
from hopper.adapters.neo4j.statements import (
    CHANGE_EDGES,
    CREATE_EDGES,
    DELETE_EDGES,
    DELETE_NODES,
    DELETE_UNUSED_TAGS,
    HELD,
    LEAVE_POSITION,
    SET_NODES,
    SET_PAIRS,
    SET_TAGS,
    SET_WEIGHTS,
    UNPAIR,
    unit_of,
)
from hopper.domain.graph import Label
from hopper.ports.graph import Unit


class Neo4jWriter:
    """Implements ports.graph.GraphWriter in a transaction that holds the lock of the graph."""

    def __init__(self, transaction: Transaction, position: int | None) -> None:
        self._run = transaction.run
        self._position = position

    @property
    def position(self) -> int | None:
        return self._position

    async def put(self, units: Sequence[Unit]) -> None:
        groups: dict[Label, dict[str, Unit]] = defaultdict(dict)
        for unit in units:
            groups[unit.node.label][unit.node.id] = unit
        difference = Difference()
        for label, group in groups.items():
            held = await self._held(label, group)
            for id, unit in group.items():
                difference.include(unit, held.get(id))
        for label, rows in difference.nodes.items():
            await self._run(SET_NODES[label], rows=rows)
        if difference.gone:
            await self._run(DELETE_EDGES, ids=difference.gone)
        if difference.changed:
            await self._run(CHANGE_EDGES, rows=difference.changed)
        for edge_type, rows in difference.created.items():
            await self._run(CREATE_EDGES[edge_type], rows=rows)
        await self._follow(difference.tags)

    async def remove(self, label: Label, ids: Sequence[str]) -> None:
        difference = Difference()
        held = await self._held(label, ids)
        for entity in held.values():
            difference.include_removal(entity)
        if held:
            await self._run(DELETE_NODES[label], ids=list(held))
        await self._follow(difference.tags)

    async def leave(self, position: int) -> None:
        await self._run(LEAVE_POSITION, position=position)

    async def _held(self, label: Label, ids: Iterable[str]) -> Mapping[str, Held]:
        found = {}
        for record in await self._run(HELD[label], ids=list(ids)):
            unit, element_ids = unit_of(label, record)
            found[unit.node.id] = Held(unit.node.properties, tuple(zip(element_ids, unit.edges, strict=True)))
        return found

    async def _follow(self, changes: TagChanges) -> None:
        """Tags and their pairs, exactly as the HAS_TAG edges are now."""
        tags = [[name, more] for name, more in changes.tasks.items() if more]
        pairs = [[one, other, more] for (one, other), more in changes.pairs.items() if more]
        fewer = [[one, other] for (one, other), more in changes.pairs.items() if more < 0]
        if tags:
            await self._run(SET_TAGS, rows=tags)
        if pairs:
            await self._run(SET_PAIRS, rows=pairs)
        if fewer:
            await self._run(UNPAIR, rows=fewer)
        if names := {row[0] for row in tags + pairs}:
            await self._run(SET_WEIGHTS, names=sorted(names))
        if changes.left:
            await self._run(DELETE_UNUSED_TAGS, names=sorted(changes.left))
