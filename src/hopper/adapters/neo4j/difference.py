"""What has to change in the graph for entities to be as they should. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from hopper.adapters.neo4j.values import same, sent, stored
from hopper.domain.graph import Edge, EdgeType, Label, Properties
from hopper.ports.graph import Unit

Row = list[Any]


@dataclass(slots=True)
class Held:
    """What the graph holds of an entity: its properties, and the edges of its own with Neo4j's ids of them."""

    properties: Properties
    edges: Sequence[tuple[str, Edge]]

    @property
    def tags(self) -> set[str]:
        return _tags(edge for _, edge in self.edges)


@dataclass(slots=True)
class TagChanges:
    """By how much more tasks have a tag, or both of two (the smaller name first); `left` may be in use no more."""

    tasks: Counter[str] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    left: set[str] = field(default_factory=set)

    def note(self, before: set[str], now: set[str]) -> None:
        """A task had these tags, and now has those."""
        if before != now:
            self.tasks.subtract(before - now)
            self.tasks.update(now - before)
            self.pairs.subtract(combinations(sorted(before), 2))
            self.pairs.update(combinations(sorted(now), 2))


@dataclass(slots=True)
class Difference:
    """Rows for the statements that make what is held equal to what should be.

    `nodes`: id and properties. `created`: source, target and properties. `changed`: Neo4j's id of an edge and
    properties. `gone`: Neo4j's ids of edges.
    """

    nodes: dict[Label, list[Row]] = field(default_factory=lambda: defaultdict(list))
    created: dict[EdgeType, list[Row]] = field(default_factory=lambda: defaultdict(list))
    changed: list[Row] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    tags: TagChanges = field(default_factory=TagChanges)

    def include(self, unit: Unit, held: Held | None) -> None:
        node = unit.node
        properties = stored(node.properties)
        if held is None or not same(held.properties, properties):
            self.nodes[node.label].append([node.id, properties])
        self._include_edges({edge.key: edge for edge in unit.edges}, held.edges if held else ())
        if node.label == Label.TASK:
            self.tags.note(held.tags if held else set(), _tags(unit.edges))

    def _include_edges(self, wanted: Mapping[tuple[str, ...], Edge], held: Sequence[tuple[str, Edge]]) -> None:
        missing = dict(wanted)
        for element_id, edge in held:
            to_be = missing.pop(edge.key, None)
            if to_be is None:  # not wanted, or there twice
                self.gone.append(element_id)
                if edge.type in (EdgeType.HAS_TAG, EdgeType.MATCHES_TAG):
                    self.tags.left.add(edge.target)
            elif not same(edge.properties, properties := stored(to_be.properties)):
                self.changed.append([element_id, properties])
        for edge in missing.values():
            self.created[edge.type].append([edge.source, edge.target, sent(edge.properties)])

    def include_removal(self, held: Held) -> None:
        """The entity's node goes, and its edges with it."""
        self.tags.note(held.tags, set())
        self.tags.left.update(
            edge.target for _, edge in held.edges if edge.type in (EdgeType.HAS_TAG, EdgeType.MATCHES_TAG)
        )


def _tags(edges: Iterable[Edge]) -> set[str]:
    return {edge.target for edge in edges if edge.type == EdgeType.HAS_TAG}
