"""One PostgreSQL transaction, and the pool that its connection comes from."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import asyncpg
import orjson
from pgvector.asyncpg import register_vector

from hopper.adapters.postgres import bounds, keepalive
from hopper.adapters.postgres.access import PostgresAudit, PostgresKeys
from hopper.adapters.postgres.consolidations import PostgresConsolidations
from hopper.adapters.postgres.delegations import PostgresDelegations
from hopper.adapters.postgres.episodes import PostgresEpisodes
from hopper.adapters.postgres.feedback import PostgresFeedback
from hopper.adapters.postgres.graph import PostgresGraph
from hopper.adapters.postgres.graph_source import PostgresGraphSource
from hopper.adapters.postgres.idempotency import PostgresIdempotency
from hopper.adapters.postgres.instances import PostgresInstances
from hopper.adapters.postgres.leases import PostgresLeases
from hopper.adapters.postgres.migrate import HEAD
from hopper.adapters.postgres.models import PostgresModels
from hopper.adapters.postgres.monitor import Waits
from hopper.adapters.postgres.northbound import PostgresSync
from hopper.adapters.postgres.origins import PostgresOrigins
from hopper.adapters.postgres.patterns import Known, PostgresPatterns
from hopper.adapters.postgres.projections import PostgresProjections
from hopper.adapters.postgres.queue import PostgresQueue
from hopper.adapters.postgres.replica import PATIENCE_SECONDS
from hopper.adapters.postgres.retention import PostgresRetention
from hopper.adapters.postgres.search import PostgresSearch
from hopper.adapters.postgres.sql import (
    ACQUIRE_SECONDS,
    APPLICATION,
    BROKEN,
    GIVE_BACK_SECONDS,
    Changes,
    Connection,
    translated,
)
from hopper.adapters.postgres.statements import telling
from hopper.adapters.postgres.tasks import PostgresTasks
from hopper.adapters.postgres.text_models import PostgresTextModels
from hopper.adapters.postgres.vectors import PostgresVectors
from hopper.domain.access import HOPPER, Asker
from hopper.domain.errors import Unavailable
from hopper.ports.spans import Spans
from hopper.ports.tally import Counted, Tally
from hopper.sync.policy import MIN_SOURCES

_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
"""What a COMMIT whose answer never came ends in."""

_CLOSE_SECONDS = 5.0

_BEGIN = "BEGIN; SET LOCAL hnsw.ef_search = 64"
"""What decides within a transaction asks for 64 neighbours, of which the last hardly count: a shorter search does."""

Subscriptions = Mapping[str, Mapping[str, str]]


async def open_pool(url: str, size: int, spans: Spans | None = None) -> "asyncpg.Pool[asyncpg.Record]":
    """A pool of prepared connections; they are opened when they are needed. Raises what the first of them meets."""
    return await _pool(url, {}, spans, min_size=1, max_size=size)


async def open_replica_pool(url: str, size: int, spans: Spans | None = None) -> "asyncpg.Pool[asyncpg.Record]":
    """One that can't write, to a database that needn't be up."""
    only_read = {"default_transaction_read_only": "on"}
    return await _pool(url, only_read, spans, min_size=0, max_size=size, timeout=PATIENCE_SECONDS)


async def close(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    """Part from the database: politely, unless it says nothing."""
    with suppress(TimeoutError):  # then it has ended its connections by itself
        async with asyncio.timeout(_CLOSE_SECONDS):
            await pool.close()


async def _pool(url: str, settings: dict[str, str], spans: Spans | None, **how: Any) -> "asyncpg.Pool[asyncpg.Record]":
    async def prepare(connection: Connection) -> None:
        await _prepare(connection)
        if spans:
            connection.add_query_logger(telling(spans))

    return await asyncpg.create_pool(
        url,
        **how,
        connection_class=keepalive.KeptAlive,
        init=prepare,
        reset=_keep,
        # A filter on top of an approximate index goes on searching until it has enough rows, nearly in order.
        server_settings={
            "application_name": f"{APPLICATION} {HEAD}",
            "hnsw.ef_search": "120",  # finds 97 of 100 among 100,000 (bench/vectors.py)
            "hnsw.iterative_scan": "relaxed_order",
            "ivfflat.iterative_scan": "relaxed_order",
            "jit": "off",
            "idle_in_transaction_session_timeout": "60s",
            **keepalive.AT_THE_SERVER,
            **settings,
        },
    )


async def _prepare(connection: Connection) -> None:
    with suppress(ValueError):  # a database without pgvector has no vectors, either
        await register_vector(connection)
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + orjson.dumps(value, default=_plain),
        decoder=lambda stored: orjson.loads(stored[1:]),
    )


async def _keep(connection: Connection) -> None:
    """Nothing else to reset: no unit of work leaves session state behind, but one that was cancelled may be open."""
    if connection.is_in_transaction():
        await connection.execute("ROLLBACK")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value))


class PostgresUnitOfWork:
    """Implements ports.unit_of_work.UnitOfWork.

    `subscriptions` says which types of entity each projection follows, and as what it looks at them; `committed` is
    called after a commit that has put something on the projection queue, and `settled` is waited for at the end of such
    a unit of work. One for `reading` spares the transaction,
    which a statement that only reads doesn't need, and two ways to the database with it. `ivfflat` says that vectors
    have such indexes. Those that share `known_patterns` read each version of a pattern once. So many sources as
    `min_sources` have to share a pattern before it can be read. What the `asker` changes is noted in the audit log; if
    it is bound, one for reading sees only what is inside, and one for writing finds no others missing. What was
    committed is counted in `tally`, and how long the connection was waited for in `waits`.
    """

    tasks: PostgresTasks
    instances: PostgresInstances
    delegations: PostgresDelegations
    leases: PostgresLeases
    episodes: PostgresEpisodes
    patterns: PostgresPatterns
    feedback: PostgresFeedback
    consolidations: PostgresConsolidations
    idempotency: PostgresIdempotency
    origins: PostgresOrigins
    search: PostgresSearch
    vectors: PostgresVectors
    models: PostgresModels
    sync: PostgresSync
    queue: PostgresQueue
    projections: PostgresProjections
    retention: PostgresRetention
    graph: PostgresGraph
    graph_source: PostgresGraphSource
    keys: PostgresKeys
    audit: PostgresAudit

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        subscriptions: Subscriptions,
        committed: Callable[[], None] = lambda: None,
        *,
        settled: Callable[[], Awaitable[None]] | None = None,
        reading: bool = False,
        ivfflat: bool = False,
        known_patterns: Known | None = None,
        min_sources: int = MIN_SOURCES,
        asker: Asker = HOPPER,
        tally: Tally | None = None,
        waits: Waits | None = None,
    ) -> None:
        self._asker = asker
        self._ivfflat = ivfflat
        self._known_patterns = {} if known_patterns is None else known_patterns
        self._min_sources = min_sources
        self._reading = reading
        self._pool = pool
        self._subscriptions = subscriptions
        self._committed = committed
        self._settled = settled
        self._queued = 0
        self._counted: Tally = Counter()
        self._tally: Tally = self._counted if tally is None else tally
        self._waits = waits or Waits()

    async def __aenter__(self) -> Self:
        try:
            self._connection = connection = await self._acquire()
        except Exception as error:
            raise (translated(error) or error) from error
        within = self._asker.within
        seen: Connection = connection
        try:
            if not self._reading:
                await connection.execute(_BEGIN)
                if within:
                    await bounds.restrict(connection, within)
            elif within:
                seen = await bounds.enter(connection, within, HEAD)
        except BaseException as error:
            await self._release(connection)
            known = translated(error) if isinstance(error, Exception) else None
            raise (known or error) from error
        self._open = not self._reading or within is not None
        self._use(seen)
        return self

    def _use(self, connection: Connection) -> None:
        is_bound = self._asker.within is not None
        self._changes = changes = Changes()
        self.tasks = PostgresTasks(connection, changes, is_bound=is_bound)
        self.instances = PostgresInstances(connection, changes, is_bound=is_bound)
        self.delegations = PostgresDelegations(connection, changes)
        self.leases = PostgresLeases(connection, changes)
        self.episodes = PostgresEpisodes(connection, changes, is_bound=is_bound)
        self.patterns = PostgresPatterns(
            connection,
            changes,
            {} if is_bound else self._known_patterns,
            self._min_sources,
            is_bound=is_bound,
        )
        self.feedback = PostgresFeedback(connection, changes)
        self.consolidations = PostgresConsolidations(connection)
        self.idempotency = PostgresIdempotency(connection)
        self.origins = PostgresOrigins(connection)
        self.search = PostgresSearch(connection)
        self.vectors = PostgresVectors(connection, ivfflat=self._ivfflat, is_bound=is_bound)
        self.text_models = PostgresTextModels(connection)
        self.models = PostgresModels(connection)
        self.sync = PostgresSync(connection, changes)
        self.queue = PostgresQueue(connection)
        self.projections = PostgresProjections(connection)
        self.retention = PostgresRetention(connection)
        self.graph = PostgresGraph(connection)
        self.graph_source = PostgresGraphSource(connection)
        self.keys = PostgresKeys(connection)
        self.audit = PostgresAudit(connection, changes, self._asker)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What went wrong before is what counts.
        try:
            if self._open:
                with suppress(*BROKEN):
                    async with asyncio.timeout(GIVE_BACK_SECONDS):  # before that, what is under way has to end
                        await self._connection.execute("ROLLBACK")
        finally:
            with suppress(*BROKEN):
                await self._release(self._connection)
        if self._queued and self._settled:  # without a connection, which those who are waited for may need
            await self._settled()
        if isinstance(error, Exception) and (known := translated(error)):
            raise known from error

    async def _acquire(self) -> Connection:
        return await self._waits.during(self._pool.acquire(timeout=ACQUIRE_SECONDS))

    async def _release(self, connection: Connection) -> None:
        await self._pool.release(connection, timeout=GIVE_BACK_SECONDS)

    def count(self, what: Counted, kind: str = "") -> None:
        self._counted[what, kind] += 1

    async def commit(self) -> None:
        assert not self._reading, "a unit of work for reading has nothing to commit"
        dirty = {
            (projection, looked_at_as[entity_type], id)
            for projection, looked_at_as in self._subscriptions.items()
            for entity_type, id in self._changes.touched
            if entity_type in looked_at_as
        }
        queued = await self.queue.enqueue_and_note(dirty, self.audit.noted())
        try:
            await self._connection.execute("COMMIT")
        except _LOST as error:
            raise Unavailable(
                "The connection to the database was lost while storing: it may or may not have been stored. "
                "Look before you try again, or repeat it with the same Idempotency-Key."
            ) from error
        self._open = False
        self._tally.update(self._counted)
        self._queued = queued
        if queued:
            self._committed()
