"""From the domain's nodes and edges to Neo4j's values, and back."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from neo4j.time import DateTime

from hopper.domain.graph import ENDS, Edge, EdgeType, Label, Node, Properties, Value

KEY: Mapping[Label, str] = {
    Label.INSTANCE: "id",
    Label.TASK: "id",
    Label.PATTERN: "id",
    Label.TAG: "name",
}
"""The property that holds a node's id."""

INCOMING = (EdgeType.MANAGES, EdgeType.BLOCKS)
"""The edges that lead to the node whose unit they belong to. All others come from it."""


def owner(edge_type: EdgeType) -> Label:
    """The kind of node whose unit these edges belong to."""
    return ENDS[edge_type][edge_type in INCOMING]


def stored(properties: Properties) -> dict[str, Value]:
    """Properties as the driver takes them and `properties_of` gives them back."""
    return {name: _stored(value) for name, value in properties.items()}


def all_of(node: Node) -> dict[str, Value]:
    """A node's properties as they are stored, its id among them."""
    return {KEY[node.label]: node.id} | stored(node.properties)


def _stored(value: Value) -> Value:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return str(value) if isinstance(value, StrEnum) else value


INSTANTS: Mapping[EdgeType, tuple[str, ...]] = {EdgeType.DELEGATED_TO: ("delegated_at", "completed_at")}
"""The properties that are instants. New ones are sent as text: the driver takes 50 µs to pack an instant."""


def sent(properties: Properties) -> dict[str, Value]:
    """As `stored`, but for instants, which a statement that creates edges makes of their text."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else _stored(value) for name, value in properties.items()
    }


def properties_of(values: Mapping[str, Any]) -> dict[str, Value]:
    return {
        name: value.to_native().astimezone(UTC) if isinstance(value, DateTime) else value
        for name, value in values.items()
    }


def same(one: Properties, other: Properties) -> bool:
    """Whether these are equal, and of equal types: 1, 1.0 and true aren't."""
    return one == other and all(type(value) is type(other[name]) for name, value in one.items())


def node_of(label: str, values: Mapping[str, Any]) -> Node:
    """A node from all its properties, its id among them."""
    kind = Label(label)
    properties = properties_of(values)
    return Node(kind, str(properties.pop(KEY[kind])), properties)


def edge_of(edge_type: str, source: str, target: str, values: Mapping[str, Any]) -> Edge:
    return Edge(EdgeType(edge_type), source, target, properties_of(values))
