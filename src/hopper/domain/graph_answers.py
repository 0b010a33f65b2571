"""What a person asked of the graph, worked out from the part of it that a traversal returned.

Where it is a list, the first `limit` entries are shown, and of the edges first those by which an entry was reached, so
that nothing hangs in the air.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from hopper.domain.graph import Edge, EdgeType, Graph, Label, Node
from hopper.domain.graph_answer_models import (
    Blocked,
    Bottleneck,
    Bottlenecks,
    CoOccurrence,
    CriticalPath,
    DelegationChain,
    Hierarchy,
    Impact,
    Lineage,
    PatternEntry,
    PingPong,
    ProjectCount,
    Relative,
    ReturnedTask,
    RoutingPatterns,
    TagPair,
)
from hopper.domain.graph_index import GraphIndex
from hopper.domain.ids import InstanceId, TaskId


def delegation_chain(graph: Graph, task_id: TaskId, limit: int) -> DelegationChain:
    found = GraphIndex(graph)
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
    found = GraphIndex(graph)
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
    found = GraphIndex(graph)
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
    found = GraphIndex(graph)
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
    found = GraphIndex(graph)
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
    found = GraphIndex(graph)
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
    found = GraphIndex(graph)
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
        nodes=GraphIndex(graph).nodes(set(), edges[:limit]),
        edges=tuple(edges[:limit]),
        truncated=len(edges) > limit,
        pairs=tuple(
            TagPair((edge.source, edge.target), int(_number(edge, "count")), _number(edge, "weight"))
            for edge in edges[:limit]
        ),
    )


def ping_pong(graph: Graph, limit: int) -> PingPong:
    """Of a graph that has one task more than `limit`, if there is one more."""
    found = GraphIndex(graph)
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
    found = GraphIndex(graph)
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


def _number(of: Node | Edge, name: str) -> float:
    return float(cast(float, of.properties[name]))
