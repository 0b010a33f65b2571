"""Small worlds of entities as the graph should hold them, and what follows from their tags."""

import random
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import combinations

from hopper.domain.graph import Edge, EdgeType, Graph, Label, Node, Value
from hopper.ports.graph import Unit

TAGS = ["ui", "api", "Zebra", "größe", "\uff21", "\U0001f600", "db", "x y"]


def a_task_unit(
    id: str, *, tags: Iterable[str] = (), title: str = "Card payment", version: int = 1, **properties: str
) -> Unit:
    node = Node(Label.TASK, id, {"title": title, "status": "pending", "version": version, **properties})
    return Unit(node, tuple(Edge(EdgeType.HAS_TAG, id, tag) for tag in sorted(tags)))


def tag_graph_of(units: Iterable[Unit]) -> Graph:
    """The tags of these and what occurs together, counted from nothing."""
    units = list(units)
    of_tasks = [_targets(unit, EdgeType.HAS_TAG) for unit in units]
    asked = {name for unit in units for name in _targets(unit, EdgeType.MATCHES_TAG)}
    tasks = Counter(name for names in of_tasks for name in names)
    pairs = Counter(pair for names in of_tasks for pair in combinations(sorted(names), 2))
    return Graph.of(
        (Node(Label.TAG, name, {"tasks": tasks[name]}) for name in tasks.keys() | asked),
        (
            Edge(EdgeType.CO_OCCURS_WITH, a, b, {"count": both, "weight": both / (tasks[a] + tasks[b] - both)})
            for (a, b), both in pairs.items()
        ),
    )


def _targets(unit: Unit, edge_type: EdgeType) -> set[str]:
    return {edge.target for edge in unit.edges if edge.type is edge_type}


class World:
    """Instances, tasks and patterns that come, change and go at random."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self._units: dict[tuple[str, str], Unit] = {}
        self._version = 0

    def units(self) -> list[Unit]:
        """All that is there now, by label and id, edges in the order of their keys."""
        return [self._units[key] for key in sorted(self._units)]

    def change(self) -> tuple[str, str]:
        """Let one entity come, change or go; its key."""
        label = self.rng.choice([Label.INSTANCE, Label.TASK, Label.TASK, Label.TASK, Label.PATTERN])
        key = (label, f"{label[0]}{self.rng.randrange(12)}")
        if key in self._units and self.rng.random() < 0.25:
            self._remove(key)
        else:
            self._version += 1
            self._units[key] = getattr(self, f"_{label.lower()}")(key[1])
        return key

    def _remove(self, key: tuple[str, str]) -> None:
        del self._units[key]
        for other, unit in self._units.items():
            left = tuple(edge for edge in unit.edges if key not in edge.ends)
            self._units[other] = Unit(unit.node, left)

    def _some(self, label: Label, count: int, but: str = "") -> list[str]:
        there = [id for kind, id in self._units if kind == label and id != but]
        return self.rng.sample(there, min(count, len(there)))

    def _instance(self, id: str) -> Unit:
        node = Node(Label.INSTANCE, id, {"name": id, "scope": "PROJECT", "version": self._version})
        return _unit(node, [Edge(EdgeType.CHILD_OF, id, parent) for parent in self._some(Label.INSTANCE, 1, id)])

    def _pattern(self, id: str) -> Unit:
        properties: dict[str, Value] = {
            "name": id,
            "confidence": self.rng.random(),
            "is_active": True,
            "version": self._version,
        }
        edges = [Edge(EdgeType.ROUTES_TO, id, target) for target in self._some(Label.INSTANCE, 1)]
        edges += [Edge(EdgeType.DERIVED_FROM, id, other) for other in self._some(Label.PATTERN, 2, id)]
        edges += [Edge(EdgeType.MATCHES_TAG, id, tag) for tag in self.rng.sample(TAGS, self.rng.randrange(3))]
        return _unit(Node(Label.PATTERN, id, properties), edges)

    def _task(self, id: str) -> Unit:
        properties: dict[str, Value] = {
            "title": f"Task {id}",
            "status": self.rng.choice(["pending", "done"]),
            "version": self._version,
        }
        if self.rng.random() < 0.5:
            properties["project"] = "web"
        edges = [Edge(EdgeType.SUBTASK_OF, id, parent) for parent in self._some(Label.TASK, 1, id)]
        edges += [Edge(EdgeType.MANAGES, holder, id) for holder in self._some(Label.INSTANCE, 1)]
        for needed in self._some(Label.TASK, self.rng.randrange(3), id):
            edges += [Edge(EdgeType.DEPENDS_ON, id, needed), Edge(EdgeType.BLOCKS, needed, id)]
        for tag in self.rng.sample(TAGS, self.rng.randrange(5)):
            edges.append(Edge(EdgeType.HAS_TAG, id, tag, {"value": "blue"} if self.rng.random() < 0.3 else {}))
        for n, target in enumerate(self._some(Label.INSTANCE, self.rng.randrange(3))):
            given = {"delegation_id": f"{id}-{n}", "status": self.rng.choice(["pending", "recalled"])}
            moment = datetime(2026, 1, 1, microsecond=self._version, tzinfo=UTC)
            edges.append(Edge(EdgeType.DELEGATED_TO, id, target, {**given, "delegated_at": moment}))
        return _unit(Node(Label.TASK, id, properties), edges)


def _unit(node: Node, edges: Iterable[Edge]) -> Unit:
    return Unit(node, tuple(sorted(edges, key=lambda edge: edge.key)))
