"""Similar tasks: how many of the nearest are found, and how long that takes through Hopper and bare."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import asyncpg
import numpy as np
from numpy.typing import NDArray
from pgvector import Vector as PgVector

from bench.figures import Figure
from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork, open_pool
from hopper.adapters.postgres.vector_indexes import PostgresVectorIndexes
from hopper.domain.task import TaskStatus
from hopper.entrypoints.cli.scratch import run, scratch_database
from hopper.ports.repositories import TaskFilter
from hopper.ports.vectors import StoredVector, VectorKind

Matrix = NDArray[np.float32]
Pool = "asyncpg.Pool[asyncpg.Record]"

_QUERIES = 200
_NEAREST = 10
_CLUSTER = 500
"""Vectors that lie about one centre: tasks come in subjects, and a subject has many."""

_FILTERS = {
    "": TaskFilter(),
    ", 4 in 5 match": TaskFilter(status=TaskStatus.PENDING),
    ", 1 in 100 match": TaskFilter(project="p7"),
    ", 1 in 5,000 match": TaskFilter(tag="rare"),
}

_BARE = """SELECT v.task_id AS id, 1 - ((v.embedding::vector({d})) <=> $1::vector({d})) AS similarity
    FROM task_embeddings v {join} WHERE v.model = '{model}' {condition}
    ORDER BY (v.embedding::vector({d})) <=> $1::vector({d}) LIMIT 10"""
_CONDITIONS = {
    "": "",
    ", 4 in 5 match": "AND status = 'pending'",
    ", 1 in 100 match": "AND project = 'p7'",
    ", 1 in 5,000 match": "AND tags ? 'rare'",
}


@dataclass(frozen=True)
class Size:
    rows: int
    dimension: int
    method: str = "hnsw"

    def __str__(self) -> str:
        return f"{self.rows // 1000}k x {self.dimension:,}, {self.method}"


SIZES = [
    Size(10_000, 256),
    Size(10_000, 256, "ivfflat"),
    Size(10_000, 1_536),
    Size(10_000, 1_536, "ivfflat"),
]

LARGE_SIZES = [
    Size(100_000, 256),
    Size(100_000, 1_536),
]


def measure(sizes: Sequence[Size]) -> list[Figure]:
    figures: list[Figure] = []
    with scratch_database() as url:
        for size in sizes:
            run(_measure(url, size, figures))
    return figures


async def _measure(url: str, size: Size, figures: list[Figure]) -> None:
    pool = await open_pool(url, 4)
    try:
        vectors, queries = _drawn(size)
        await _load(pool, size, vectors)
        took = await _built(pool, size)
        figures.append(Figure(name=f"{size}: index built in", value=took, unit="s"))
        if size.rows == 10_000 and size.method == "hnsw":
            figures += await _storing(pool, size, vectors)
        for label, where in _FILTERS.items():
            figures += await _compared(pool, size, vectors, queries, label, where)
    finally:
        await pool.execute("TRUNCATE tasks CASCADE")
        await PostgresVectorIndexes(pool).drop(_model(size))
        await pool.close()


def _model(size: Size) -> str:
    return f"bench-{size.dimension}"


def _drawn(size: Size) -> tuple[Matrix, Matrix]:
    """Unit vectors in clusters of unlike spread, and others from the same clusters to ask about."""
    random = np.random.default_rng(20260105)
    centres = random.normal(size=(size.rows // _CLUSTER, size.dimension)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    spread = random.uniform(0.3, 1.2, size=len(centres)).astype(np.float32) / np.sqrt(size.dimension)

    def draw(number: int) -> Matrix:
        of = random.integers(len(centres), size=number)
        noise = random.normal(size=(number, size.dimension)).astype(np.float32)
        vectors = centres[of] + spread[of, None] * noise
        unit: Matrix = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    return draw(size.rows), draw(_QUERIES)


def _matches(label: str, number: int) -> bool:
    match label:
        case ", 4 in 5 match":
            return number % 5 != 0
        case ", 1 in 100 match":
            return number % 100 == 7
        case ", 1 in 5,000 match":
            return number % 5_000 == 11
    return True


async def _load(pool: "asyncpg.Pool[asyncpg.Record]", size: Size, vectors: Matrix) -> None:
    """Tasks and their vectors, by COPY."""
    numbers = range(size.rows)
    async with pool.acquire() as connection:
        await connection.copy_records_to_table(
            "tasks",
            columns=["id", "title", "status", "project", "tags"],
            records=(
                (
                    f"t{n}",
                    f"Task {n}",
                    "pending" if n % 5 else "done",
                    f"p{n % 100}",
                    {"rare": True} if n % 5_000 == 11 else {"common": True},
                )
                for n in numbers
            ),
        )
        for start in range(0, size.rows, 5_000):
            _show(f"{size}: loading {start:,}")
            await connection.copy_records_to_table(
                "task_embeddings",
                columns=["task_id", "model", "embedding", "content_hash"],
                records=(
                    (f"t{start + n}", _model(size), PgVector(row), "h")
                    for n, row in enumerate(vectors[start : start + 5_000])
                ),
            )
        await connection.execute("ANALYZE tasks")
        await connection.execute("ANALYZE task_embeddings")


async def _built(pool: "asyncpg.Pool[asyncpg.Record]", size: Size) -> float:
    building = asyncio.create_task(PostgresVectorIndexes(pool, size.method).ensure(_model(size), size.dimension))
    began = perf_counter()
    while not building.done():
        done = await pool.fetchval(
            "SELECT coalesce(tuples_done, 0) FROM pg_stat_progress_create_index WHERE tuples_total > 0"
        )
        _show(f"{size}: building, {done or 0:,} of {size.rows:,}, {perf_counter() - began:.0f} s")
        await asyncio.wait({building}, timeout=1)
    await building
    _show("")
    return perf_counter() - began


async def _storing(pool: "asyncpg.Pool[asyncpg.Record]", size: Size, vectors: Matrix) -> list[Figure]:
    """What the index adds to storing vectors: another model's without one, and this one's with it."""
    figures = []
    for model, label in ((f"other-{size.dimension}", "without an index"), (_model(size), "with an index")):
        began = perf_counter()
        for start in range(0, 2_000, 500):
            async with PostgresUnitOfWork(pool, {}) as uow:
                stored = {
                    f"t{start + n}": StoredVector(row, f"new {label}")
                    for n, row in enumerate(vectors[start : start + 500])
                }
                await uow.vectors.put(VectorKind.TASK, model, stored)
                await uow.commit()
        rate = 2_000 / (perf_counter() - began)
        figures.append(Figure(name=f"{size}: storing vectors {label}", value=rate, unit="vectors/s"))
    await pool.execute("DELETE FROM task_embeddings WHERE model = $1", f"other-{size.dimension}")
    return figures


async def _compared(
    pool: "asyncpg.Pool[asyncpg.Record]", size: Size, vectors: Matrix, queries: Matrix, label: str, where: TaskFilter
) -> list[Figure]:
    model = _model(size)
    statement = _BARE.format(
        d=size.dimension,
        model=model,
        join="JOIN tasks ON tasks.id = v.task_id" if label else "",
        condition=_CONDITIONS[label],
    )

    async def through_hopper(asked: Matrix) -> list[str]:
        async with PostgresUnitOfWork(pool, {}, reading=True, ivfflat=size.method == "ivfflat") as uow:
            return [id for id, _ in await uow.vectors.similar_tasks(asked, model, where, _NEAREST)]

    async def bare(asked: Matrix) -> list[str]:
        async with pool.acquire() as connection:
            return [row["id"] for row in await connection.fetch(statement, PgVector(asked))]

    matching = np.array([n for n in range(size.rows) if _matches(label, n)])
    found = 0
    wanted = 0
    times: dict[Callable[[Matrix], Awaitable[list[str]]], list[float]] = {through_hopper: [], bare: []}
    for number, asked in enumerate(queries):
        alike = vectors[matching] @ asked if label else vectors @ asked
        best = np.argpartition(-alike, min(_NEAREST, len(alike)) - 1)[:_NEAREST]
        exact = {f"t{matching[n]}" for n in best}
        for ask in times if number % 2 else reversed(times):
            began = perf_counter()
            answer = await ask(asked)
            times[ask].append(perf_counter() - began)
            if ask is through_hopper:
                found += len(exact & {*answer})
                wanted += len(exact)
    p50, p99 = (1000 * float(np.percentile(times[through_hopper][10:], at)) for at in (50, 99))
    bare50 = 1000 * float(np.percentile(times[bare][10:], 50))
    is_large = size.rows >= 100_000
    return [
        Figure(
            name=f"{size}{label}: recall@10",
            value=found / wanted,
            goal=0.97 if is_large and not label else None,
        ),
        Figure(name=f"{size}{label}: p50", value=p50, unit="ms"),
        Figure(name=f"{size}{label}: p99", value=p99, unit="ms"),
        Figure(
            name=f"{size}{label}: p50, times the bare statement",
            value=p50 / bare50,
            unit="x",
            goal=None if label else 1.5,
            at_least=False,
        ),
    ]


def _show(text: str) -> None:
    """Where it has got to, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
