"""One transaction over all repositories."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from hopper.ports.access import AuditRepository, KeyRepository
    from hopper.ports.graph import GraphQueries, GraphSource
    from hopper.ports.models import ModelRepository
    from hopper.ports.northbound import SyncRepository
    from hopper.ports.projections import ProjectionRepository
    from hopper.ports.queue import ProjectionQueue
    from hopper.ports.repositories import (
        ConsolidationRepository,
        DelegationRepository,
        EpisodeRepository,
        FeedbackRepository,
        IdempotencyRepository,
        InstanceRepository,
        LeaseRepository,
        OriginRepository,
        PatternRepository,
        TaskRepository,
    )
    from hopper.ports.retention import RetentionRepository
    from hopper.ports.search import TaskSearch
    from hopper.ports.tally import Counted
    from hopper.ports.text_models import TextModelRepository
    from hopper.ports.vectors import VectorRepository


class UnitOfWork(Protocol):
    """All or nothing: leaving the block without `commit` undoes everything.

    Entities that were changed are marked for the projections in the same transaction.
    """

    @property
    def tasks(self) -> TaskRepository: ...
    @property
    def instances(self) -> InstanceRepository: ...
    @property
    def delegations(self) -> DelegationRepository: ...
    @property
    def leases(self) -> LeaseRepository: ...
    @property
    def episodes(self) -> EpisodeRepository: ...
    @property
    def patterns(self) -> PatternRepository: ...
    @property
    def feedback(self) -> FeedbackRepository: ...
    @property
    def consolidations(self) -> ConsolidationRepository: ...
    @property
    def idempotency(self) -> IdempotencyRepository: ...
    @property
    def origins(self) -> OriginRepository: ...
    @property
    def search(self) -> TaskSearch: ...
    @property
    def vectors(self) -> VectorRepository: ...
    @property
    def text_models(self) -> TextModelRepository: ...
    @property
    def models(self) -> ModelRepository: ...
    @property
    def sync(self) -> SyncRepository: ...
    @property
    def queue(self) -> ProjectionQueue: ...
    @property
    def projections(self) -> ProjectionRepository: ...
    @property
    def retention(self) -> RetentionRepository: ...
    @property
    def graph(self) -> GraphQueries: ...
    @property
    def graph_source(self) -> GraphSource: ...
    @property
    def keys(self) -> KeyRepository: ...
    @property
    def audit(self) -> AuditRepository: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def count(self, what: Counted, kind: str = "") -> None:
        """It has happened, if this is committed."""
        ...

    async def commit(self) -> None: ...
