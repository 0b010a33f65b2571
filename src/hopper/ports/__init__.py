"""What the use cases need from the outside, as Protocols. One version only: async."""

from collections.abc import Callable
from dataclasses import dataclass

from hopper.ports.clock import Clock
from hopper.ports.embedder import Embedder
from hopper.ports.intake import Intake
from hopper.ports.unit_of_work import UnitOfWork
from hopper.ports.vectors import VectorIndexes
from hopper.routing.router import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything that a use case may reach; `bootstrap` fills it in.

    `reading` gives units of work that only look: each of their statements sees what is committed by then.
    """

    unit_of_work: Callable[[], UnitOfWork]
    reading: Callable[[], UnitOfWork]
    intake: Intake
    embedder: Embedder
    vector_indexes: VectorIndexes
    clock: Clock
    policy: Policy
