"""What is asked of the graph, from the index: of what tasks, instances, patterns and tags say of each other."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from hopper.adapters.markdown.sql import AMONG, Row, moment
from hopper.domain.errors import NotFound
from hopper.domain.graph import Edge, EdgeType, Graph, Label, Node, Properties, Standing, TagUse, Value
from hopper.domain.ids import InstanceId, TaskId

if TYPE_CHECKING:
    from hopper.adapters.markdown.session import Session

_OPEN = "status IN ('pending', 'in_progress')"

_TASK = """id, title, status, priority, project, version, instance_id, parent_task_id,
    (SELECT json_group_array(depends_on_id) FROM task_dependencies d WHERE d.task_id = tasks.id) AS depends_on"""

_INSTANCE = "id, name, scope, status, version, parent_id"

_REACHED = """WITH RECURSIVE reached AS (
        SELECT ? AS id
        UNION SELECT d.{to} FROM task_dependencies d JOIN reached ON d.{by} = reached.id)
    SELECT id FROM reached"""

_LINEAGE = """WITH RECURSIVE above AS (
        SELECT ?1 AS id
        UNION SELECT parent_task_id FROM tasks JOIN above USING (id)),
    below AS (
        SELECT ?1 AS id
        UNION SELECT tasks.id FROM tasks JOIN below ON parent_task_id = below.id)
    SELECT id FROM above UNION SELECT id FROM below"""

_HIERARCHY = """WITH RECURSIVE above AS (
        SELECT ? AS id
        UNION SELECT parent_id FROM hopper_instances JOIN above USING (id))
    SELECT id FROM above"""

_PING_PONG = """SELECT task_id AS id FROM (
        SELECT task_id, count(*) AS times FROM task_delegations
        WHERE target_instance_id IN (SELECT id FROM hopper_instances) AND task_id IN (SELECT id FROM tasks)
        GROUP BY task_id, target_instance_id HAVING count(*) > 1)
    GROUP BY task_id HAVING sum(times - 1) >= ? ORDER BY sum(times - 1) DESC, task_id LIMIT ?"""

_WAITING = f"""SELECT t.id, needed.id AS needed FROM task_dependencies d
    JOIN tasks t ON t.id = d.task_id JOIN tasks needed ON needed.id = d.depends_on_id
    WHERE t.{_OPEN} AND needed.{_OPEN}"""


class MarkdownGraph:
    """Implements ports.graph.GraphQueries."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def delegation_chain(self, task_id: TaskId) -> Graph:
        return await self._delegated(await self._tasks([task_id], start=task_id), with_sources=True)

    async def blocked(self, task_id: TaskId) -> Graph:
        return await self._dependencies(task_id, _REACHED.format(by="depends_on_id", to="task_id"))

    async def needed(self, task_id: TaskId) -> Graph:
        return await self._dependencies(task_id, _REACHED.format(by="task_id", to="depends_on_id"))

    async def lineage(self, task_id: TaskId) -> Graph:
        rows = await self._tasks(_ids(await self._session.fetch(_LINEAGE, task_id)), start=task_id)
        return await self._delegated(rows, (edge for row in rows for edge in _subtask_of(row)))

    async def hierarchy(self, instance_id: InstanceId) -> Graph:
        above = _ids(await self._session.fetch(_HIERARCHY, instance_id))
        rows = await self._instances(above, start=instance_id)
        parents = (Edge(EdgeType.CHILD_OF, row["id"], row["parent_id"]) for row in rows if row["parent_id"])
        return _among(map(_instance_node, rows), parents)

    async def routing_patterns(self, instance_id: InstanceId, min_confidence: float) -> Graph:
        instances = await self._instances([instance_id], start=instance_id)
        rows = await self._session.fetch(
            """SELECT id, name, confidence, is_active, version FROM routing_patterns
               WHERE target_instance = ? AND is_active AND confidence > ?""",
            instance_id,
            min_confidence,
        )
        routes = (Edge(EdgeType.ROUTES_TO, row["id"], instance_id) for row in rows)
        return _among([*map(_instance_node, instances), *map(_pattern_node, rows)], routes)

    async def co_occurrence(self, more_than: int, limit: int) -> Graph:
        tagged = [sorted(tags) for tags in await self._tag_names()]
        uses = Counter(name for names in tagged for name in names)
        pairs = Counter(pair for names in tagged for pair in combinations(names, 2))
        often = sorted((-count, *pair) for pair, count in pairs.items() if count > more_than)[:limit]
        nodes = (Node(Label.TAG, name, {"tasks": uses[name]}) for _, *pair in often for name in pair)
        return Graph.of(nodes, (_co_occurs(one, other, -count, uses) for count, one, other in often))

    async def ping_pong(self, at_least: int, limit: int) -> Graph:
        returned = _ids(await self._session.fetch(_PING_PONG, at_least, limit))
        return await self._delegated(await self._tasks(returned), with_sources=True)

    async def bottlenecks(self, limit: int) -> Graph:
        waiting = await self._session.fetch(_WAITING)
        counts = Counter(row["needed"] for row in waiting)
        worst = set(sorted(counts, key=lambda id: (-counts[id], id))[:limit])
        waits = [Edge(EdgeType.DEPENDS_ON, row["id"], row["needed"]) for row in waiting if row["needed"] in worst]
        rows = await self._tasks([*worst, *(edge.source for edge in waits)])
        held = [
            Edge(EdgeType.MANAGES, row["instance_id"], row["id"])
            for row in rows
            if row["id"] in worst and row["instance_id"]
        ]
        holders = await self._instances([edge.source for edge in held])
        return _among([*map(_task_node, rows), *map(_instance_node, holders)], [*waits, *held])

    async def tags(self) -> tuple[TagUse, ...]:
        uses = Counter(name for names in await self._tag_names() for name in names)
        rows = await self._session.fetch("SELECT tag_criteria FROM routing_patterns WHERE tag_criteria IS NOT NULL")
        asked = Counter(name for row in rows for name in _asked(json.loads(row["tag_criteria"])))
        return tuple(TagUse(name, uses[name], asked[name]) for name in sorted({*uses, *asked}))

    async def standings(self, instance_ids: Sequence[InstanceId]) -> Mapping[InstanceId, Standing]:
        rows = await self._session.fetch(
            f"""SELECT i.id,
                    (SELECT count(*) FROM tasks WHERE instance_id = i.id AND {_OPEN}),
                    count(d.id) FILTER (WHERE d.status IN ('pending', 'accepted')),
                    count(d.id) FILTER (WHERE d.status = 'completed'),
                    count(d.id) FILTER (WHERE d.status = 'rejected'),
                    count(d.id) FILTER (WHERE d.status = 'recalled')
                FROM hopper_instances i LEFT JOIN (
                    SELECT id, status, target_instance_id FROM task_delegations
                    WHERE task_id IN (SELECT id FROM tasks)) d ON d.target_instance_id = i.id
                WHERE i.id {AMONG.format("?")} GROUP BY i.id""",
            list(instance_ids),
        )
        return {row[0]: Standing(*tuple(row)[1:]) for row in rows}

    async def _dependencies(self, task_id: TaskId, reached: str) -> Graph:
        rows = await self._tasks(_ids(await self._session.fetch(reached, task_id)), start=task_id)
        edges = (Edge(EdgeType.DEPENDS_ON, row["id"], id) for row in rows for id in json.loads(row["depends_on"]))
        return _among(map(_task_node, rows), edges)

    async def _delegated(
        self, tasks: Sequence[Row], edges: Iterable[Edge] = (), *, with_sources: bool = False
    ) -> Graph:
        """Tasks with their delegations, the instances that these led to and, if wanted, those that they came from."""
        rows = await self._session.fetch(
            f"""SELECT *, (SELECT id FROM hopper_instances WHERE id = source_instance_id) AS sender
                FROM task_delegations WHERE task_id {AMONG.format("?")} AND target_instance_id IS NOT NULL""",
            [task["id"] for task in tasks],
        )
        ends = {row["target_instance_id"] for row in rows}
        if with_sources:
            ends |= {row["sender"] for row in rows if row["sender"]}
        instances = await self._instances(sorted(ends))
        nodes = [*map(_task_node, tasks), *map(_instance_node, instances)]
        return _among(nodes, [*map(_delegated_to, rows), *edges])

    async def _tasks(self, ids: Sequence[TaskId], *, start: TaskId | None = None) -> list[Row]:
        """Raises NotFound for a start that isn't there, Conflict for one whose file can't be read."""
        rows = await self._session.fetch(f"SELECT {_TASK} FROM tasks WHERE id {AMONG.format('?')}", list(ids))
        if start and all(row["id"] != start for row in rows):
            raise await self._session.absent("task", start)
        return rows

    async def _instances(self, ids: Sequence[InstanceId], *, start: InstanceId | None = None) -> list[Row]:
        rows = await self._session.fetch(
            f"SELECT {_INSTANCE} FROM hopper_instances WHERE id {AMONG.format('?')}", list(ids)
        )
        if start and all(row["id"] != start for row in rows):
            raise NotFound("instance", start)
        return rows

    async def _tag_names(self) -> list[list[str]]:
        """Those of each task that has any."""
        rows = await self._session.fetch("SELECT tags FROM tasks WHERE tags <> '{}'")
        return [[*json.loads(row["tags"])] for row in rows]


def _ids(rows: Iterable[Row]) -> list[str]:
    return [row["id"] for row in rows if row["id"]]


def _asked(criteria: Mapping[str, Sequence[str]]) -> set[str]:
    """The names of the tags that a pattern asks for."""
    return {name for term in (*criteria["any"], *criteria["all"]) if (name := term.partition("=")[0])}


def _there(**values: Value | None) -> Properties:
    return {name: value for name, value in values.items() if value is not None}


def _task_node(row: Row) -> Node:
    names = ("title", "status", "priority", "project", "version")
    return Node(Label.TASK, row["id"], _there(**{name: row[name] for name in names}))


def _instance_node(row: Row) -> Node:
    return Node(Label.INSTANCE, row["id"], {name: row[name] for name in ("name", "scope", "status", "version")})


def _pattern_node(row: Row) -> Node:
    said = {name: row[name] for name in ("name", "confidence", "version")}
    return Node(Label.PATTERN, row["id"], {**said, "is_active": bool(row["is_active"])})


def _subtask_of(row: Row) -> Iterator[Edge]:
    if row["parent_task_id"]:
        yield Edge(EdgeType.SUBTASK_OF, row["id"], row["parent_task_id"])


def _delegated_to(row: Row) -> Edge:
    properties = _there(
        delegation_id=row["id"],
        type=row["delegation_type"],
        status=row["status"],
        delegated_at=moment(row["delegated_at"]),
        completed_at=moment(row["completed_at"]),
        source_instance_id=row["sender"],
    )
    return Edge(EdgeType.DELEGATED_TO, row["task_id"], row["target_instance_id"], properties)


def _co_occurs(one: str, other: str, count: int, uses: Mapping[str, int]) -> Edge:
    weight = count / (uses[one] + uses[other] - count)
    return Edge(EdgeType.CO_OCCURS_WITH, one, other, {"count": count, "weight": weight})


def _among(nodes: Iterable[Node], edges: Iterable[Edge]) -> Graph:
    """The nodes and the edges between them: what a merge left dangling, and the parents of others, are left out."""
    there = {node.key: node for node in nodes}
    return Graph.of(there.values(), (edge for edge in edges if there.keys() >= edge.ends))
