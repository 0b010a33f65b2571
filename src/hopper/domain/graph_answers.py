"""What a person asked of the graph, worked out from the part of it that a traversal returned.

Where it is a list, the first `limit` entries are shown, and of the edges first those by which an entry was reached, so
that nothing hangs in the air.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import cast

from hopper.domain.delegation import DelegationStatus, DelegationType
from hopper.domain.graph import ENDS, Edge, EdgeType, Graph, Label, Node
from hopper.domain.graph_answer_models import (
    Blocked,
    Bottleneck,
    Bottlenecks,
    CoOccurrence,
    CriticalPath,
    DelegationChain,
    Hierarchy,
    Hop,
    Impact,
    InstanceEntry,
    Lineage,
    PatternEntry,
    PingPong,
    ProjectCount,
    ReachedTask,
    Relative,
    ReturnedTask,
    RoutingPatterns,
    TagPair,
    TaskEntry,
)
from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.instance import InstanceStatus, Scope
from hopper.domain.task import Priority, TaskStatus


def delegation_chain(graph: Graph, task_id: TaskId, limit: int) -> DelegationChain:
    found = _Found(graph)
    delegations = found.delegations[task_id]
    shown = delegations[:limit]
    return DelegationChain(
        nodes=found.nodes({(Label.TASK, task_id)}, shown),
        edges=tuple(shown),
        truncated=len(delegations) > limit,
        task=found.task(task_id),
        hops=found.hops(shown),
        total=len(delegations),
    )


def blocked(graph: Graph, task_id: TaskId, limit: int) -> Blocked:
    found = _Found(graph)
    depths = _depths(task_id, found.over(EdgeType.DEPENDS_ON, backwards=True))
    shown = _nearest(depths, limit + 1)
    edges, all_edges = found.among(EdgeType.DEPENDS_ON, shown, depths, limit)
    return Blocked(
        nodes=found.nodes({(Label.TASK, id) for id in shown}),
        edges=edges,
        truncated=len(depths) > len(shown) or len(edges) < all_edges,
        task=found.task(task_id),
        tasks=found.reached(shown[1:], depths),
        total=len(depths) - 1,
    )


def impact(graph: Graph, task_id: TaskId, limit: int) -> Impact:
    """From `GraphQueries.blocked`. A task that isn't open holds up nothing."""
    found = _Found(graph)
    start = found.task(task_id)
    ways = found.over(EdgeType.DEPENDS_ON, backwards=True, within=found.open) if start.status.is_open else {}
    depths = _depths(task_id, ways)
    shown = _nearest(depths, limit + 1)
    edges, all_edges = found.among(EdgeType.DEPENDS_ON, shown, depths, limit)
    projects = Counter(found.task(id).project for id in depths if id != task_id)
    by_project = sorted(projects.items(), key=lambda one: (-one[1], one[0] is None, one[0] or ""))
    return Impact(
        nodes=found.nodes({(Label.TASK, id) for id in shown}),
        edges=edges,
        truncated=len(depths) > len(shown) or len(edges) < all_edges,
        task=start,
        tasks=found.reached(shown[1:], depths),
        total=len(depths) - 1,
        depth=max(depths.values()),
        by_project=tuple(ProjectCount(project, tasks) for project, tasks in by_project),
    )


def critical_path(graph: Graph, task_id: TaskId, limit: int) -> CriticalPath:
    """From `GraphQueries.needed`. Of several chains of that length: the smallest ids, from the task backwards.

    With a limit, the end of the work is shown.
    """
    found = _Found(graph)
    needs = found.over(EdgeType.DEPENDS_ON, within=found.open)
    reached = _depths(task_id, needs) if task_id in found.open else {}
    chain = _longest_chain(task_id, reached, needs)
    shown = chain[-limit:]
    steps = set(zip(shown[1:], shown, strict=False))
    return CriticalPath(
        nodes=found.nodes({(Label.TASK, id) for id in [*shown, task_id]}),
        edges=tuple(edge for edge in found.edges[EdgeType.DEPENDS_ON] if (edge.source, edge.target) in steps),
        truncated=len(chain) > limit,
        task=found.task(task_id),
        tasks=tuple(found.task(id) for id in shown),
        total=len(chain),
        needed=max(0, len(reached) - 1),
    )


def lineage(graph: Graph, task_id: TaskId, limit: int) -> Lineage:
    found = _Found(graph)
    above = _depths(task_id, found.over(EdgeType.SUBTASK_OF))
    below = _depths(task_id, found.over(EdgeType.SUBTASK_OF, backwards=True))
    depths = below | above
    shown = _nearest(depths, limit + 1)
    edges, _ = found.among(EdgeType.SUBTASK_OF, shown, depths, limit)
    delegations = [edge for id in shown for edge in found.delegations[id]]
    relatives = {id: Relative(*found.fields(id), depths[id], found.hops(found.delegations[id][:limit])) for id in shown}
    return Lineage(
        nodes=found.nodes({(Label.TASK, id) for id in shown}, delegations[:limit]),
        edges=(*edges, *delegations[:limit]),
        truncated=len(depths) > len(shown) or len(delegations) > limit,
        task=relatives[task_id],
        ancestors=tuple(relatives[id] for id in shown[1:] if id in above),
        descendants=tuple(relatives[id] for id in shown[1:] if id in below),
        total_ancestors=len(above) - 1,
        total_descendants=len(below) - 1,
    )


def hierarchy(graph: Graph, instance_id: InstanceId, limit: int) -> Hierarchy:
    found = _Found(graph)
    depths = _depths(instance_id, found.over(EdgeType.CHILD_OF))
    shown = _nearest(depths, limit)
    edges, _ = found.among(EdgeType.CHILD_OF, shown, depths, limit)
    return Hierarchy(
        nodes=found.nodes({(Label.INSTANCE, id) for id in shown}),
        edges=edges,
        truncated=len(depths) > limit,
        instances=tuple(found.instance(id) for id in shown),
        total=len(depths),
    )


def routing_patterns(graph: Graph, instance_id: InstanceId, limit: int) -> RoutingPatterns:
    found = _Found(graph)
    patterns = sorted(
        (
            PatternEntry(node.id, str(node.properties["name"]), _number(node, "confidence"))
            for node in graph.nodes
            if node.label is Label.PATTERN
        ),
        key=lambda one: (-one.confidence, one.id),
    )
    shown = {one.id for one in patterns[:limit]}
    edges = [edge for edge in found.edges[EdgeType.ROUTES_TO] if edge.source in shown]
    return RoutingPatterns(
        nodes=found.nodes({(Label.INSTANCE, instance_id)}, edges),
        edges=tuple(edges),
        truncated=len(patterns) > limit,
        instance=found.instance(instance_id),
        patterns=tuple(patterns[:limit]),
        total=len(patterns),
    )


def co_occurrence(graph: Graph, limit: int) -> CoOccurrence:
    """Of a graph that has one pair more than `limit`, if there is one more."""
    edges = sorted(graph.edges, key=lambda edge: (-_number(edge, "count"), edge.source, edge.target))
    return CoOccurrence(
        nodes=_Found(graph).nodes(set(), edges[:limit]),
        edges=tuple(edges[:limit]),
        truncated=len(edges) > limit,
        pairs=tuple(
            TagPair((edge.source, edge.target), int(_number(edge, "count")), _number(edge, "weight"))
            for edge in edges[:limit]
        ),
    )


def ping_pong(graph: Graph, limit: int) -> PingPong:
    """Of a graph that has one task more than `limit`, if there is one more."""
    found = _Found(graph)
    returns = {id: _returns(found.delegations[id]) for label, id in found.by_key if label is Label.TASK}
    worst = sorted(returns, key=lambda id: (-returns[id], id))[:limit]
    edges = [edge for id in worst for edge in found.delegations[id]]
    return PingPong(
        nodes=found.nodes({(Label.TASK, id) for id in worst}, edges[:limit]),
        edges=tuple(edges[:limit]),
        truncated=len(returns) > limit or len(edges) > limit,
        tasks=tuple(
            ReturnedTask(*found.fields(id), returns[id], found.hops(found.delegations[id][:limit])) for id in worst
        ),
    )


def bottlenecks(graph: Graph, limit: int) -> Bottlenecks:
    """Of a graph that has one bottleneck more than `limit`, if there is one more."""
    found = _Found(graph)
    waiting = defaultdict(list)
    for edge in found.edges[EdgeType.DEPENDS_ON]:
        waiting[edge.target].append(edge)
    manages = {edge.target: edge for edge in found.edges[EdgeType.MANAGES]}
    worst = sorted(waiting, key=lambda id: (-len(waiting[id]), id))[:limit]
    edges = [edge for id in worst for edge in waiting[id]]
    shown = [*edges[:limit], *(manages[id] for id in worst if id in manages)]
    return Bottlenecks(
        nodes=found.nodes({(Label.TASK, id) for id in worst}, shown),
        edges=tuple(shown),
        truncated=len(waiting) > limit or len(edges) > limit,
        tasks=tuple(
            Bottleneck(
                *found.fields(id),
                len(waiting[id]),
                found.instance(manages[id].source) if id in manages else None,
            )
            for id in worst
        ),
    )


class _Found:
    """What a traversal returned, by what it is looked up with."""

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


def _depths(start: str, ways: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """How far each node is at least that can be reached, itself included."""
    depths, waiting = {start: 0}, deque([start])
    while waiting:
        here = waiting.popleft()
        for there in ways.get(here, ()):
            if there not in depths:
                depths[there] = depths[here] + 1
                waiting.append(there)
    return depths


def _nearest(depths: Mapping[str, int], limit: int) -> list[str]:
    return sorted(depths, key=lambda id: (depths[id], id))[:limit]


def _longest_chain(end: TaskId, reached: Iterable[TaskId], needs: Mapping[TaskId, Sequence[TaskId]]) -> list[TaskId]:
    """The longest way that leads to `end` through what is reached, in the order of work (Kahn 1962)."""
    dependents = defaultdict(list)
    open_needs = {id: len(needs.get(id, ())) for id in reached}
    for id in open_needs:
        for needed in needs.get(id, ()):
            dependents[needed].append(id)
    ready = deque(id for id, count in open_needs.items() if count == 0)
    best: dict[TaskId, tuple[int, TaskId | None]] = {}
    while ready:
        here = ready.popleft()
        before = min(needs.get(here, ()), key=lambda id: (-best[id][0], id), default=None)
        best[here] = (best[before][0] + 1 if before else 1, before)
        for there in dependents[here]:
            open_needs[there] -= 1
            if open_needs[there] == 0:
                ready.append(there)
    chain: list[TaskId] = []
    step = end if end in best else None
    while step:
        chain.append(step)
        step = best[step][1]
    return chain[::-1]


def _returns(delegations: Sequence[Edge]) -> int:
    """How many of these lead to an instance that an earlier one led to."""
    return len(delegations) - len({edge.target for edge in delegations})


def _delegated(edge: Edge) -> tuple[datetime, str]:
    return cast(datetime, edge.properties["delegated_at"]), str(edge.properties["delegation_id"])


def _number(of: Node | Edge, name: str) -> float:
    return float(cast(float, of.properties[name]))
