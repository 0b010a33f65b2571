"""Keeping the projections equal to the truth. Now: embeddings."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from time import monotonic
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

    def stop(self) -> None:
        """Finish the batches at hand and return from run."""
        self._stopped.set()
        self._changed.set()

    async def run(self) -> None:
        """Until stop is called. Whatever fails is logged by its name and tried again: nothing else would drain."""
        while not self._stopped.is_set():
            self._changed.clear()
            began = monotonic()
            try:
                looked_at = await self._round()
            except Exception as error:
                self._log("embedding worker failed", error=type(error).__name__)
                looked_at = 0
            if looked_at == 0:
                await self._wait_for_changes()
            elif self._changed.is_set():
                await self._let_writers_go_first(_DEFERENCE * (monotonic() - began))

    async def _round(self) -> int:
        """A few batches side by side; once nothing is left, the indexes get what they need."""
        batches = await asyncio.gather(*(embed_batch(self._ports, self._batch_size) for _ in range(_AT_ONCE)))
        if not any(batches):
            await self._ports.vector_indexes.ensure(self._ports.embedder.model, self._ports.embedder.dimension)
        return sum(batches)

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
