"""The only place that wires adapters to ports."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from hopper.adapters.clock import SystemClock
from hopper.adapters.embeddings.wordllama import WordLlamaEmbedder
from hopper.adapters.postgres.turns import PostgresTurns
from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork, open_pool
from hopper.adapters.postgres.vector_indexes import PostgresVectorIndexes
from hopper.app.intake import GroupIntake
from hopper.app.leases import LeaseSweeper
from hopper.app.models import ModelKeeper, ServedModels
from hopper.app.projections import SUBSCRIPTIONS, EmbeddingWorker
from hopper.app.training import TextModelKeeper, remember
from hopper.config import Settings
from hopper.domain.errors import Unavailable
from hopper.ports import Ports
from hopper.ports.embedder import Embedder
from hopper.ports.models import EmbeddingModel
from hopper.routing.router import Policy


@asynccontextmanager
async def open_hopper(settings: Settings, url: str) -> AsyncIterator[Ports]:
    """Hopper over a migrated database, with what works in the background; closed at the end."""
    pool = await open_pool(url, settings.database.postgres.pool_size)
    configured = configured_model(settings)
    models = ServedModels(configured, embedder_of)
    changed = asyncio.Event()
    index = settings.database.pgvector.index

    def unit_of_work(*, reading: bool = False) -> PostgresUnitOfWork:
        return PostgresUnitOfWork(pool, SUBSCRIPTIONS, changed.set, reading=reading, ivfflat=index == "ivfflat")

    ports = Ports(
        unit_of_work=unit_of_work,
        reading=lambda: unit_of_work(reading=True),
        intake=GroupIntake(unit_of_work),
        embedder=models,
        vector_indexes=PostgresVectorIndexes(pool, index),
        turns=PostgresTurns(pool),
        clock=SystemClock(),
        policy=Policy(abstain_below=settings.routing.abstain_below),
        models=models,
    )
    log = structlog.get_logger("hopper.worker").warning
    workers = (
        EmbeddingWorker(ports, changed, settings.embeddings.batch_size, log),
        ModelKeeper(ports, log),
        TextModelKeeper(ports, log),
        LeaseSweeper(ports, log),
    )
    try:
        async with unit_of_work() as uow:
            await uow.models.want(configured)
            models.use(await uow.models.roles())
            await uow.commit()
        if isinstance(models.searched, WordLlamaEmbedder):
            await asyncio.to_thread(models.searched.load)
        await remember(ports)
        running = [asyncio.create_task(worker.run()) for worker in workers]
        try:
            yield ports
        finally:
            for worker in workers:
                worker.stop()
            await asyncio.gather(*running)
    finally:
        await pool.close()


def configured_model(settings: Settings) -> EmbeddingModel:
    """The model that the settings name."""
    model = settings.embeddings.model
    return EmbeddingModel(model, settings.embeddings.provider, int(model.rpartition("-")[2]))


def embedder_of(model: EmbeddingModel) -> Embedder:
    """The embedder of a recorded model. Raises Unavailable when this server can't make it."""
    if model.provider == "wordllama":
        return WordLlamaEmbedder(model.dimension)
    raise Unavailable(f"This Hopper has no provider {model.provider!r} for the model {model.model!r}.")
