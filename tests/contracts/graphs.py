"""Asking a graph, whichever database answers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.contracts.working import Thing, UnitOfWorkFactory, keep

from hopper.domain.graph import Graph
from hopper.ports.graph import GraphQueries


@dataclass(frozen=True)
class AskedGraph:
    """A store of the truth, and who answers: `settled` makes the projection equal to it, where there is one."""

    unit_of_work: UnitOfWorkFactory
    settled: Callable[[], Awaitable[GraphQueries]]

    async def of(self, *things: Thing) -> GraphQueries:
        """The graph of these things, added in this order."""
        await keep(self.unit_of_work, *things)
        return await self.settled()


def nodes(graph: Graph) -> list[str]:
    """Their ids."""
    return [node.id for node in graph.nodes]


def edges(graph: Graph) -> list[str]:
    """As one reads them."""
    return [f"{edge.source} {edge.type} {edge.target}" for edge in graph.edges]
