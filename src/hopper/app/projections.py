"""Keeping the projections equal to the truth. Now: embeddings."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from hopper.app.evidence import content_hash
from hopper.domain.errors import HopperError
from hopper.ports import Ports
from hopper.ports.queue import Dirty
from hopper.ports.vectors import StoredVector, VectorKind

EMBEDDING = "embedding"

SUBSCRIPTIONS = {EMBEDDING: frozenset(kind.value for kind in VectorKind)}
"""Which types of entity each projection wants to hear of."""

_LEASE = timedelta(seconds=60)
_LONGEST_PAUSE = timedelta(minutes=5)
_POLL_SECONDS = 2.0


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
        self._stopping = False

    def stop(self) -> None:
        """Finish the batch at hand and return from run."""
        self._stopping = True
        self._changed.set()

    async def run(self) -> None:
        """Until stop is called. A failure is logged by its name, and tried again."""
        while not self._stopping:
            self._changed.clear()
            try:
                drained = await drain_embeddings(self._ports, self._batch_size)
                if drained:
                    await self._ports.vector_indexes.ensure(self._ports.embedder.model, self._ports.embedder.dimension)
            except (HopperError, OSError) as error:
                self._log("embedding worker failed", error=type(error).__name__)
            if not self._stopping:
                await self._rest()

    async def _rest(self) -> None:
        try:
            await asyncio.wait_for(self._changed.wait(), _POLL_SECONDS)
        except TimeoutError:
            return


async def drain_embeddings(ports: Ports, batch_size: int) -> int:
    """Embed everything that waits; returns how many entities were looked at."""
    drained = 0
    while True:
        async with ports.unit_of_work() as uow:
            batch = await uow.queue.claim(EMBEDDING, batch_size, _LEASE)
            await uow.commit()
        if not batch:
            return drained
        await _embed(batch, ports)
        drained += len(batch)


async def _embed(batch: Sequence[Dirty], ports: Ports) -> None:
    """Make the vectors of these entities equal to their texts, whatever had happened to them."""
    ids: dict[VectorKind, list[str]] = defaultdict(list)
    for item in batch:
        ids[VectorKind(item.entity_type)].append(item.entity_id)
    model = ports.embedder.model
    stale: list[tuple[VectorKind, str, str]] = []
    async with ports.unit_of_work() as uow:
        for kind, those in ids.items():
            for id, source in (await uow.vectors.sources(kind, those, model)).items():
                if content_hash(source.text) != source.stored_hash:
                    stale.append((kind, id, source.text))
    try:
        vectors = await ports.embedder.embed([text for _, _, text in stale]) if stale else []
    except HopperError as error:
        await _put_off(batch, type(error).__name__, ports)
        return
    fresh: dict[VectorKind, dict[str, StoredVector]] = defaultdict(dict)
    for (kind, id, text), vector in zip(stale, vectors, strict=True):
        fresh[kind][id] = StoredVector(vector, content_hash(text))
    async with ports.unit_of_work() as uow:
        for kind, those_vectors in fresh.items():
            await uow.vectors.put(kind, model, those_vectors)
        await uow.queue.done(EMBEDDING, batch)
        await uow.commit()


async def _put_off(batch: Sequence[Dirty], error: str, ports: Ports) -> None:
    """Back off: 2 s, 4 s, 8 s … up to five minutes."""
    attempts = max(item.attempts for item in batch)
    pause = min(timedelta(seconds=2.0 ** min(attempts, 10)), _LONGEST_PAUSE)
    async with ports.unit_of_work() as uow:
        await uow.queue.failed(EMBEDDING, batch, error, pause)
        await uow.commit()
