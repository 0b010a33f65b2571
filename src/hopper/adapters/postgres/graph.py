"""The graph's questions, asked of the truth by recursive SQL.

What can be reached is a set of ids first (UNION: of the many ways to a node only one is gone), and then its rows. These
are found by ids in an array, since a join would be planned badly for a set whose size nobody knows beforehand.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from hopper.adapters.postgres.graph_rows import (
    ASKED,
    DELEGATIONS,
    INSTANCE,
    NEEDS,
    PAIRED,
    PATTERN,
    TAGGED,
    TASK,
    WITH_DELEGATIONS,
    child_of,
    co_occurs,
    delegated_to,
    depends_on,
    instance_node,
    manages,
    pattern_node,
    routes_to,
    subtask_of,
    tag_node,
    task_node,
)
from hopper.adapters.postgres.sql import Connection, Row
from hopper.domain.errors import NotFound, Unavailable
from hopper.domain.graph import Edge, EdgeType, Graph, Node, Standing, TagUse
from hopper.domain.ids import InstanceId, TaskId

_OPEN = "status IN ('pending', 'in_progress')"

_DELEGATED = f"SELECT {TASK}, {DELEGATIONS} FROM {WITH_DELEGATIONS}"

_REACHED = f"""WITH RECURSIVE reached AS (
        SELECT $1::varchar AS id
        UNION SELECT d.{{to}} FROM task_dependencies d JOIN reached ON d.{{by}} = reached.id)
    SELECT {TASK}, {NEEDS} FROM tasks WHERE id = ANY(ARRAY(SELECT id FROM reached))"""

_LINEAGE = f"""WITH RECURSIVE above AS (
        SELECT $1::varchar AS id
        UNION SELECT parent_task_id FROM tasks JOIN above USING (id)),
    below AS (
        SELECT $1::varchar AS id
        UNION SELECT tasks.id FROM tasks JOIN below ON parent_task_id = below.id)
    {_DELEGATED} WHERE tasks.id = ANY(ARRAY(SELECT id FROM above UNION SELECT id FROM below))"""

_HIERARCHY = f"""WITH RECURSIVE above AS (
        SELECT $1::varchar AS id
        UNION SELECT parent_id FROM hopper_instances JOIN above USING (id))
    SELECT {INSTANCE} FROM hopper_instances WHERE id = ANY(ARRAY(SELECT id FROM above))"""

_CO_OCCURRENCE = f"""WITH {TAGGED}, paired AS (
        {PAIRED} HAVING count(*) > $1 ORDER BY count DESC, one COLLATE "C", other COLLATE "C" LIMIT $2)
    SELECT source, target, count, one.tasks AS one, other.tasks AS other
    FROM paired JOIN tagged AS one ON one.name = source JOIN tagged AS other ON other.name = target"""

_PING_PONG = f"""WITH returned AS (
        SELECT task_id, sum(times - 1) AS returns
        FROM (SELECT task_id, count(*) AS times FROM task_delegations WHERE target_instance_id IS NOT NULL
            GROUP BY task_id, target_instance_id HAVING count(*) > 1) AS often
        GROUP BY task_id HAVING sum(times - 1) >= $1 ORDER BY returns DESC, task_id COLLATE "C" LIMIT $2)
    {_DELEGATED} WHERE tasks.id = ANY(ARRAY(SELECT task_id FROM returned))"""

_BOTTLENECKS = f"""WITH waiting AS (
        SELECT task_id, depends_on_id
        FROM task_dependencies JOIN tasks ON tasks.id = task_id JOIN tasks AS needed ON needed.id = depends_on_id
        WHERE tasks.{_OPEN} AND needed.{_OPEN}),
    worst AS (
        SELECT depends_on_id AS id FROM waiting GROUP BY depends_on_id
        ORDER BY count(*) DESC, depends_on_id COLLATE "C" LIMIT $1)
    SELECT {TASK}, {NEEDS}, id IN (SELECT id FROM worst) AS is_worst
    FROM tasks WHERE id = ANY(ARRAY(
        SELECT id FROM worst UNION SELECT task_id FROM waiting JOIN worst ON depends_on_id = worst.id))"""

_TAGS = f"""WITH {TAGGED}, asked AS (
        SELECT asked.name, count(*) AS patterns FROM routing_patterns, LATERAL ({ASKED}) AS asked(name)
        GROUP BY asked.name)
    SELECT name, coalesce(tasks, 0), coalesce(patterns, 0) FROM tagged FULL JOIN asked USING (name)
    ORDER BY name COLLATE "C\""""

_STANDINGS = f"""SELECT id,
        (SELECT count(*) FROM tasks WHERE instance_id = hopper_instances.id AND {_OPEN}) AS open_tasks, delegations.*
    FROM hopper_instances CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE status IN ('pending', 'accepted')) AS live,
            count(*) FILTER (WHERE status = 'completed') AS completed,
            count(*) FILTER (WHERE status = 'rejected') AS rejected,
            count(*) FILTER (WHERE status = 'recalled') AS recalled
        FROM task_delegations WHERE target_instance_id = hopper_instances.id) AS delegations
    WHERE id = ANY($1::text[])"""

_PATIENCE_SECONDS = 20


class PostgresGraph:
    """Implements ports.graph.GraphQueries."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def _fetch(self, statement: str, *parameters: object) -> list[Row]:
        """Raises Unavailable when it takes too long: a traversal may be of any size."""
        try:
            rows: list[Row] = await self._connection.fetch(statement, *parameters, timeout=_PATIENCE_SECONDS)
        except TimeoutError:
            raise Unavailable(
                f"This question takes longer than {_PATIENCE_SECONDS} seconds. Ask for a smaller part of the graph."
            ) from None
        return rows

    async def delegation_chain(self, task_id: TaskId) -> Graph:
        rows = await self._fetch(f"{_DELEGATED} WHERE tasks.id = $1", task_id)
        return await self._delegated(_starting(rows, "task", task_id), with_sources=True)

    async def blocked(self, task_id: TaskId) -> Graph:
        return await self._dependencies(task_id, by="depends_on_id", to="task_id")

    async def needed(self, task_id: TaskId) -> Graph:
        return await self._dependencies(task_id, by="task_id", to="depends_on_id")

    async def lineage(self, task_id: TaskId) -> Graph:
        rows = _starting(await self._fetch(_LINEAGE, task_id), "task", task_id)
        return await self._delegated(rows, subtask_of)

    async def hierarchy(self, instance_id: InstanceId) -> Graph:
        rows = _starting(await self._fetch(_HIERARCHY, instance_id), "instance", instance_id)
        return _among(map(instance_node, rows), _each(rows, child_of))

    async def routing_patterns(self, instance_id: InstanceId, min_confidence: float) -> Graph:
        instances = _starting(await self._instances([instance_id]), "instance", instance_id)
        rows = await self._fetch(
            f"SELECT {PATTERN} FROM routing_patterns WHERE target_instance = $1 AND is_active AND confidence > $2",
            instance_id,
            min_confidence,
        )
        return _among([*map(instance_node, instances), *map(pattern_node, rows)], _each(rows, routes_to))

    async def co_occurrence(self, more_than: int, limit: int) -> Graph:
        rows = await self._fetch(_CO_OCCURRENCE, more_than, limit)
        nodes, edges = [], []
        for source, target, count, one, other in rows:
            nodes += [tag_node(source, one), tag_node(target, other)]
            edges.append(co_occurs(source, target, count, one + other - count))
        return Graph.of(nodes, edges)

    async def ping_pong(self, at_least: int, limit: int) -> Graph:
        return await self._delegated(await self._fetch(_PING_PONG, at_least, limit), with_sources=True)

    async def bottlenecks(self, limit: int) -> Graph:
        rows = await self._fetch(_BOTTLENECKS, limit)
        worst = [row for row in rows if row["is_worst"]]
        ids = {row["id"] for row in worst}
        holders = await self._instances({row["instance_id"] for row in worst})
        waits = (edge for edge in _each(rows, depends_on) if edge.target in ids)
        return _among([*map(task_node, rows), *map(instance_node, holders)], [*waits, *_each(worst, manages)])

    async def tags(self) -> tuple[TagUse, ...]:
        return tuple(TagUse(*row) for row in await self._fetch(_TAGS))

    async def standings(self, instance_ids: Sequence[InstanceId]) -> Mapping[InstanceId, Standing]:
        rows = await self._fetch(_STANDINGS, list(instance_ids))
        return {id: Standing(*counts) for id, *counts in rows}

    async def _dependencies(self, task_id: TaskId, *, by: str, to: str) -> Graph:
        """What is reached from the task over dependencies, from one of their columns to the other."""
        rows = await self._fetch(_REACHED.format(by=by, to=to), task_id)
        return _among(map(task_node, _starting(rows, "task", task_id)), _each(rows, depends_on))

    async def _delegated(
        self, rows: Sequence[Row], *edges_of: Callable[[Row], Iterable[Edge]], with_sources: bool = False
    ) -> Graph:
        """Tasks with their delegations, the instances that these led to and, if wanted, those that they came from."""
        edges = [edge for each in (delegated_to, *edges_of) for edge in _each(rows, each)]
        delegations = [edge for edge in edges if edge.type is EdgeType.DELEGATED_TO]
        ids = {edge.target for edge in delegations}
        if with_sources:
            ids |= {str(source) for edge in delegations if (source := edge.properties.get("source_instance_id"))}
        return _among([*map(task_node, rows), *map(instance_node, await self._instances(ids))], edges)

    async def _instances(self, ids: Iterable[InstanceId | None]) -> Sequence[Row]:
        found: Sequence[Row] = await self._fetch(
            f"SELECT {INSTANCE} FROM hopper_instances WHERE id = ANY($1::text[])", [id for id in ids if id]
        )
        return found


def _starting(rows: Sequence[Row], kind: str, id: str) -> Sequence[Row]:
    """The rows, unless what they were reached from isn't there."""
    if all(row["id"] != id for row in rows):
        raise NotFound(kind, id)
    return rows


def _each(rows: Iterable[Row], edges_of: Callable[[Row], Iterable[Edge]]) -> Iterable[Edge]:
    return (edge for row in rows for edge in edges_of(row))


def _among(nodes: Iterable[Node], edges: Iterable[Edge]) -> Graph:
    """The nodes and the edges between them; in a lineage the parents of others are left out, and what has just gone."""
    there = {node.key: node for node in nodes}
    return Graph.of(there.values(), (edge for edge in edges if there.keys() >= edge.ends))
