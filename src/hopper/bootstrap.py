"""The only place that wires adapters to ports."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import asyncpg
import structlog

from hopper.adapters.clock import SystemClock
from hopper.adapters.embeddings.wordllama import WordLlamaEmbedder
from hopper.adapters.postgres import migrate
from hopper.adapters.postgres.monitor import PostgresMonitor, Waits
from hopper.adapters.postgres.patterns import Known
from hopper.adapters.postgres.replica import LOOK_SECONDS, PostgresReplica
from hopper.adapters.postgres.searching import SearchingUnitOfWork
from hopper.adapters.postgres.turns import PostgresTurns
from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork, close, open_pool, open_replica_pool
from hopper.adapters.postgres.vector_indexes import PostgresVectorIndexes
from hopper.app.background import Log, Repeating, Worker, at_work
from hopper.app.consolidation import consolidation_worker
from hopper.app.graph_projection import GraphWorker
from hopper.app.intake import GroupIntake
from hopper.app.leases import lease_sweeper
from hopper.app.models import ModelKeeper, ServedModels, ask_for
from hopper.app.northbound import shared_keeper
from hopper.app.projections import GRAPH, SUBSCRIPTIONS, EmbeddingWorker
from hopper.app.retention import Kept, retention_keeper
from hopper.app.standings import standings_keeper
from hopper.app.training import TextModelKeeper, remember
from hopper.config import PUBLIC_API, BadConfiguration, Settings, openai_key
from hopper.domain.access import HOPPER, AccessPolicy, Asker, Secret, hashed
from hopper.domain.errors import Unavailable
from hopper.ports import Ports
from hopper.ports.embedder import Embedder
from hopper.ports.graph import Neo4jAddress
from hopper.ports.models import EmbeddingModel, Roles
from hopper.ports.replica import Position
from hopper.ports.spans import Spans
from hopper.ports.tally import Tally
from hopper.routing.policy import Policy
from hopper.sync.policy import SyncPolicy

if TYPE_CHECKING:
    from hopper.adapters.telemetry import OpenTelemetrySpans

_TAKEN_OFFLINE = 500
"""Entities that the worker takes at a time when embedding costs next to nothing."""

_SYNC_SECONDS = 0.5
"""How long a write waits for the graph with graph.sync_on_write, at most."""

_CHANGE_SECONDS = 15.0
"""How often a server looks whether a change of the schema can come to its end."""


@asynccontextmanager
async def open_hopper(
    settings: Settings,
    url: str,
    neo4j: Callable[[], Neo4jAddress | None] | None = None,
    spans: Spans | None = None,
) -> AsyncIterator[Ports]:
    """Hopper over a migrated database, with what works in the background; closed at the end.

    `neo4j` tells where the graph database is whenever it is asked, None while it isn't ready; without it there is none.
    `spans` are told of each call to a database or a provider.
    Raises BadConfiguration when the provider of embeddings needs a key and there is none; it needn't be up.
    """
    async with AsyncExitStack() as opened:
        models = _models(settings, opened, spans)
        pool = await open_pool(url, settings.database.postgres.pool_size, spans)
        opened.push_async_callback(close, pool)
        tally: Tally = Counter()
        waits = Waits()
        monitor = PostgresMonitor(url, pool, waits)
        opened.push_async_callback(monitor.close)
        changed, graph_changed = asyncio.Event(), asyncio.Event()
        graph_worker: GraphWorker | None = None
        index = settings.database.pgvector.index
        known_patterns: Known = {}

        def committed() -> None:
            changed.set()
            graph_changed.set()

        async def settled() -> None:
            if graph_worker:
                await graph_worker.caught_up(_SYNC_SECONDS)

        def unit_of_work(*, asker: Asker = HOPPER, reading: bool = False) -> PostgresUnitOfWork:
            return PostgresUnitOfWork(
                pool,
                SUBSCRIPTIONS,
                committed,
                settled=settled if settings.graph.sync_on_write else None,
                reading=reading,
                ivfflat=index == "ivfflat",
                known_patterns=known_patterns,
                min_sources=settings.sync.min_sources,
                asker=asker,
                tally=tally,
                waits=waits,
            )

        replica = await _replica(settings, url, pool, opened, spans)
        patterns_there: Known = {}  # another version of one may still be current there

        def searching(since: Position | None = None, *, asker: Asker = HOPPER) -> PostgresUnitOfWork:
            if replica is None:
                return unit_of_work(asker=asker, reading=True)
            return SearchingUnitOfWork(
                replica,
                since,
                ivfflat=index == "ivfflat",
                known_patterns=patterns_there,
                min_sources=settings.sync.min_sources,
                asker=asker,
                waits=waits,
            )

        ports = Ports(
            unit_of_work=unit_of_work,
            reading=partial(unit_of_work, reading=True),
            searching=searching,
            replica=replica,
            intake=GroupIntake(unit_of_work),
            embedder=models,
            vector_indexes=PostgresVectorIndexes(pool, index),
            turns=PostgresTurns(pool),
            clock=SystemClock(),
            policy=Policy(abstain_below=settings.routing.abstain_below),
            models=models,
            tally=tally,
            monitor=monitor,
            sync=SyncPolicy(
                enabled=settings.sync.northbound.enabled,
                min_sources=settings.sync.min_sources,
                contribution_cap=settings.sync.contribution_cap,
            ),
            access=_access(settings),
        )
        roles = await ask_for(configured_model(settings), ports=ports)
        models.use(roles)
        if isinstance(models.searched, WordLlamaEmbedder):
            await asyncio.to_thread(models.searched.load)
        await remember(ports)
        if neo4j:
            ports = await _with_graph(ports, neo4j, opened, spans)
            graph_worker = GraphWorker(ports, graph_changed, _log())
        others: list[Worker] = [graph_worker] if graph_worker else []
        if replica:
            others.append(Repeating(replica.look, LOOK_SECONDS, "looking at the replica failed", _log()))
        if await migrate.revision(url) != migrate.HEAD:  # an older version was still at work when this one started
            others.append(_change_finisher(url, settings.database.pgvector.enabled))
        async with _working(settings, roles, ports, changed, others):
            yield ports


def _change_finisher(url: str, pgvector: bool) -> Repeating:
    """A worker that brings a change of the schema to its end, which is its own end, too."""

    async def look() -> None:
        await migrate.upgrade(url, pgvector=pgvector)
        if await migrate.revision(url) == migrate.HEAD:
            worker.stop()

    failure = "bringing the change of the schema to its end failed"
    worker = Repeating(look, _CHANGE_SECONDS, failure, _log())
    return worker


async def _replica(
    settings: Settings,
    url: str,
    primary: "asyncpg.Pool[asyncpg.Record]",
    opened: AsyncExitStack,
    spans: Spans | None,
) -> PostgresReplica | None:
    """The replica of the database that the settings name, which needn't be up; of another one nothing is known."""
    postgres = settings.database.postgres
    if postgres.replica_url is None or url != postgres.url:
        return None
    pool = await open_replica_pool(postgres.replica_url, postgres.pool_size, spans)
    opened.callback(pool.terminate)  # it has nothing to finish, and a replica that hangs would be waited for
    replica = PostgresReplica(primary, pool, _log())
    await replica.look()
    return replica


def open_spans() -> "OpenTelemetrySpans | None":
    """Spans for OpenTelemetry, if its own variables ask for them; to be closed."""
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} & {
        name for name, value in os.environ.items() if value
    }
    switched_off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if not asked or switched_off or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    try:
        from hopper.adapters.telemetry import OpenTelemetrySpans
    except ImportError:
        from hopper.services.extras import how_to_install

        structlog.get_logger("hopper.telemetry").warning(
            f"{min(asked)} is set, but there are no traces without their packages: {how_to_install('telemetry')}"
        )
        return None
    return OpenTelemetrySpans(structlog.get_logger("hopper.telemetry").warning)


async def _with_graph(
    ports: Ports, neo4j: Callable[[], Neo4jAddress | None], opened: AsyncExitStack, spans: Spans | None
) -> Ports:
    """The same with a graph database, which needn't be up."""
    from hopper.adapters.neo4j.moving import MovingDriver
    from hopper.adapters.neo4j.queries import Neo4jGraph
    from hopper.adapters.neo4j.store import Neo4jStore

    async with ports.reading() as uow:
        identity = await uow.projections.identity(GRAPH)
    driver = await opened.enter_async_context(MovingDriver(neo4j, spans))
    return replace(ports, graph=lambda: Neo4jGraph(driver), graph_store=Neo4jStore(driver, identity))


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Callable[[], PostgresUnitOfWork]]:
    """Units of work over a migrated database, with nothing in the background."""
    pool = await open_pool(url, 2)
    try:
        yield lambda: PostgresUnitOfWork(pool, SUBSCRIPTIONS)
    finally:
        await close(pool)


def _access(settings: Settings) -> AccessPolicy:
    token = settings.auth.admin_key.get_secret_value()
    return AccessPolicy(admin=Secret("admin", hashed(token)) if token else None, rate=settings.auth.requests_per_second)


def _log() -> Log:
    log: Log = structlog.get_logger("hopper.worker").warning
    return log


@asynccontextmanager
async def _working(
    settings: Settings, roles: Roles, ports: Ports, changed: asyncio.Event, others: Sequence[Worker]
) -> AsyncIterator[None]:
    """Everything that works in the background, for as long as the block lasts."""
    log = _log()
    learning = settings.learning
    consolidate_pause = timedelta(minutes=learning.consolidate_pause_minutes)
    # Over the network one call's, so that a failure loses no paid work.
    is_offline = {model.provider for model in (roles.searched, roles.wanted) if model} == {"wordllama"}
    batch_size = _TAKEN_OFFLINE if is_offline else settings.embeddings.batch_size
    workers: list[Worker] = [
        TextModelKeeper(ports, log),
        consolidation_worker(ports, learning.consolidate_after, consolidate_pause, log),
        lease_sweeper(ports, log),
        standings_keeper(ports, log),
        shared_keeper(ports, log),
        retention_keeper(kept(settings), ports, log),
        *others,
    ]
    if roles.wanted:
        workers += [EmbeddingWorker(ports, changed, batch_size, log), ModelKeeper(ports, log)]
    async with at_work(workers):
        yield


def _models(settings: Settings, opened: AsyncExitStack, spans: Spans | None) -> ServedModels:
    """The embedders of the configured model and, while search moves, of another one."""
    if settings.embeddings.provider == "openai":
        openai_key(settings)

    def embedder_of(model: EmbeddingModel) -> Embedder:
        """Raises Unavailable when this server can't make the embedder of a recorded model."""
        embeddings = settings.embeddings
        if model.provider == "wordllama":
            return WordLlamaEmbedder(model.dimension, embeddings.batch_size)
        if model.provider != "openai":
            raise Unavailable(f"This Hopper has no provider {model.provider!r} for the model {model.model!r}.")
        from hopper.adapters.embeddings.openai import OpenAIEmbedder

        try:
            key = openai_key(settings)
        except BadConfiguration as error:
            raise Unavailable(error.message) from None
        base_url = model.base_url if model.base_url and model.model != embeddings.model else embeddings.base_url
        # To nobody else: another address may be yesterday's provider, and have no business with today's key.
        if base_url not in {PUBLIC_API, embeddings.base_url}:
            key = None
        if key is None and base_url == PUBLIC_API:
            raise Unavailable(f"The model {model.model!r} is OpenAI's, and OPENAI_API_KEY isn't set any more.")
        embedder = OpenAIEmbedder(
            base_url=base_url,
            key=key,
            model=model.model,
            dimension=model.dimension,
            batch_size=embeddings.batch_size,
            timeout=embeddings.timeout_seconds,
            spans=spans,
        )
        opened.push_async_exit(embedder)
        return embedder

    return ServedModels(embedder_of)


def kept(settings: Settings) -> Kept:
    """How long what the settings name is kept."""
    days = (settings.retention.episodes_days, settings.retention.logs_days)
    return Kept(*(None if age is None else timedelta(days=age) for age in days))


def configured_model(settings: Settings) -> EmbeddingModel | None:
    """The model that the settings name; None without pgvector."""
    if not settings.database.pgvector.enabled:
        return None
    chosen, dimension = settings.embeddings, settings.database.pgvector.embedding_dimension
    base_url = chosen.base_url if chosen.provider == "openai" else None
    return EmbeddingModel(chosen.model, chosen.provider, dimension, base_url)
