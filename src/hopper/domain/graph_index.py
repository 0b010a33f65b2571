"""A part of the graph, by what it is looked up with."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import cast

from hopper.domain.delegation import DelegationStatus, DelegationType
from hopper.domain.graph import ENDS, Edge, EdgeType, Graph, Label, Node
from hopper.domain.graph_answer_models import Hop, InstanceEntry, ReachedTask, TaskEntry
from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.instance import InstanceStatus, Scope
from hopper.domain.task import Priority, TaskStatus


class GraphIndex:
    """What a traversal returned; tasks and instances as answers name them."""

    def __init__(self, graph: Graph) -> None:
        self.by_key = {(node.label, node.id): node for node in graph.nodes}
        self.edges: dict[EdgeType, list[Edge]] = defaultdict(list)
        self.delegations: dict[TaskId, list[Edge]] = defaultdict(list)
        for edge in graph.edges:
            self.edges[edge.type].append(edge)
        for edge in sorted(self.edges[EdgeType.DELEGATED_TO], key=_delegated):
            self.delegations[edge.source].append(edge)

    @property
    def open(self) -> set[TaskId]:
        return {
            id
            for (label, id), node in self.by_key.items()
            if label is Label.TASK and TaskStatus(str(node.properties["status"])).is_open
        }

    def over(self, type: EdgeType, *, backwards: bool = False, within: set[str] | None = None) -> dict[str, list[str]]:
        """Where the edges of a type lead from each node; only among `within`, if that is given."""
        ways = defaultdict(list)
        for edge in self.edges[type]:
            if within is None or (edge.source in within and edge.target in within):
                start, end = (edge.target, edge.source) if backwards else (edge.source, edge.target)
                ways[start].append(end)
        return ways

    def among(
        self, type: EdgeType, shown: Sequence[str], depths: Mapping[str, int], limit: int
    ) -> tuple[tuple[Edge, ...], int]:
        """The edges among these nodes, at most so many of them, and how many there are.

        First, for each node, one that it was reached by.
        """
        nodes = set(shown)
        edges = [edge for edge in self.edges[type] if edge.source in nodes and edge.target in nodes]
        reached: dict[str, Edge] = {}
        for edge in edges:
            near, far = sorted((edge.source, edge.target), key=depths.__getitem__)
            if depths[near] < depths[far]:
                reached.setdefault(far, edge)
        first = {edge.key: edge for edge in (*reached.values(), *edges)}
        return tuple(islice(first.values(), limit)), len(edges)

    def nodes(self, keys: set[tuple[Label, str]], edges: Iterable[Edge] = ()) -> tuple[Node, ...]:
        """These nodes, and those that the edges name."""
        named = set(keys)
        for edge in edges:
            source, target = ENDS[edge.type]
            named |= {(source, edge.source), (target, edge.target)}
            if came_from := edge.properties.get("source_instance_id"):
                named.add((Label.INSTANCE, str(came_from)))
        return tuple(self.by_key[key] for key in sorted(named & self.by_key.keys()))

    def fields(self, id: TaskId) -> tuple[TaskId, str, TaskStatus, Priority | None, str | None]:
        """Those of a TaskEntry."""
        of = self.by_key[Label.TASK, id].properties
        priority, project = of.get("priority"), of.get("project")
        return (
            id,
            str(of["title"]),
            TaskStatus(str(of["status"])),
            Priority(str(priority)) if priority else None,
            str(project) if project else None,
        )

    def task(self, id: TaskId) -> TaskEntry:
        return TaskEntry(*self.fields(id))

    def reached(self, ids: Sequence[TaskId], depths: Mapping[TaskId, int]) -> tuple[ReachedTask, ...]:
        return tuple(ReachedTask(*self.fields(id), depths[id]) for id in ids)

    def instance(self, id: InstanceId) -> InstanceEntry:
        of = self.by_key[Label.INSTANCE, id].properties
        return InstanceEntry(id, str(of["name"]), Scope(str(of["scope"])), InstanceStatus(str(of["status"])))

    def hops(self, delegations: Iterable[Edge]) -> tuple[Hop, ...]:
        return tuple(self._hop(edge) for edge in delegations)

    def _hop(self, edge: Edge) -> Hop:
        of = edge.properties
        source = of.get("source_instance_id")
        completed = of.get("completed_at")
        return Hop(
            delegation_id=str(of["delegation_id"]),
            source_instance_id=str(source) if source else None,
            source_name=self._name(str(source)),
            target_instance_id=edge.target,
            target_name=self._name(edge.target) or edge.target,
            delegation_type=DelegationType(str(of["type"])),
            status=DelegationStatus(str(of["status"])),
            delegated_at=cast(datetime, of["delegated_at"]),
            completed_at=cast(datetime, completed) if completed else None,
        )

    def _name(self, instance_id: InstanceId) -> str | None:
        node = self.by_key.get((Label.INSTANCE, instance_id))
        return str(node.properties["name"]) if node else None


def _delegated(edge: Edge) -> tuple[datetime, str]:
    return cast(datetime, edge.properties["delegated_at"]), str(edge.properties["delegation_id"])
