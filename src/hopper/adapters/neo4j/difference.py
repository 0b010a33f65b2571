"""What has to change in the graph for entities to be as they should. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from hopper.adapters.neo4j.statements import Held
from hopper.adapters.neo4j.values import all_of, same, sent, stored
from hopper.domain.graph import Edge, EdgeType, Label
from hopper.ports.graph import Unit

Row = list[Any]


@dataclass(slots=True)
class TagChanges:
    """By how much more tasks have a tag, or both of two (the smaller name first); `left` may be in use no more."""

    tasks: Counter[str] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    left: set[str] = field(default_factory=set)

    @property
    def named(self) -> set[str]:
        return {*self.tasks, *(name for pair in self.pairs for name in pair)}

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

    `new_nodes`: all properties. `nodes` and `edges`, which are there: number and all properties. `new_edges`: source,
    target and properties. `gone`: numbers of edges.
    """

    new_nodes: dict[Label, list[Mapping[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    nodes: list[Row] = field(default_factory=list)
    new_edges: dict[EdgeType, list[Row]] = field(default_factory=lambda: defaultdict(list))
    edges: list[Row] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    tags: TagChanges = field(default_factory=TagChanges)

    def include(self, unit: Unit, held: Held | None) -> None:
        node = unit.node
        if held is None:
            self.new_nodes[node.label].append(all_of(node))
        elif not same(held.unit.node.properties, stored(node.properties)):
            self.nodes.append([held.number, all_of(node)])
        self._include_edges({edge.key: edge for edge in unit.edges}, held.edges if held else ())
        if node.label == Label.TASK:
            self.tags.note(_tags(held.unit) if held else set(), _tags(unit))

    def _include_edges(self, wanted: dict[tuple[str, ...], Edge], held: Iterable[tuple[int, Edge]]) -> None:
        for number, edge in held:
            to_be = wanted.pop(edge.key, None)
            if to_be is None:  # not wanted, or there twice
                self.gone.append(number)
                self._note_left(edge)
            elif not same(edge.properties, properties := stored(to_be.properties)):
                self.edges.append([number, properties])
        for edge in wanted.values():
            self.new_edges[edge.type].append([edge.source, edge.target, sent(edge.properties)])

    def include_removal(self, held: Held) -> None:
        """The entity's node goes, and its edges with it."""
        self.tags.note(_tags(held.unit), set())
        for edge in held.unit.edges:
            self._note_left(edge)

    def _note_left(self, edge: Edge) -> None:
        if edge.type in (EdgeType.HAS_TAG, EdgeType.MATCHES_TAG):
            self.tags.left.add(edge.target)


def _tags(unit: Unit) -> set[str]:
    return {edge.target for edge in unit.edges if edge.type == EdgeType.HAS_TAG}
