"""How long an upgrade in phases takes, and what the servers notice that go on meanwhile."""

from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import perf_counter

import asyncpg
import numpy as np
from tests.migrations.previous import MODEL, NEIGHBOURS, Traffic, a_vector, fill

from bench.figures import Figure
from hopper.adapters.postgres import migrate
from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork, open_pool
from hopper.adapters.postgres.vector_indexes import PostgresVectorIndexes
from hopper.domain.instance import Scope
from hopper.entrypoints.cli.output import note
from hopper.entrypoints.cli.scratch import run
from hopper.services.postgres import EmbeddedPostgres

EPISODES, DIMENSION = 100_000, 256
_QUESTIONS = 200


def measure(episodes: int = EPISODES) -> list[Figure]:
    """Of a database of 0018 with so many past decisions, while two of its servers decide."""
    figures: list[Figure] = []
    with TemporaryDirectory(prefix="hopper-bench-") as place, EmbeddedPostgres(Path(place)) as postgres:
        run(_measure(postgres.url, episodes, figures))
    return figures


async def _measure(url: str, episodes: int, figures: list[Figure]) -> None:
    await migrate._with_alembic(url, partial(migrate._upgraded, "0018"))
    pool = await open_pool(url, 2)
    async with pool.acquire() as connection:
        await fill(connection, episodes, DIMENSION)
    await PostgresVectorIndexes(pool).ensure(MODEL, DIMENSION)
    figures.append(Figure(name="neighbours, before", value=await _neighbours_before(url), unit="ms"))
    async with Traffic(url, servers=2, dimension=DIMENSION) as traffic:
        await traffic.worked(200)
        quiet, traffic.slowest = traffic.slowest, 0.0
        began = perf_counter()
        await migrate.upgrade(url, note)
        took = perf_counter() - began
        slowest = traffic.slowest
    began = perf_counter()
    await migrate.upgrade(url, note)
    figures += [
        Figure(name=f"expand and migrate {episodes:,} decisions, under load", value=took, unit="s"),
        Figure(name="the slowest statement of the version before meanwhile", value=1000 * slowest, unit="ms"),
        Figure(name="its slowest before the upgrade", value=1000 * quiet, unit="ms"),
        Figure(name="compare and contract", value=perf_counter() - began, unit="s"),
    ]
    figures += [
        Figure(name=f"neighbours, after, {label}", value=await _neighbours(pool, scopes), unit="ms")
        for label, scopes in (("all scopes", list(Scope)), ("one scope", [Scope.PROJECT]))
    ]
    await pool.close()


async def _neighbours_before(url: str) -> float:
    connection = await asyncpg.connect(url, server_settings={"hnsw.ef_search": "64", "jit": "off"})
    random = Random(1)
    took = []
    for _ in range(_QUESTIONS):
        asked = a_vector(random, DIMENSION)
        began = perf_counter()
        await connection.fetch(NEIGHBOURS.format(dimension=DIMENSION), asked)
        took.append(1000 * (perf_counter() - began))
    await connection.close()
    return float(np.median(took))


async def _neighbours(pool: "asyncpg.Pool[asyncpg.Record]", scopes: list[Scope]) -> float:
    random = np.random.default_rng(1)
    took = []
    async with PostgresUnitOfWork(pool, {}) as uow:
        for asked in random.normal(size=(_QUESTIONS, DIMENSION)).astype(np.float32):
            began = perf_counter()
            await uow.vectors.similar_episodes(asked, MODEL, scopes, 64)
            took.append(1000 * (perf_counter() - began))
    return float(np.median(took))
