"""Keeping the projections equal to the truth. Now: embeddings."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import Protocol

from hopper.app.evidence import content_hash
from hopper.domain.errors import Unavailable
from hopper.ports import Ports
from hopper.ports.queue import Dirty
from hopper.ports.vectors import EmbeddingSource, StoredVector, VectorKind

EMBEDDING = "embedding"

SUBSCRIPTIONS = {EMBEDDING: frozenset(kind.value for kind in VectorKind)}
"""Which types of entity each projection wants to hear of."""

_LEASE = timedelta(seconds=60)
_LONGEST_PAUSE = timedelta(minutes=5)
_POLL_SECONDS = 2.0
_GATHER_SECONDS = 0.1
"""How long the worker lets changes gather: a burst then shares batches, and nobody waits for the projection."""

_AT_ONCE = 2
"""Batches under way at a time: one is embedded while the other is stored."""

_DEFERENCE = 9.0
"""While writes keep coming, the worker rests so many times as long as it worked: they go first."""


class Log(Protocol):
    """Takes counts and error names; never what a task says."""

    def __call__(self, event: str, **fields: object) -> None: ...


class EmbeddingWorker:
    """Drains the embedding queue until it is stopped.

    `changed` is set after a commit in this process; changes made by others are found by polling.
    """

    def __init__(self, ports: Ports, changed: asyncio.Event, batch_size: int, log: Log) -> None:
        self._ports = ports
        self._changed = changed
        self._batch_size = batch_size
        self._log = log
        self._stopped = asyncio.Event()
        self._upkeep: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Finish the batches at hand and return from run."""
        self._stopped.set()
        self._changed.set()

    async def run(self) -> None:
        """Until stop is called. Whatever fails is logged by its name and tried again: nothing else would drain."""
        while not self._stopped.is_set():
            self._changed.clear()
            began = monotonic()
            looked_at = await self._round()
            if looked_at == 0:
                self._keep_indexes()
                await self._wait_for_changes()
            elif self._changed.is_set():
                await self._let_writers_go_first(_DEFERENCE * (monotonic() - began))
        if self._upkeep:
            self._upkeep.cancel()
            await asyncio.gather(self._upkeep, return_exceptions=True)

    async def _round(self) -> int:
        """A few batches side by side; how many entities were looked at."""
        batches = (embed_batch(self._ports, self._batch_size) for _ in range(_AT_ONCE))
        results = await asyncio.gather(*batches, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                self._log("embedding worker failed", error=type(result).__name__)
        return sum(result for result in results if isinstance(result, int))

    def _keep_indexes(self) -> None:
        """See to the indexes beside the work: building one waits for everyone's open transactions."""
        if self._upkeep is None or self._upkeep.done():
            self._upkeep = asyncio.create_task(self._see_to_indexes())

    async def _see_to_indexes(self) -> None:
        embedder = self._ports.embedder
        try:
            await self._ports.vector_indexes.ensure(embedder.model, embedder.dimension)
        except Exception as error:
            self._log("building a vector index failed", error=type(error).__name__)

    async def _wait_for_changes(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), _POLL_SECONDS)
            await self._pause(_GATHER_SECONDS)

    async def _let_writers_go_first(self, seconds: float) -> None:
        until = monotonic() + min(seconds, _POLL_SECONDS)
        while self._changed.is_set() and not self._stopped.is_set() and monotonic() < until:
            self._changed.clear()
            await self._pause(_GATHER_SECONDS)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)


async def embed_batch(ports: Ports, batch_size: int) -> int:
    """Embed some of what waits; returns how many entities were looked at."""
    async with ports.unit_of_work() as uow:
        batch = await uow.queue.claim(EMBEDDING, batch_size, _LEASE)
        await uow.commit()
    if batch:
        await _embed(batch, ports)
    return len(batch)


async def _embed(batch: Sequence[Dirty], ports: Ports) -> None:
    """Make the vectors of these entities equal to their texts, whatever had happened to them.

    One that the provider chokes on is put off alone, and doesn't hold up the others.
    """
    try:
        await _store(batch, await _vectors(batch, ports), ports)
    except Unavailable as error:
        await _put_off(batch, error, ports)
    except Exception as error:
        if len(batch) == 1:
            await _put_off(batch, error, ports)
        else:
            for item in batch:
                await _embed([item], ports)


async def _vectors(batch: Sequence[Dirty], ports: Ports) -> dict[tuple[VectorKind, str], StoredVector]:
    """A vector for each of the entities that needs one."""
    ids: dict[VectorKind, list[str]] = defaultdict(list)
    for item in batch:
        ids[VectorKind(item.entity_type)].append(item.entity_id)
    stale: dict[tuple[VectorKind, str], str] = {}
    async with ports.reading() as uow:
        for kind, those in ids.items():
            for id, source in (await uow.vectors.sources(kind, those, ports.embedder.model)).items():
                if _is_stale(kind, source):
                    stale[kind, id] = source.text
    vectors = await ports.embedder.embed(list(stale.values())) if stale else []
    return {
        key: StoredVector(vector, content_hash(text))
        for (key, text), vector in zip(stale.items(), vectors, strict=True)
    }


def _is_stale(kind: VectorKind, source: EmbeddingSource) -> bool:
    if kind is VectorKind.EPISODE:
        return source.stored_hash is None
    return source.stored_hash != content_hash(source.text)


async def _store(batch: Sequence[Dirty], vectors: dict[tuple[VectorKind, str], StoredVector], ports: Ports) -> None:
    """Keep the vectors. What changed meanwhile may have got a newer one from another batch: it is looked at again.

    Vectors before queue, in the order in which the router touches them, so that the two can't wait for each other.
    """
    fresh: dict[VectorKind, dict[str, StoredVector]] = defaultdict(dict)
    for (kind, id), vector in vectors.items():
        fresh[kind][id] = vector
    async with ports.unit_of_work() as uow:
        for kind in VectorKind:  # tasks before episodes, as everywhere
            if fresh[kind]:
                await uow.vectors.put(kind, ports.embedder.model, fresh[kind])
        done = await uow.queue.done(EMBEDDING, batch)
        await uow.queue.again(EMBEDDING, [item for item in batch if (item.entity_type, item.entity_id) not in done])
        await uow.commit()


async def _put_off(batch: Sequence[Dirty], error: Exception, ports: Ports) -> None:
    """Back off: 2 s, 4 s, 8 s … up to five minutes."""
    attempts = max(item.attempts for item in batch)
    pause = min(timedelta(seconds=2.0 ** min(attempts, 10)), _LONGEST_PAUSE)
    async with ports.unit_of_work() as uow:
        await uow.queue.failed(EMBEDDING, batch, type(error).__name__, pause)
        await uow.commit()
