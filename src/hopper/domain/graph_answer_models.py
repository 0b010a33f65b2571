"""What is answered to questions about the graph; `graph_answers` works it out.

Each answer carries `nodes` and `edges` to draw. Totals are exact; of a list the first `limit` entries are there, and at
most as many edges; `truncated` says that there is more.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hopper.domain.delegation import DelegationStatus, DelegationType
from hopper.domain.graph import Edge, Node
from hopper.domain.ids import DelegationId, InstanceId, PatternId, TaskId
from hopper.domain.instance import InstanceStatus, Scope
from hopper.domain.task import Priority, TaskStatus


class AnsweredBy(StrEnum):
    """Which store gave an answer; all give the same."""

    POSTGRESQL = "postgresql"
    NEO4J = "neo4j"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class TaskEntry:
    """A task as answers name it."""

    id: TaskId
    title: str
    status: TaskStatus
    priority: Priority | None
    project: str | None


@dataclass(frozen=True, slots=True)
class ReachedTask(TaskEntry):
    """A task, and over how many edges it is reached at least."""

    depth: int


@dataclass(frozen=True, slots=True)
class Hop:
    """A delegation, with the names of its ends.

    A source of None is the server, or an instance that is gone; in a lineage sources have no names.
    """

    delegation_id: DelegationId
    source_instance_id: InstanceId | None
    source_name: str | None
    target_instance_id: InstanceId
    target_name: str
    delegation_type: DelegationType
    status: DelegationStatus
    delegated_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What every answer says."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    truncated: bool
    answered_by: AnsweredBy = AnsweredBy.POSTGRESQL

    @property
    def size(self) -> int:
        """Of how many nodes and edges it tells."""
        return len(self.nodes) + len(self.edges) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegationChain(Answer):
    """How a task was handed on, in the order of time."""

    task: TaskEntry
    hops: tuple[Hop, ...]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked(Answer):
    """The tasks that depend on the task, however indirectly and whatever their status; the nearest first."""

    task: TaskEntry
    tasks: tuple[ReachedTask, ...]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact(Blocked):
    """The open tasks that the task holds up; `by_project` counts them, the most first; null is no project."""

    depth: int
    by_project: tuple["ProjectCount", ...]


@dataclass(frozen=True, slots=True)
class ProjectCount:
    project: str | None
    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalPath(Answer):
    """The longest chain of open tasks that ends with the task, in the order of work.

    `total` is the length of the whole chain, `needed` the number of all open tasks that must be done before the task.
    Nothing is left to do for a task that isn't open.
    """

    task: TaskEntry
    tasks: tuple[TaskEntry, ...]
    total: int
    needed: int


@dataclass(frozen=True, slots=True)
class Relative(ReachedTask):
    """A task with its delegations in the order of time."""

    delegations: tuple[Hop, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage(Answer):
    """What a task is a part of, and its parts; the nearest first."""

    task: Relative
    ancestors: tuple[Relative, ...]
    descendants: tuple[Relative, ...]
    total_ancestors: int
    total_descendants: int


@dataclass(frozen=True, slots=True)
class InstanceEntry:
    id: InstanceId
    name: str
    scope: Scope
    status: InstanceStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy(Answer):
    """From an instance up to its root, both included."""

    instances: tuple[InstanceEntry, ...]
    total: int


@dataclass(frozen=True, slots=True)
class PatternEntry:
    id: PatternId
    name: str
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingPatterns(Answer):
    """The active patterns that route to an instance, the surest first."""

    instance: InstanceEntry
    patterns: tuple[PatternEntry, ...]
    total: int


@dataclass(frozen=True, slots=True)
class TagPair:
    """Two tags, the number of tasks that have both, and that over the number of those that have either."""

    tags: tuple[str, str]
    count: int
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CoOccurrence(Answer):
    """The tags that often occur together, the most frequent pairs first."""

    pairs: tuple[TagPair, ...]


@dataclass(frozen=True, slots=True)
class ReturnedTask(TaskEntry):
    """A task, how often it came back to an instance that had it before, and its delegations."""

    returns: int
    hops: tuple[Hop, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PingPong(Answer):
    """The tasks that are delegated back and forth, the worst first."""

    tasks: tuple[ReturnedTask, ...]


@dataclass(frozen=True, slots=True)
class Bottleneck(TaskEntry):
    """An open task, how many open tasks wait for it directly, and who holds it."""

    waiting: int
    holder: InstanceEntry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bottlenecks(Answer):
    """The open tasks for which most others wait."""

    tasks: tuple[Bottleneck, ...]
