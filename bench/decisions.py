"""How long a decision and a feedback take, and how that grows with what has been learned."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from time import perf_counter

import asyncpg
import numpy as np
from pgvector import Vector as PgVector

from bench.figures import Figure
from hopper.adapters.postgres import migrate
from hopper.adapters.postgres.unit_of_work import open_pool
from hopper.adapters.postgres.vector_indexes import Space
from hopper.app.lifecycle import create_task, give_feedback, route_task
from hopper.app.projections import EMBEDDING
from hopper.app.replay import Example, create_targets, targets_of, teach
from hopper.app.training import up_to_date
from hopper.bootstrap import open_hopper
from hopper.config import load_settings
from hopper.domain.feedback import Feedback
from hopper.domain.ids import InstanceId, new_id
from hopper.entrypoints.cli.examples import read_examples
from hopper.entrypoints.cli.scratch import run
from hopper.ports import Ports
from hopper.ports.vectors import VectorKind
from hopper.services.postgres import EmbeddedPostgres

DECISIONS = 300
FEW, MANY = 1_000, 100_000

_SETTLING_SECONDS = 10
"""After much has been written: for checkpoints, indexes and the collector of old rows."""

_LIKENESS = 0.9
"""Cosine of a copied past task to what it was copied from."""


def measure(data: Path) -> list[Figure]:
    """Decisions about tasks of banking77, with 1,000 of its past ones, and with 100,000 near them."""
    past, new = (read_examples(data / f"banking77-{part}.jsonl.gz") for part in ("train", "test"))
    figures: list[Figure] = []
    with TemporaryDirectory(prefix="hopper-bench-") as place, EmbeddedPostgres(Path(place)) as postgres:
        asyncio.run(migrate.upgrade(postgres.url))
        mixed = Random(1).sample(past, len(past)), Random(1).sample(new, 2 * DECISIONS)
        run(_measure(postgres.url, *mixed, figures))
    return figures


async def _measure(url: str, past: list[Example], new: list[Example], figures: list[Figure]) -> None:
    pool = await open_pool(url, 2)
    async with open_hopper(load_settings(), url) as ports:
        targets = targets_of([*past, *new])
        await create_targets(targets, ports=ports)
        async for _ in teach(past[:FEW], targets, ports=ports):
            pass
        few = await _timed(new[:DECISIONS], targets, "1k", figures, pool, ports)
        async for _ in teach(past[FEW:], targets, ports=ports):
            pass
        await _copy(pool, MANY)
        many = await _timed(new[DECISIONS : 2 * DECISIONS], targets, "100k", figures, pool, ports)
    await pool.close()
    figures.append(Figure(name="a decision, growth from 1k to 100k", value=many / few, goal=1.5, at_least=False))


async def _timed(
    new: list[Example],
    targets: dict[str, InstanceId],
    label: str,
    figures: list[Figure],
    pool: "asyncpg.Pool[asyncpg.Record]",
    ports: Ports,
) -> float:
    """The p50 of decisions, in milliseconds."""
    await up_to_date(ports=ports, after_all=True)
    for example in new:
        await create_task(example.task, ports=ports)
    await embedded(ports)
    await asyncio.sleep(_SETTLING_SECONDS)
    bare = [await _took(_bare(example, pool, ports)) for example in new]
    decisions = [await _took(route_task(example.task.id, ports=ports)) for example in new]
    feedback = [await _took(give_feedback(_correction(example, targets, ports), ports=ports)) for example in new]
    p50, p99 = (float(np.percentile(decisions, share)) for share in (50, 99))
    figures += [
        Figure(name=f"a decision with {label} past ones, p50", value=p50, unit="ms", goal=5, at_least=False),
        Figure(name=f"a decision with {label} past ones, p99", value=p99, unit="ms"),
        Figure(name=f"floor: their 64 nearest and one row, {label}", value=float(np.median(bare)), unit="ms"),
        Figure(
            name=f"a feedback with {label} past ones, p50",
            value=float(np.median(feedback)),
            unit="ms",
            goal=10,
            at_least=False,
        ),
    ]
    return p50


async def _took(work: Awaitable[object]) -> float:
    began = perf_counter()
    await work
    return 1000 * (perf_counter() - began)


async def _bare(example: Example, pool: "asyncpg.Pool[asyncpg.Record]", ports: Ports) -> None:
    """What any decision by similarity needs: the task's vector, its neighbours with theirs, and a durable row."""
    async with pool.acquire() as connection, connection.transaction():
        vector = await connection.fetchval(
            "SELECT embedding FROM task_embeddings WHERE task_id = $1 AND model = $2",
            example.task.id,
            ports.embedder.model,
        )
        space = Space(ports.embedder.model, ports.embedder.dimension)
        await connection.fetch(
            f"""SELECT v.embedding, e.outcome_instance FROM episode_embeddings v
                JOIN routing_episodes e ON e.id = v.episode_id AND e.scope = 'PROJECT'
                WHERE {space.own} AND v.scope = 'PROJECT' AND v.is_known ORDER BY {space.distance} LIMIT 64""",
            vector,
        )
        await connection.execute("INSERT INTO routing_episodes (id, task_id) VALUES ($1, NULL)", new_id())


def _correction(example: Example, targets: dict[str, InstanceId], ports: Ports) -> Feedback:
    return Feedback(
        task_id=example.task.id, should_have_routed_to=targets[example.target], created_at=ports.clock.now()
    )


async def embedded(ports: Ports) -> None:
    """Return when the worker has nothing left to do."""
    depth = 1
    while depth:
        await asyncio.sleep(0.1)
        async with ports.reading() as uow:
            depth = await uow.queue.depth(EMBEDDING)


async def _copy(pool: "asyncpg.Pool[asyncpg.Record]", wanted: int) -> None:
    """Copy past tasks, with what is known of them, until there are so many; each has a vector of its own."""
    random = np.random.default_rng(1)
    known = await pool.fetch(
        """SELECT e.id, v.embedding, v.model, v.content_hash FROM routing_episodes e
           JOIN episode_embeddings v ON v.episode_id = e.id WHERE v.is_known ORDER BY e.id"""
    )
    vectors = np.stack([row["embedding"].to_numpy() for row in known])
    for copy in range(1, wanted // len(known) + 1):
        mark = f"{copy:02d}"  # in place of an id's last two characters
        await pool.execute(
            """INSERT INTO tasks (id, title, description, status, tags, created_at)
               SELECT left(t.id, -2) || $1, t.title, t.description, t.status, t.tags, t.created_at
               FROM tasks t JOIN routing_episodes e ON e.task_id = t.id WHERE e.id = ANY($2) ON CONFLICT DO NOTHING""",
            mark,
            [row["id"] for row in known],
        )
        await pool.execute(
            """INSERT INTO routing_episodes (id, task_id, strategy, outcome_instance, routed_at, completed_at, scope)
               SELECT left(e.id, -2) || $1, left(e.task_id, -2) || $1, e.strategy, e.outcome_instance, e.routed_at,
                   e.completed_at - interval '1 day', e.scope
               FROM routing_episodes e WHERE e.id = ANY($2) ON CONFLICT DO NOTHING""",
            mark,
            [row["id"] for row in known],
        )
        noise = random.normal(size=vectors.shape)
        noise /= np.linalg.norm(noise, axis=1, keepdims=True)
        near = _LIKENESS * vectors + np.sqrt(1 - _LIKENESS**2) * noise
        await pool.execute(
            f"""INSERT INTO {VectorKind.EPISODE}_embeddings
                    (episode_id, model, embedding, content_hash, is_known, scope)
                SELECT left(new.id, -2) || $1, $2, new.embedding, new.content_hash, true, 'PROJECT'
                FROM unnest($3::text[], $4::vector[], $5::text[]) AS new(id, embedding, content_hash)
                ON CONFLICT DO NOTHING""",
            mark,
            known[0]["model"],
            [row["id"] for row in known],
            [PgVector(vector) for vector in near],
            [row["content_hash"] for row in known],
        )
    await pool.execute("VACUUM ANALYZE")
