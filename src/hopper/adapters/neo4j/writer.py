"""Writing entities to the graph, with what follows from their tags."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from hopper.adapters.neo4j.difference import Difference, TagChanges
from hopper.adapters.neo4j.driver import Transaction
from hopper.adapters.neo4j.statements import (
    ADD_EDGES,
    ADD_NODES,
    DELETE_EDGES,
    DELETE_NODES,
    DELETE_UNUSED_TAGS,
    FIND_NODES,
    HELD,
    LEAVE_POSITION,
    SET_EDGES,
    SET_NODES,
    SET_PAIRS,
    SET_TAGS,
    UNPAIR,
    Held,
    held_of,
)
from hopper.domain.graph import ENDS, Label
from hopper.ports.graph import Unit

Numbers = dict[Label, dict[str, int]]
"""Neo4j's numbers of nodes, by their ids."""


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
        numbers: Numbers = defaultdict(dict)
        for label, group in groups.items():
            held = await self._held(label, group)
            for id, unit in group.items():
                difference.include(unit, held.get(id))
            numbers[label] = {id: entity.number for id, entity in held.items()}
        for label, nodes in difference.new_nodes.items():
            numbers[label] |= await self._numbered(ADD_NODES[label], rows=nodes)
        if difference.nodes:
            await self._run(SET_NODES, rows=difference.nodes)
        if difference.gone:
            await self._run(DELETE_EDGES, numbers=difference.gone)
        if difference.edges:
            await self._run(SET_EDGES, rows=difference.edges)
        await self._find(_ends(difference), numbers)
        for edge_type, rows in difference.new_edges.items():
            one, other = (numbers[label] for label in ENDS[edge_type])
            await self._run(ADD_EDGES[edge_type], rows=[[one[row[0]], other[row[1]], row[2]] for row in rows])
        await self._follow(difference.tags, numbers[Label.TAG])

    async def remove(self, label: Label, ids: Sequence[str]) -> None:
        difference = Difference()
        held = await self._held(label, ids)
        for entity in held.values():
            difference.include_removal(entity)
        if held:
            await self._run(DELETE_NODES, numbers=[entity.number for entity in held.values()])
        numbers: Numbers = defaultdict(dict)
        await self._find(_ends(difference), numbers)
        await self._follow(difference.tags, numbers[Label.TAG])

    async def leave(self, position: int) -> None:
        await self._run(LEAVE_POSITION, position=position)

    async def _held(self, label: Label, ids: Iterable[str]) -> Mapping[str, Held]:
        held = (held_of(label, record) for record in await self._run(HELD[label], ids=list(ids)))
        return {entity.unit.node.id: entity for entity in held}

    async def _numbered(self, statement: str, **parameters: object) -> dict[str, int]:
        [(ids, numbers)] = await self._run(statement, **parameters)
        return dict(zip(ids, numbers, strict=True))

    async def _find(self, ends: Mapping[Label, set[str]], numbers: Numbers) -> None:
        for label, ids in ends.items():
            if missing := ids - numbers[label].keys():
                numbers[label] |= await self._numbered(FIND_NODES[label], ids=sorted(missing))

    async def _follow(self, changes: TagChanges, numbers: Mapping[str, int]) -> None:
        """Tags and their pairs, exactly as the HAS_TAG edges are now, but for the weights."""
        if changes.tasks:
            await self._run(SET_TAGS, rows=[[numbers[name], more] for name, more in changes.tasks.items()])
        pairs = [[numbers[one], numbers[other], more] for (one, other), more in changes.pairs.items() if more]
        if pairs:
            await self._run(SET_PAIRS, rows=pairs)
        if fewer := [row for row in pairs if row[2] < 0]:
            await self._run(UNPAIR, rows=fewer)
        if changes.left:
            await self._run(DELETE_UNUSED_TAGS, names=sorted(changes.left))


def _ends(difference: Difference) -> Mapping[Label, set[str]]:
    """The nodes that new edges, and changes of tags, lead to."""
    ends: dict[Label, set[str]] = defaultdict(set)
    for edge_type, rows in difference.new_edges.items():
        for label, position in zip(ENDS[edge_type], (0, 1), strict=True):
            ends[label].update(row[position] for row in rows)
    ends[Label.TAG] |= difference.tags.named
    return ends
