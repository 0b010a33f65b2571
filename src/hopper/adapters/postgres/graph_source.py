"""What the graph should hold, from PostgreSQL."""

from collections.abc import Callable, Mapping, Sequence

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
    co_occurs,
    instance_unit,
    pattern_unit,
    tag_node,
    task_unit,
)
from hopper.adapters.postgres.sql import Connection, Row
from hopper.domain.graph import Graph, Label
from hopper.ports.graph import Unit

_UNITS: Mapping[Label, tuple[str, str, Callable[[Row], Unit]]] = {
    Label.INSTANCE: (f"SELECT {INSTANCE} FROM hopper_instances", "hopper_instances.id", instance_unit),
    Label.TASK: (f"SELECT {TASK}, tags, {NEEDS}, {DELEGATIONS} FROM {WITH_DELEGATIONS}", "tasks.id", task_unit),
    Label.PATTERN: (f"SELECT {PATTERN} FROM routing_patterns", "routing_patterns.id", pattern_unit),
}


class PostgresGraphSource:
    """Implements ports.graph.GraphSource."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def units(self, label: Label, ids: Sequence[str]) -> Mapping[str, Unit]:
        select, id, unit = _UNITS[label]
        rows = await self._connection.fetch(f"{select} WHERE {id} = ANY($1::text[])", list(ids))
        return {row["id"]: unit(row) for row in rows}

    async def page(self, label: Label, after: str, limit: int) -> tuple[Unit, ...]:
        # These operators go by bytes, and idx_tasks_id_prefix has that order whatever the database's collation is.
        select, id, unit = _UNITS[label]
        rows = await self._connection.fetch(
            f"{select} WHERE {id} ~>~ $1::text ORDER BY {id} USING ~<~ LIMIT $2", after, limit
        )
        return tuple(map(unit, rows))

    async def tag_graph(self) -> Graph:
        rows = await self._connection.fetch(
            f"""WITH {TAGGED}, paired AS ({PAIRED})
                SELECT source, target, count, one.tasks + other.tasks - count AS either
                FROM paired JOIN tagged AS one ON one.name = source JOIN tagged AS other ON other.name = target
                UNION ALL SELECT name, NULL, tasks, NULL FROM tagged
                UNION ALL SELECT asked.name, NULL, 0, NULL
                FROM (SELECT DISTINCT asked.name FROM routing_patterns, LATERAL ({ASKED}) AS asked(name)) AS asked
                WHERE NOT EXISTS (SELECT FROM tagged WHERE tagged.name = asked.name)"""
        )
        return Graph.of(
            (tag_node(row["source"], row["count"]) for row in rows if row["target"] is None),
            (co_occurs(*row) for row in rows if row["target"] is not None),
        )
