"""Keeping the projections equal to the truth. Now: embeddings."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from time import monotonic

from hopper.app.background import Log, pause
from hopper.app.evidence import content_hash, is_stale
from hopper.domain.errors import HopperError
from hopper.ports import Ports
from hopper.ports.circuit import LONGEST_REST_SECONDS, OUTAGES, rest_after
from hopper.ports.embedder import Embedder
from hopper.ports.queue import Dirty
from hopper.ports.vectors import StoredVector, VectorKind

EMBEDDING = "embedding"
GRAPH = "graph"

SUBSCRIPTIONS: Mapping[str, Mapping[str, str]] = {
    EMBEDDING: {kind.value: kind.value for kind in VectorKind},
    GRAPH: {"task": "task", "delegation": "task", "instance": "instance", "pattern": "pattern"},
}
"""Which types of entity each projection hears of, and as what it looks at them; delegations go by their task."""

_LEASE = timedelta(seconds=60)
_LONGEST_PAUSE = timedelta(minutes=5)
"""For what a provider or a graph database chokes on."""

_LONGEST_REST = timedelta(seconds=LONGEST_REST_SECONDS)
"""While the provider fails altogether: what waits has to catch up soon after."""

_POLL_SECONDS = 2.0
_GATHER_SECONDS = 0.1
"""How long the worker lets changes gather: a burst then shares batches, and nobody waits for the projection."""

_AT_ONCE = 2
"""Batches under way at a time: one is embedded while the other is stored."""

_DEFERENCE = 9.0
"""While writes keep coming, the worker rests so many times as long as it worked: they go first."""


class EmbeddingWorker:
    """Drains the embedding queue until it is stopped; while search moves to another model, for both.

    `changed` is set after a commit in this process; changes made by others are found by polling.
    """

    def __init__(self, ports: Ports, changed: asyncio.Event, batch_size: int, log: Log) -> None:
        self._ports = ports
        self._changed = changed
        self._batch_size = batch_size
        self._log = log
        self._stopped = asyncio.Event()
        self._upkeep: asyncio.Task[None] | None = None
        self._failures = 0
        self._told: set[str] = set()

    def stop(self) -> None:
        """Finish the batches at hand and return from run."""
        self._stopped.set()
        self._changed.set()

    async def run(self) -> None:
        """Until stop is called. Whatever fails is told by its name and tried again: nothing else would drain."""
        try:
            while not self._stopped.is_set():
                self._changed.clear()
                began = monotonic()
                looked_at, failed = await self._round()
                if failed:
                    await pause(self._stopped, rest_after(self._failures))
                elif looked_at == 0:
                    self._keep_indexes()
                    await self._wait_for_changes()
                elif self._changed.is_set():
                    await self._let_writers_go_first(_DEFERENCE * (monotonic() - began))
        finally:
            if self._upkeep:
                self._upkeep.cancel()
                await asyncio.gather(self._upkeep, return_exceptions=True)

    async def _round(self) -> tuple[int, bool]:
        """A few batches side by side; how many entities were looked at, and whether no provider works."""
        errors: list[Exception] = []
        batches = (embed_batch(self._ports, self._batch_size, errors.append) for _ in range(_AT_ONCE))
        results = await asyncio.gather(*batches, return_exceptions=True)
        looked_at = sum(result for result in results if isinstance(result, int))
        errors += [result for result in results if isinstance(result, Exception)]
        for error in errors:
            self._tell(error)
        failed = any(isinstance(result, OUTAGES) for result in results)
        if failed:
            self._failures += 1
        elif looked_at and not errors and self._told:
            self._log("embedding works again")
            self._failures = 0
            self._told.clear()
        return looked_at, failed

    def _tell(self, error: Exception) -> None:
        """Each reason once until it works again: a provider that is down would fill the log."""
        if (reason := reason_of(error)) not in self._told:
            self._told.add(reason)
            self._log("embedding worker failed", error=reason)

    def _keep_indexes(self) -> None:
        """See to the indexes beside the work: building one waits for everyone's open transactions."""
        if self._upkeep is None or self._upkeep.done():
            self._upkeep = asyncio.create_task(self._see_to_indexes())

    async def _see_to_indexes(self) -> None:
        embedder = self._ports.embedder
        if self._ports.none_searched:
            return  # what is to be searched has its indexes before that
        try:
            await self._ports.vector_indexes.ensure(embedder.model, embedder.dimension)
        except Exception as error:
            self._log("building a vector index failed", error=type(error).__name__)

    async def _wait_for_changes(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), _POLL_SECONDS)
            await pause(self._stopped, _GATHER_SECONDS)

    async def _let_writers_go_first(self, seconds: float) -> None:
        until = monotonic() + min(seconds, _POLL_SECONDS)
        while self._changed.is_set() and not self._stopped.is_set() and monotonic() < until:
            self._changed.clear()
            await pause(self._stopped, _GATHER_SECONDS)


def _ignore(error: Exception) -> None:
    """It stands in the queue."""


async def embed_batch(ports: Ports, batch_size: int, tell: Callable[[Exception], None] = _ignore) -> int:
    """Embed some of what waits; returns how many entities were looked at.

    Raises Unavailable and Misconfigured when no provider works, and tells of them when one of two does.
    """
    async with ports.unit_of_work() as uow:
        batch = await uow.queue.claim(EMBEDDING, batch_size, _LEASE)
        await uow.commit()
    if batch:
        await _embed(batch, ports, tell)
    return len(batch)


async def _embed(batch: Sequence[Dirty], ports: Ports, tell: Callable[[Exception], None]) -> None:
    """Make the vectors of these entities equal to their texts, whatever had happened to them.

    One that a provider chokes on is put off alone, and doesn't hold up the others. Raises Unavailable and
    Misconfigured, which the next ones would meet as well; while another model's provider works these are only told.
    """
    try:
        made, failure = await _made(batch, ports)
        if failure and not isinstance(failure, OUTAGES) and len(batch) > 1:
            raise failure
        await _store(batch, made, failure, ports)
    except Exception as error:
        if len(batch) > 1 and not isinstance(error, OUTAGES):
            for item in batch:
                await _embed([item], ports, tell)
            return
        made, failure = {}, error
        await _store(batch, made, failure, ports)
    if isinstance(failure, OUTAGES):
        if not made:
            raise failure
        tell(failure)


_Vectors = dict[tuple[VectorKind, str], StoredVector]


async def _made(batch: Sequence[Dirty], ports: Ports) -> tuple[dict[str, _Vectors], Exception | None]:
    """The vectors that the entities need, for each model in use, and what went wrong with one of these.

    While search moves to another model one provider may have gone, and the other one's vectors are needed all the more.
    """
    async with ports.reading() as uow:
        embedders = ports.models.use(await uow.models.roles()) if ports.models else (ports.embedder,)
    # Side by side, so that the claim on the batch outlives two providers that hang.
    results = await asyncio.gather(
        *(_vectors(batch, embedder, ports, is_only=len(embedders) == 1) for embedder in embedders),
        return_exceptions=True,
    )
    made: dict[str, _Vectors] = {}
    failure: Exception | None = None
    for embedder, result in zip(embedders, results, strict=True):
        if isinstance(result, Exception):
            failure = result
        elif not isinstance(result, BaseException):
            made[embedder.model] = result
    return made, failure


async def _vectors(batch: Sequence[Dirty], embedder: Embedder, ports: Ports, is_only: bool) -> _Vectors:
    """A vector for each of the entities that needs one.

    While another model's provider works the worker doesn't rest, so one that is known to fail is left alone here.
    """
    ids: dict[VectorKind, list[str]] = defaultdict(list)
    for item in batch:
        ids[VectorKind(item.entity_type)].append(item.entity_id)
    stale: dict[tuple[VectorKind, str], str] = {}
    async with ports.reading() as uow:
        for kind, those in ids.items():
            for id, source in (await uow.vectors.sources(kind, those, embedder.model)).items():
                if source.stored_hash is None or is_stale(kind, source.stored_hash, source.text):
                    stale[kind, id] = source.text
    if not stale:
        return {}
    circuit = ports.circuits[embedder.model]
    if not is_only:
        circuit.check()
    with circuit.watching():
        vectors = await embedder.embed(list(stale.values()))
    return {
        key: StoredVector(vector, content_hash(text))
        for (key, text), vector in zip(stale.items(), vectors, strict=True)
    }


async def _store(batch: Sequence[Dirty], made: dict[str, _Vectors], failure: Exception | None, ports: Ports) -> None:
    """Keep the vectors. What changed meanwhile may have got a newer one from another batch: it is looked at again.

    Vectors before queue, in the order in which the router touches them, so that the two can't wait for each other.
    """
    async with ports.unit_of_work() as uow:
        for kind in VectorKind:  # tasks before episodes, as everywhere
            for model, vectors in made.items():
                fresh = {id: vector for (of, id), vector in vectors.items() if of is kind}
                if fresh:
                    await uow.vectors.put(kind, model, fresh)
        if failure:
            settled = await uow.queue.failed(EMBEDDING, batch, reason_of(failure), put_off(batch, failure))
        else:
            settled = await uow.queue.done(EMBEDDING, batch)
        await uow.commit()
    changed = [item for item in batch if (item.entity_type, item.entity_id) not in settled] if made else []
    if changed:  # in a transaction of its own, which takes its locks in order
        async with ports.unit_of_work() as uow:
            await uow.queue.again(EMBEDDING, changed)
            await uow.commit()


async def wait_for_writers(last: int, ports: Ports) -> None:
    """Return when every transaction has ended that had written by then."""
    while True:
        async with ports.reading() as uow:
            if await uow.projections.oldest_writer() >= last:
                return
        await asyncio.sleep(0.05)


def put_off(batch: Sequence[Dirty], failure: Exception) -> timedelta:
    """Back off: 2 s, 4 s, 8 s … up to the longest pause."""
    attempts = max(item.attempts for item in batch)
    longest = _LONGEST_REST if isinstance(failure, OUTAGES) else _LONGEST_PAUSE
    return min(timedelta(seconds=2.0 ** min(attempts, 10)), longest)


def reason_of(error: Exception) -> str:
    """What may be stored and logged: others' messages may quote what a task says."""
    name = type(error).__name__
    return f"{name}: {error.message}" if isinstance(error, HopperError) else name
