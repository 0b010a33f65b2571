"""What the use cases need from the outside, as Protocols. One version only: async."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Self

from hopper.domain.access import HOPPER, AccessPolicy, Asker
from hopper.ports.circuit import Circuit
from hopper.ports.memory import Memory
from hopper.ports.tally import Tally
from hopper.routing.policy import Policy
from hopper.sync.policy import SyncPolicy

if TYPE_CHECKING:
    from hopper.ports.clock import Clock
    from hopper.ports.embedder import Embedder
    from hopper.ports.graph import GraphStore, PositionedQueries
    from hopper.ports.intake import Intake
    from hopper.ports.models import Models
    from hopper.ports.monitor import Monitor
    from hopper.ports.replica import Position, Replica
    from hopper.ports.teaching import TeachingState
    from hopper.ports.turns import Turns
    from hopper.ports.unit_of_work import UnitOfWork
    from hopper.ports.vectors import VectorIndexes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything that a use case may reach; `bootstrap` fills it in.

    `unit_of_work`, `reading` and `searching` take an `Asker`, whom `asked_by` gives them: what is done is done for the
    `asker`. `reading` gives units of work that only look: each of their statements sees what is committed by then.
    `searching` gives such that the `replica` may answer (None: there is none), for what costs much; they see what is
    committed when they begin, or up to the position that `since` gives them.
    `embedder` is that of the model that is searched, and `models` knows of others (None: there is no other).
    `graph` gives who answers from the graph database, and `graph_store` writes it (None: there is none).
    `teaching` gives what an instance keeps that may teach a server (None: this is a server).
    `circuits` say, by the name of a model, whether its provider is known to fail. `memory` is what this process has
    read of what was learned, `tally` what it has counted. `monitor` watches over the database (None: there is none).
    """

    unit_of_work: Callable[..., UnitOfWork]
    reading: Callable[..., UnitOfWork]
    searching: Callable[..., UnitOfWork]
    intake: Intake
    embedder: Embedder
    vector_indexes: VectorIndexes
    turns: Turns
    clock: Clock
    policy: Policy
    teaching: Callable[[], TeachingState] | None = None
    circuits: defaultdict[str, Circuit] = field(default_factory=lambda: defaultdict(Circuit))
    memory: Memory = field(default_factory=Memory)
    tally: Tally = field(default_factory=Counter)
    monitor: Monitor | None = None
    sync: SyncPolicy = field(default_factory=SyncPolicy)
    models: Models | None = None
    graph: Callable[[], PositionedQueries] | None = None
    graph_store: GraphStore | None = None
    replica: Replica | None = None
    access: AccessPolicy = field(default_factory=AccessPolicy)
    asker: Asker = HOPPER

    @property
    def none_searched(self) -> str | None:
        """Why nothing is found by its meaning, and what to do about it; None where it is."""
        return self.models.none_searched if self.models else None

    def settled(self) -> Self:
        """The same with one embedder from now on: search may move to another model while a use case runs."""
        return replace(self, embedder=self._searched)

    @property
    def _searched(self) -> Embedder:
        return self.models.searched if self.models else self.embedder

    def asked_by(self, asker: Asker) -> Self:
        """The same for whoever asks: what they change is noted as theirs, and a bound key sees what is inside.

        The graph database answers for all there is, so that the truth is asked for a bound key. It is `settled`, too:
        every request needs both, and pays for each copy.
        """
        return replace(
            self,
            asker=asker,
            embedder=self._searched,
            unit_of_work=partial(self.unit_of_work, asker=asker),
            reading=partial(self.reading, asker=asker),
            searching=partial(self.searching, asker=asker),
            graph=None if asker.within else self.graph,
        )

    def since(self, position: Position | None) -> Self:
        """The same for somebody who has to see what was stored up to there, and is content with that; None: all."""
        return replace(self, searching=partial(self.searching, since=position))
