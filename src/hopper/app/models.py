"""Changing the embedding model: search stays with the old one until the new one has everything, then moves over.

The first model is filled in the same way, while search goes by words alone. Which model is searched and which is wanted
stands in the store, so that all servers agree.
"""

import asyncio
from collections.abc import Callable, Sequence

from hopper.app.background import Log, pause
from hopper.app.embeddings import FILLING, OFF, backfill
from hopper.app.projections import EMBEDDING, wait_for_writers
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


async def ask_for(model: EmbeddingModel | None, *, ports: Ports) -> Roles:
    """Have search move to the model, or do without any; returns what it goes by now.

    Without one nothing is queued to be embedded, since nobody would ever do it.
    """
    async with ports.unit_of_work() as uow:
        await uow.models.want(model)
        if model:
            await uow.projections.follow(EMBEDDING, ports.clock.now())
        else:
            await uow.projections.unfollow(EMBEDDING)
        roles = await uow.models.roles()
        await uow.commit()
    return roles


class ServedModels:
    """Implements ports.models.Models, and is the embedder of whichever model is searched."""

    def __init__(self, make: Callable[[EmbeddingModel], Embedder]) -> None:
        self._make = make
        self._made: dict[EmbeddingModel, Embedder] = {}
        self.use(Roles(None, None))

    @property
    def model(self) -> str:
        return self.searched.model

    @property
    def dimension(self) -> int:
        return self.searched.dimension

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        return await self.searched.embed(texts)

    def use(self, roles: Roles) -> tuple[Embedder, ...]:
        searched, wanted = roles.searched, roles.wanted
        self.none_searched = None if searched else FILLING if wanted else OFF
        self.searched: Embedder = self._embedder(searched) if searched else _Unmade(_NO_MODEL, self.none_searched or "")
        in_use = {model.model: model for model in (searched, wanted) if model}
        return tuple(self._embedder(model) for model in in_use.values())

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


_NO_MODEL = EmbeddingModel("", "", 0)


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
                self._log("looking whether the embedding model changes failed", error=type(error).__name__)
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
        if wanted is None or (roles.searched and wanted.model == roles.searched.model):
            self._filled = None
            return False
        if self._filled != wanted.model:
            await self._wait_for_writers()
            self._filled, self._cursor, self._looks = wanted.model, "", 0
        if self._ports.circuits[wanted.model].is_resting:
            return False  # what can't be embedded now needn't wait in the queue
        if self._cursor is not None:
            page = await backfill(self._cursor or None, ports=self._ports, model=wanted.model)
            self._cursor = page.next_cursor
            return True
        if not await self._is_complete(roles.searched, wanted):
            return False
        await self._ports.vector_indexes.ensure(wanted.model, wanted.dimension)
        states = await self._ports.vector_indexes.states(wanted.model, wanted.dimension)
        if IndexState.TO_BE_BUILT in states.values() or not await self._is_complete(roles.searched, wanted):
            return False
        async with self._ports.unit_of_work() as uow:
            await uow.models.search(wanted.model)
            await uow.commit()
        self._log("search has moved to another embedding model", model=wanted.model)
        return True

    async def _wait_for_writers(self) -> None:
        """Who began before changes were queued may still commit one that isn't."""
        async with self._ports.reading() as uow:
            last = await uow.projections.last_writer()
        await wait_for_writers(last, self._ports)

    async def _is_complete(self, searched: EmbeddingModel | None, wanted: EmbeddingModel) -> bool:
        async with self._ports.reading() as uow:
            if await uow.queue.depth(EMBEDDING) > _FEW_WAITING:
                return False
            self._looks += 1
            exactly = self._looks <= _PATIENCE
            old = searched.model if searched else None
            return all([_suffices(await uow.models.lacking(kind, old, wanted.model), exactly) for kind in VectorKind])


def _suffices(lacking: Lacking, exactly: bool) -> bool:
    """Whether the wanted model finds what it has to find.

    A text that the new provider refuses doesn't hold up the change, as long as it takes the others.
    """
    return (
        lacking.missing <= (0 if exactly else lacking.known // _IN_FLIGHT)
        and lacking.refused <= -(-lacking.known // _IN_FLIGHT)
        and (lacking.stored > 0 or lacking.known == 0)
    )
