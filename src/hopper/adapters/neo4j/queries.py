"""The graph's questions, asked of Neo4j.

Each is one statement, one way there and back, which tells the graph's position as well. Transitive reach is written as
`*0..` with DISTINCT right behind, which Neo4j plans as a breadth-first search that visits a node once
(VarLengthExpand(Pruning,BFS)); the seed's `*` enumerates paths, whose number grows exponentially in a graph with
diamonds. All edges that lead into (or out of) what was reached
so are edges among it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, LiteralString

from hopper.adapters.neo4j.driver import Connections
from hopper.adapters.neo4j.values import edge_of, node_of
from hopper.domain.errors import NotFound
from hopper.domain.graph import Graph, Standing, TagUse
from hopper.domain.ids import InstanceId, TaskId

# What the statements return: a row has nodes, as lists of a label and properties, and edges, as lists of a type, two
# ids and properties.

_DELEGATION_CHAIN = """
    MATCH (task:Task {id: $id})
    WITH task, COLLECT { MATCH (task)-[d:DELEGATED_TO]->(:Instance) RETURN d } AS delegations
    RETURN [['Task', properties(task)]] + COLLECT {
            UNWIND delegations AS d
            UNWIND [endNode(d).id, d.source_instance_id] AS id
            WITH DISTINCT id
            MATCH (i:Instance {id: id})
            RETURN ['Instance', properties(i)]
        } AS nodes,
        [d IN delegations | [type(d), task.id, endNode(d).id, properties(d)]] AS edges
"""

_BLOCKED = """
    MATCH (:Task {id: $id})<-[:DEPENDS_ON*0..]-(task)
    WITH DISTINCT task
    RETURN [['Task', properties(task)]] AS nodes,
        [(task)<-[d:DEPENDS_ON]-(other) | [type(d), other.id, task.id, properties(d)]] AS edges
"""

_NEEDED = """
    MATCH (:Task {id: $id})-[:DEPENDS_ON*0..]->(task)
    WITH DISTINCT task
    RETURN [['Task', properties(task)]] AS nodes,
        [(task)-[d:DEPENDS_ON]->(other) | [type(d), task.id, other.id, properties(d)]] AS edges
"""

_LINEAGE = """
    MATCH (start:Task {id: $id})
    CALL (start) {
        MATCH (start)-[:SUBTASK_OF*0..]->(task)
        RETURN DISTINCT task
        UNION
        MATCH (start)<-[:SUBTASK_OF*0..]-(task)
        RETURN DISTINCT task
    }
    RETURN [['Task', properties(task)]] + [(task)-[:DELEGATED_TO]->(i) | ['Instance', properties(i)]] AS nodes,
        [(task)-[e:SUBTASK_OF|DELEGATED_TO]->(other) | [type(e), task.id, other.id, properties(e)]] AS edges
"""

_HIERARCHY = """
    MATCH (:Instance {id: $id})-[:CHILD_OF*0..]->(instance)
    WITH DISTINCT instance
    RETURN [['Instance', properties(instance)]] AS nodes,
        [(instance)-[e:CHILD_OF]->(parent) | [type(e), instance.id, parent.id, properties(e)]] AS edges
"""

_ROUTING_PATTERNS = """
    MATCH (instance:Instance {id: $id})
    WITH instance, COLLECT {
        MATCH (p:Pattern)-[r:ROUTES_TO]->(instance)
        WHERE p.is_active AND p.confidence > $min_confidence
        RETURN [p, r]
    } AS found
    RETURN [['Instance', properties(instance)]] + [pair IN found | ['Pattern', properties(pair[0])]] AS nodes,
        [pair IN found | [type(pair[1]), pair[0].id, instance.id, properties(pair[1])]] AS edges
"""

# The stored weights follow the counts with a delay.
_CO_OCCURRENCE = """
    MATCH (a:Tag)-[c:CO_OCCURS_WITH]->(b:Tag)
    WHERE c.count > $more_than
    WITH a, b, c ORDER BY c.count DESC, a.name, b.name LIMIT $limit
    RETURN [['Tag', properties(a)], ['Tag', properties(b)]] AS nodes,
        [[type(c), a.name, b.name, {
            count: c.count, weight: toFloat(c.count) / (a.tasks + b.tasks - c.count)}]] AS edges
"""

_PING_PONG = """
    MATCH (task:Task)
    WHERE COUNT { (task)-[:DELEGATED_TO]->() } > $at_least
    MATCH (task)-[d:DELEGATED_TO]->(i:Instance)
    WITH task, collect(d) AS delegations, count(d) - count(DISTINCT i) AS returns
    WHERE returns >= $at_least AND returns > 0
    WITH task, delegations ORDER BY returns DESC, task.id LIMIT $limit
    RETURN [['Task', properties(task)]] + COLLECT {
            UNWIND delegations AS d
            UNWIND [endNode(d).id, d.source_instance_id] AS id
            WITH DISTINCT id
            MATCH (i:Instance {id: id})
            RETURN ['Instance', properties(i)]
        } AS nodes,
        [d IN delegations | [type(d), task.id, endNode(d).id, properties(d)]] AS edges
"""

_BOTTLENECKS = """
    MATCH (waiting:Task)-[d:DEPENDS_ON]->(task:Task)
    WHERE waiting.status IN $open AND task.status IN $open
    WITH task, collect([waiting, d]) AS held_up
    ORDER BY size(held_up) DESC, task.id LIMIT $limit
    WITH task, held_up, [(holder:Instance)-[m:MANAGES]->(task) | [holder, m]] AS holders
    RETURN [['Task', properties(task)]] + [pair IN held_up | ['Task', properties(pair[0])]]
            + [pair IN holders | ['Instance', properties(pair[0])]] AS nodes,
        [pair IN held_up | [type(pair[1]), pair[0].id, task.id, properties(pair[1])]]
            + [pair IN holders | [type(pair[1]), pair[0].id, task.id, properties(pair[1])]] AS edges
"""

_TAGS = """
    MATCH (tag:Tag)
    RETURN tag.name AS name, tag.tasks AS tasks, COUNT { (tag)<-[:MATCHES_TAG]-() } AS patterns
"""

_STANDINGS = """
    UNWIND $ids AS id
    MATCH (i:Instance {id: id})
    RETURN i.id AS id, COUNT { MATCH (i)-[:MANAGES]->(task:Task) WHERE task.status IN $open } AS open_tasks,
        COLLECT {
            MATCH (i)<-[d:DELEGATED_TO]-()
            WITH d.status AS status, count(*) AS times
            RETURN [status, times]
        } AS delegations
"""

_OPEN = ["pending", "in_progress"]


def _with_position(statement: LiteralString, columns: LiteralString) -> LiteralString:
    """One row: the graph's position, and the rows of the statement."""
    return f"""
        OPTIONAL MATCH (m:HopperProjection {{id: 'graph'}})
        RETURN m.position, COLLECT {{
            CALL {{{statement}}}
            RETURN [{columns}]
        }}
    """


class Neo4jGraph:
    """Implements ports.graph.PositionedQueries."""

    def __init__(self, driver: Connections) -> None:
        self._driver = driver
        self._position: int | None = None

    @property
    def position(self) -> int | None:
        return self._position

    async def delegation_chain(self, task_id: TaskId) -> Graph:
        return await self._from("task", task_id, _DELEGATION_CHAIN)

    async def blocked(self, task_id: TaskId) -> Graph:
        return await self._from("task", task_id, _BLOCKED)

    async def needed(self, task_id: TaskId) -> Graph:
        return await self._from("task", task_id, _NEEDED)

    async def lineage(self, task_id: TaskId) -> Graph:
        return await self._from("task", task_id, _LINEAGE)

    async def hierarchy(self, instance_id: InstanceId) -> Graph:
        return await self._from("instance", instance_id, _HIERARCHY)

    async def routing_patterns(self, instance_id: InstanceId, min_confidence: float) -> Graph:
        return await self._from("instance", instance_id, _ROUTING_PATTERNS, min_confidence=min_confidence)

    async def co_occurrence(self, more_than: int, limit: int) -> Graph:
        return _graph(await self._found(_CO_OCCURRENCE, more_than=more_than, limit=limit))

    async def ping_pong(self, at_least: int, limit: int) -> Graph:
        return _graph(await self._found(_PING_PONG, at_least=at_least, limit=limit))

    async def bottlenecks(self, limit: int) -> Graph:
        return _graph(await self._found(_BOTTLENECKS, open=_OPEN, limit=limit))

    async def tags(self) -> tuple[TagUse, ...]:
        found = await self._found(_TAGS, "name, tasks, patterns")
        return tuple(sorted((TagUse(*use) for use in found), key=lambda use: use.name))

    async def standings(self, instance_ids: Sequence[InstanceId]) -> Mapping[InstanceId, Standing]:
        found = await self._found(_STANDINGS, "id, open_tasks, delegations", ids=list(instance_ids), open=_OPEN)
        return {id: _standing(open_tasks, dict(delegations)) for id, open_tasks, delegations in found}

    async def _from(self, kind: str, id: str, statement: LiteralString, **parameters: Any) -> Graph:
        """What is found from there: no row, if that isn't there."""
        found = await self._found(statement, id=id, **parameters)
        if not found:
            raise NotFound(kind, id)
        return _graph(found)

    async def _found(
        self, statement: LiteralString, columns: LiteralString = "nodes, edges", **parameters: Any
    ) -> list[list[Any]]:
        [(self._position, rows)] = await self._driver.read(_with_position(statement, columns), parameters)
        return rows  # type: ignore[no-any-return]


def _graph(records: Iterable[Sequence[Any]]) -> Graph:
    nodes, edges = [], []
    for found, between in records:
        nodes += [node_of(*node) for node in found]
        edges += [edge_of(*edge) for edge in between]
    return Graph.of(nodes, edges)


def _standing(open_tasks: int, delegations: Mapping[str, int]) -> Standing:
    return Standing(
        open_tasks,
        live=delegations.get("pending", 0) + delegations.get("accepted", 0),
        completed=delegations.get("completed", 0),
        rejected=delegations.get("rejected", 0),
        recalled=delegations.get("recalled", 0),
    )
