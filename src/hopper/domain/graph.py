"""The graph of tasks, instances, patterns and tags: what a graph database holds of them, and what is asked of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Self

Value = str | int | float | bool | datetime
Properties = Mapping[str, Value]
"""What has no value isn't there."""


class Label(StrEnum):
    """The kinds of nodes."""

    INSTANCE = "Instance"
    TASK = "Task"
    PATTERN = "Pattern"
    TAG = "Tag"


class EdgeType(StrEnum):
    """The kinds of edges; `ENDS` says between what."""

    CHILD_OF = "CHILD_OF"
    MANAGES = "MANAGES"
    DELEGATED_TO = "DELEGATED_TO"
    DEPENDS_ON = "DEPENDS_ON"
    BLOCKS = "BLOCKS"
    SUBTASK_OF = "SUBTASK_OF"
    ROUTES_TO = "ROUTES_TO"
    DERIVED_FROM = "DERIVED_FROM"
    MATCHES_TAG = "MATCHES_TAG"
    HAS_TAG = "HAS_TAG"
    CO_OCCURS_WITH = "CO_OCCURS_WITH"


ENDS: Mapping[EdgeType, tuple[Label, Label]] = {
    EdgeType.CHILD_OF: (Label.INSTANCE, Label.INSTANCE),
    EdgeType.MANAGES: (Label.INSTANCE, Label.TASK),
    EdgeType.DELEGATED_TO: (Label.TASK, Label.INSTANCE),
    EdgeType.DEPENDS_ON: (Label.TASK, Label.TASK),
    EdgeType.BLOCKS: (Label.TASK, Label.TASK),
    EdgeType.SUBTASK_OF: (Label.TASK, Label.TASK),
    EdgeType.ROUTES_TO: (Label.PATTERN, Label.INSTANCE),
    EdgeType.DERIVED_FROM: (Label.PATTERN, Label.PATTERN),
    EdgeType.MATCHES_TAG: (Label.PATTERN, Label.TAG),
    EdgeType.HAS_TAG: (Label.TASK, Label.TAG),
    EdgeType.CO_OCCURS_WITH: (Label.TAG, Label.TAG),
}


@dataclass(frozen=True, slots=True)
class Node:
    """A node with its properties; a tag's id is its name.

    Instance: name, scope, status, version. Task: title, status, priority, project, version. Pattern: name, confidence,
    is_active, version. Tag: tasks, the number of those that have it.
    """

    label: Label
    id: str
    properties: Properties = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """What there is just one of."""
        return self.label, self.id


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge between two ids, with its properties.

    DELEGATED_TO: delegation_id, type, status, delegated_at, completed_at, source_instance_id; one for each delegation
    that has a target. HAS_TAG: value, if the tag has one. CO_OCCURS_WITH, from the smaller name to the greater: count,
    the tasks that have both, and weight, those over all that have either (Jaccard 1901).
    """

    type: EdgeType
    source: str
    target: str
    properties: Properties = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What there is just one of."""
        return self.type, self.source, self.target, str(self.properties.get("delegation_id", ""))

    @property
    def ends(self) -> set[tuple[str, str]]:
        """The keys of the nodes that it joins."""
        source, target = ENDS[self.type]
        return {(source, self.source), (target, self.target)}


@dataclass(frozen=True, slots=True)
class Graph:
    """A part of the graph; each node and each edge once, in the order of their keys."""

    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()

    @classmethod
    def of(cls, nodes: Iterable[Node], edges: Iterable[Edge]) -> Self:
        return cls(
            tuple(sorted({node.key: node for node in nodes}.values(), key=lambda node: node.key)),
            tuple(sorted({edge.key: edge for edge in edges}.values(), key=lambda edge: edge.key)),
        )


@dataclass(frozen=True, slots=True)
class TagUse:
    """A tag: how many tasks have it, and how many patterns ask for it."""

    name: str
    tasks: int
    patterns: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How an instance does: the open tasks that it holds, and what became of the delegations to it."""

    open_tasks: int = 0
    live: int = 0
    completed: int = 0
    rejected: int = 0
    recalled: int = 0
