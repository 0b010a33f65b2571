"""What the nodes and edges of the graph hold, as it stands in the rows: selected here, for the queries and the source.

Lists come in the order of Python, whatever the database's collation.
"""

from collections.abc import Iterator

from hopper.adapters.postgres.sql import Row
from hopper.domain.graph import Edge, EdgeType, Label, Node, Properties, Value
from hopper.ports.graph import Unit

INSTANCE = "id, name, scope, status, version, parent_id"

TASK = "id, title, status, priority, project, version, instance_id, parent_task_id"

NEEDS = """ARRAY(SELECT depends_on_id::text FROM task_dependencies WHERE task_id = tasks.id
    ORDER BY depends_on_id COLLATE "C") AS depends_on"""

DELEGATIONS = "delegations.*"

WITH_DELEGATIONS = """tasks CROSS JOIN LATERAL (
    SELECT array_agg(d.id) AS ids, array_agg(target_instance_id) AS targets, array_agg(source_instance_id) AS sources,
        array_agg(delegation_type) AS types, array_agg(d.status) AS statuses, array_agg(delegated_at) AS delegated,
        array_agg(completed_at) AS completed
    FROM (SELECT * FROM task_delegations WHERE task_id = tasks.id AND target_instance_id IS NOT NULL
        ORDER BY target_instance_id COLLATE "C", id COLLATE "C") AS d) AS delegations"""

ASKED = """SELECT DISTINCT split_part(term, '=', 1)
    FROM jsonb_array_elements_text((tag_criteria -> 'any') || (tag_criteria -> 'all')) AS term
    WHERE term !~ '^=' AND source <> 'northbound'"""
"""The names of the tags that a pattern asks for; what others ask for is no matter of this server's tags."""

PATTERN = f"""id, name, confidence, is_active, version,
    (SELECT id FROM hopper_instances WHERE id = target_instance) AS target,
    ARRAY(SELECT derived_from_id::text FROM pattern_derivations WHERE pattern_id = routing_patterns.id
        ORDER BY derived_from_id COLLATE "C") AS derived_from,
    ARRAY({ASKED}) AS asked"""
"""Nothing keeps the instance that a pattern names from being removed."""

TAGGED = """tagged AS (
    SELECT name, count(*) AS tasks FROM tasks, jsonb_object_keys(tags) AS name GROUP BY name)"""
"""How many tasks have each tag."""

PAIRED = """SELECT one AS source, other AS target, count(*) AS count
    FROM tasks, jsonb_object_keys(tags) AS one, jsonb_object_keys(tags) AS other
    WHERE one < other COLLATE "C" GROUP BY one, other"""
"""How many tasks have both of two tags."""


def _there(**values: Value | None) -> Properties:
    return {name: value for name, value in values.items() if value is not None}


def instance_node(row: Row) -> Node:
    names = ("name", "scope", "status", "version")
    return Node(Label.INSTANCE, row["id"], {name: row[name] for name in names})


def task_node(row: Row) -> Node:
    properties = _there(
        title=row["title"],
        status=row["status"],
        priority=row["priority"],
        project=row["project"],
        version=row["version"],
    )
    return Node(Label.TASK, row["id"], properties)


def pattern_node(row: Row) -> Node:
    names = ("name", "confidence", "is_active", "version")
    return Node(Label.PATTERN, row["id"], {name: row[name] for name in names})


def tag_node(name: str, tasks: int) -> Node:
    return Node(Label.TAG, name, {"tasks": tasks})


def child_of(row: Row) -> Iterator[Edge]:
    if row["parent_id"]:
        yield Edge(EdgeType.CHILD_OF, row["id"], row["parent_id"])


def depends_on(row: Row) -> Iterator[Edge]:
    return (Edge(EdgeType.DEPENDS_ON, row["id"], needed) for needed in row["depends_on"])


def subtask_of(row: Row) -> Iterator[Edge]:
    if row["parent_task_id"]:
        yield Edge(EdgeType.SUBTASK_OF, row["id"], row["parent_task_id"])


def manages(row: Row) -> Iterator[Edge]:
    if row["instance_id"]:
        yield Edge(EdgeType.MANAGES, row["instance_id"], row["id"])


def delegated_to(row: Row) -> Iterator[Edge]:
    if row["ids"] is None:
        return
    columns = ("ids", "targets", "sources", "types", "statuses", "delegated", "completed")
    for id, target, source, kind, status, began, ended in zip(*map(row.__getitem__, columns), strict=True):
        properties = _there(
            delegation_id=id,
            type=kind,
            status=status,
            delegated_at=began,
            completed_at=ended,
            source_instance_id=source,
        )
        yield Edge(EdgeType.DELEGATED_TO, row["id"], target, properties)


def routes_to(row: Row) -> Iterator[Edge]:
    if row["target"]:
        yield Edge(EdgeType.ROUTES_TO, row["id"], row["target"])


def co_occurs(source: str, target: str, count: int, either: int) -> Edge:
    return Edge(EdgeType.CO_OCCURS_WITH, source, target, {"count": count, "weight": count / either})


def instance_unit(row: Row) -> Unit:
    return Unit(instance_node(row), tuple(child_of(row)))


def task_unit(row: Row) -> Unit:
    id = row["id"]
    edges = [Edge(EdgeType.BLOCKS, needed, id) for needed in row["depends_on"]]
    edges += delegated_to(row)
    edges += depends_on(row)
    for name, value in sorted(row["tags"].items()):
        edges.append(Edge(EdgeType.HAS_TAG, id, name, {"value": value} if isinstance(value, str) else {}))
    edges += manages(row)
    edges += subtask_of(row)
    return Unit(task_node(row), tuple(edges))


def pattern_unit(row: Row) -> Unit:
    id = row["id"]
    edges = [Edge(EdgeType.DERIVED_FROM, id, origin) for origin in row["derived_from"]]
    edges += [Edge(EdgeType.MATCHES_TAG, id, name) for name in sorted(row["asked"])]
    edges += routes_to(row)
    return Unit(pattern_node(row), tuple(edges))
