"""Changing the embedding model: search stays with the old one until the new one has everything, then moves over.

Which model is searched and which is wanted stands in the store, so that all servers agree.
"""

import asyncio
from collections.abc import Callable, Sequence

from hopper.app.background import Log, pause
from hopper.app.embeddings import backfill
from hopper.app.projections import EMBEDDING
from hopper.domain.errors import Unavailable
from hopper.ports import Ports
from hopper.ports.embedder import Embedder, Vector
from hopper.ports.models import EmbeddingModel, Lacking, Roles
from hopper.ports.vectors import IndexState, VectorKind

_POLL_SECONDS = 2.0
_FEW_WAITING = 2_000
"""With more waiting than that, a model isn't complete, and nobody needs to count what it lacks."""

_IN_FLIGHT = 1_000
_PATIENCE = 5
"""After so many looks in vain one in a thousand entities may just be waiting for its vector: writes never stop."""


class ServedModels:
    """Implements ports.models.Models, and is the embedder of whichever model is searched."""

    def __init__(self, configured: EmbeddingModel, make: Callable[[EmbeddingModel], Embedder]) -> None:
        self._make = make
        self._made: dict[EmbeddingModel, Embedder] = {}
        self.searched = self._embedder(configured)

    @property
    def model(self) -> str:
        return self.searched.model

    @property
    def dimension(self) -> int:
        return self.searched.dimension

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        return await self.searched.embed(texts)

    def use(self, roles: Roles) -> tuple[Embedder, ...]:
        self.searched = self._embedder(roles.searched)
        if roles.wanted.model == roles.searched.model:
            return (self.searched,)
        return self.searched, self._embedder(roles.wanted)

    def trouble(self, model: EmbeddingModel) -> str | None:
        embedder = self._embedder(model)
        return embedder.reason if isinstance(embedder, _Unmade) else None

    def _embedder(self, model: EmbeddingModel) -> Embedder:
        if model not in self._made:
            try:
                self._made[model] = self._make(model)
            except Unavailable as error:
                self._made[model] = _Unmade(model, error.message)
        return self._made[model]


class _Unmade:
    """Stands for a model that this server can't embed with: what needs a new vector does without."""

    def __init__(self, model: EmbeddingModel, reason: str) -> None:
        self.model = model.model
        self.dimension = model.dimension
        self.reason = reason

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        raise Unavailable(self.reason)


class ModelKeeper:
    """Fills the wanted model, and moves search over to it, until it is stopped."""

    def __init__(self, ports: Ports, log: Log) -> None:
        self._ports = ports
        self._log = log
        self._stopped = asyncio.Event()
        self._filled: str | None = None
        self._cursor: str | None = None
        self._looks = 0

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> None:
        while not self._stopped.is_set():
            try:
                again = await self._look()
            except Exception as error:
                self._log("changing the embedding model failed", error=type(error).__name__)
                again = False
            await pause(self._stopped, 0 if again else _POLL_SECONDS)

    async def _look(self) -> bool:
        """One step towards the wanted model; whether there is more to do at once."""
        models = self._ports.models
        assert models is not None
        async with self._ports.reading() as uow:
            roles = await uow.models.roles()
        models.use(roles)
        wanted = roles.wanted
        if wanted.model == roles.searched.model:
            self._filled = None
            return False
        if self._filled != wanted.model:
            self._filled, self._cursor, self._looks = wanted.model, "", 0
        if self._ports.circuits[wanted.model].is_resting:
            return False  # what can't be embedded now needn't wait in the queue
        if self._cursor is not None:
            page = await backfill(self._cursor or None, ports=self._ports, model=wanted.model)
            self._cursor = page.next_cursor
            return True
        if not await self._is_complete(roles):
            return False
        await self._ports.vector_indexes.ensure(wanted.model, wanted.dimension)
        states = await self._ports.vector_indexes.states(wanted.model, wanted.dimension)
        if IndexState.TO_BE_BUILT in states.values() or not await self._is_complete(roles):
            return False
        async with self._ports.unit_of_work() as uow:
            await uow.models.search(wanted.model)
            await uow.commit()
        self._log("search has moved to another embedding model", model=wanted.model)
        return True

    async def _is_complete(self, roles: Roles) -> bool:
        async with self._ports.reading() as uow:
            if await uow.queue.depth(EMBEDDING) > _FEW_WAITING:
                return False
            self._looks += 1
            exactly = self._looks <= _PATIENCE
            return all(
                [
                    _suffices(await uow.models.lacking(kind, roles.searched.model, roles.wanted.model), exactly)
                    for kind in VectorKind
                ]
            )


def _suffices(lacking: Lacking, exactly: bool) -> bool:
    """Whether what the searched model finds is found by the other one, too.

    A text that the new provider refuses doesn't hold up the change, as long as it takes the others.
    """
    return (
        lacking.missing <= (0 if exactly else lacking.known // _IN_FLIGHT)
        and lacking.refused <= -(-lacking.known // _IN_FLIGHT)
        and (lacking.stored > 0 or lacking.known == 0)
    )
