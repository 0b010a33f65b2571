"""The only place that wires adapters to ports."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from hopper.adapters.clock import SystemClock
from hopper.adapters.embeddings.wordllama import WordLlamaEmbedder
from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork, open_pool
from hopper.adapters.postgres.vector_indexes import PostgresVectorIndexes
from hopper.app.intake import GroupIntake
from hopper.app.projections import SUBSCRIPTIONS, EmbeddingWorker
from hopper.config import Settings
from hopper.ports import Ports
from hopper.routing.router import Policy


@asynccontextmanager
async def open_hopper(settings: Settings, url: str) -> AsyncIterator[Ports]:
    """Hopper over a migrated database, with the worker that keeps its projections; closed at the end."""
    pool = await open_pool(url, settings.database.postgres.pool_size)
    embedder = WordLlamaEmbedder()
    changed = asyncio.Event()

    def unit_of_work() -> PostgresUnitOfWork:
        return PostgresUnitOfWork(pool, SUBSCRIPTIONS, changed.set)

    ports = Ports(
        unit_of_work=unit_of_work,
        reading=lambda: PostgresUnitOfWork(pool, SUBSCRIPTIONS, reading=True),
        intake=GroupIntake(unit_of_work),
        embedder=embedder,
        vector_indexes=PostgresVectorIndexes(pool),
        clock=SystemClock(),
        policy=Policy(abstain_below=settings.routing.abstain_below),
    )
    worker = EmbeddingWorker(
        ports, changed, settings.embeddings.batch_size, structlog.get_logger("hopper.worker").warning
    )
    await asyncio.to_thread(embedder.load)
    running = asyncio.create_task(worker.run())
    try:
        yield ports
    finally:
        worker.stop()
        await running
        await pool.close()
