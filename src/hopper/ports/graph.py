"""The graph: what is asked of it, and the database that holds it as a projection.

What is asked is answered from the truth (by recursive SQL on a server, by the index of a local instance's files) and by
Cypher over the projection, with equal answers.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from hopper.domain.graph import Edge, Graph, Label, Node, Standing, TagUse
from hopper.domain.ids import InstanceId, TaskId


class Neo4jAddress(Protocol):
    """Where a Neo4j is, and who may use it."""

    @property
    def url(self) -> str: ...
    @property
    def username(self) -> str: ...
    @property
    def password(self) -> str: ...


class GraphQueries(Protocol):
    """Traversals. Each raises NotFound when what it starts from isn't there.

    Nodes have all their properties, and edges too. What depends on depth or on order is worked out from the part of
    the graph that a traversal returns (`domain.graph_answers`), so that it can't differ.
    """

    async def delegation_chain(self, task_id: TaskId) -> Graph:
        """The task with its DELEGATED_TO edges, the instances that these lead to and those that they came from."""
        ...

    async def blocked(self, task_id: TaskId) -> Graph:
        """The task, all that depend on it however indirectly and whatever their status, and DEPENDS_ON among these."""
        ...

    async def needed(self, task_id: TaskId) -> Graph:
        """The task, all that it depends on however indirectly and whatever their status, and DEPENDS_ON among these."""
        ...

    async def lineage(self, task_id: TaskId) -> Graph:
        """The task, its ancestors and its descendants over SUBTASK_OF, and the delegations of each of these.

        With the instances that the delegations lead to; SUBTASK_OF and DELEGATED_TO edges.
        """
        ...

    async def hierarchy(self, instance_id: InstanceId) -> Graph:
        """The instance and all above it, with CHILD_OF among them."""
        ...

    async def routing_patterns(self, instance_id: InstanceId, min_confidence: float) -> Graph:
        """The instance, the active patterns that route to it with a confidence above the bound, and ROUTES_TO."""
        ...

    async def co_occurrence(self, more_than: int, limit: int) -> Graph:
        """The pairs of tags that more than so many tasks have both of, the most frequent first, then by their names.

        Tags and CO_OCCURS_WITH edges; at most `limit` of these.
        """
        ...

    async def ping_pong(self, at_least: int, limit: int) -> Graph:
        """Tasks that came back at least so many times to an instance that they had been delegated to before.

        Each delegation to an instance but the first one counts. Those that did so most often, then by their ids; with
        all their delegations as in `delegation_chain`.
        """
        ...

    async def bottlenecks(self, limit: int) -> Graph:
        """The open tasks that most open tasks directly depend on, then by their ids.

        With these, DEPENDS_ON from them, the instances that hold the bottlenecks, and their MANAGES edges.
        """
        ...

    async def tags(self) -> tuple[TagUse, ...]:
        """All tags that a task has or a pattern asks for, by name."""
        ...

    async def standings(self, instance_ids: Sequence[InstanceId]) -> Mapping[InstanceId, Standing]:
        """How each of these instances does; one that isn't there is left out."""
        ...


class PositionedQueries(GraphQueries, Protocol):
    """Questions to a graph database, for one at a time.

    `position` is the number that was in it when it began to answer the last one; None if that wasn't told.
    """

    @property
    def position(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Unit:
    """An entity as the graph should hold it: its node, and the edges that come from its own rows.

    A task's are DEPENDS_ON and BLOCKS of its dependencies, SUBTASK_OF, HAS_TAG, DELEGATED_TO, and MANAGES of its
    holder; an instance's CHILD_OF; a pattern's ROUTES_TO (unless its instance is gone), DERIVED_FROM and MATCHES_TAG.
    Tags and CO_OCCURS_WITH follow from these. The edges stand in the order of their keys.
    """

    node: Node
    edges: tuple[Edge, ...]


class GraphSource(Protocol):
    """What the graph should hold, from the truth."""

    async def units(self, label: Label, ids: Sequence[str]) -> Mapping[str, Unit]:
        """Those of these instances, tasks or patterns that are there."""
        ...

    async def page(self, label: Label, after: str, limit: int) -> tuple[Unit, ...]:
        """The next instances, tasks or patterns by id; ids are in the order of their characters' codes."""
        ...

    async def tag_graph(self) -> Graph:
        """All tags, and CO_OCCURS_WITH among them."""
        ...

    async def count(self, label: Label) -> int:
        """How many instances, tasks or patterns there are."""
        ...


class GraphWriter(Protocol):
    """One transaction on the graph database, the only one at a time; undone unless the block ends well.

    `position` is the number that the last such transaction left, None in a store that has none.
    """

    @property
    def position(self) -> int | None: ...

    async def put(self, units: Sequence[Unit]) -> None:
        """Make these nodes and the edges of their own equal to this, and what follows from their tags but for weights.

        Those follow with `GraphStore.weigh`: a tag that many tasks have would have all its pairs changed each time.
        """
        ...

    async def remove(self, label: Label, ids: Sequence[str]) -> None:
        """Remove nodes with all their edges, and what followed from their tags; what isn't there is no error."""
        ...

    async def leave(self, position: int) -> None:
        """Leave this number, if it is greater than the present one."""
        ...


class GraphLoader(Protocol):
    """Fills an emptied graph, much faster than `GraphWriter.put`. Broken off, it leaves a graph without a number."""

    async def add(self, units: Sequence[Unit]) -> None:
        """Add entities, each once. Edges to one that comes later wait for it; it may also never come."""
        ...

    async def finish(self) -> None:
        """Leave out edges to what never came, work out what follows from tags, and leave the number: it is whole."""
        ...


class GraphStore(Protocol):
    """A graph database. Everything raises Unavailable while it can't be reached, and Misconfigured for credentials or
    data that aren't Hopper's."""

    async def prepare(self) -> None:
        """Create constraints and indexes, if they aren't there. Safe to repeat."""
        ...

    def writing(self) -> AbstractAsyncContextManager[GraphWriter]:
        """Wait for one's turn, and begin. What was read from the truth since then is newer than what others wrote."""
        ...

    async def position(self) -> int | None:
        """The number that the last transaction left; None in a store that was emptied or never filled."""
        ...

    async def weigh(self) -> None:
        """Work out the weights that changes of tags have left behind."""
        ...

    async def clear(self, number: int) -> None:
        """Remove everything of Hopper's, in parts, to fill it anew under this number.

        From now on whoever clears or fills under a smaller one is refused (Conflict).
        """
        ...

    def loading(self, number: int) -> GraphLoader:
        """Fill the graph that was emptied under this number, which it has at the end."""
        ...

    async def units(self, label: Label, after: str, upto: str | None) -> tuple[Unit, ...]:
        """The instances, tasks or patterns that it holds with `after` < id ≤ `upto`, by id; None: to the end."""
        ...

    async def tag_graph(self) -> Graph:
        """All tags that it holds, and CO_OCCURS_WITH among them; where weights are left behind, as they will be."""
        ...
