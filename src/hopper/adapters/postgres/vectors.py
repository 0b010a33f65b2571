"""Vectors in pgvector.

A model's vectors are found through a partial expression index of its own, so that two models can live side by
side. The planner matches such an index only when model and dimension stand in the statement as literals.
"""

import re
from collections.abc import Mapping, Sequence
from math import isnan

import asyncpg
import numpy as np
from pgvector import Vector as PgVector

from hopper.adapters.postgres.sql import Connection, Row
from hopper.domain.episode import SimilarEpisode
from hopper.domain.errors import Invalid
from hopper.domain.task import embedding_text
from hopper.ports.embedder import Vector
from hopper.ports.vectors import EmbeddingSource, StoredVector, VectorKind

INDEX_FROM = 1_000
"""From so many rows on an approximate index is worth having; below, the exact scan is as quick."""

_SEARCHED = (VectorKind.EPISODE,)
"""Nobody searches the vectors of tasks yet, and an index that nobody uses makes filing slower."""

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,99}")

_SOURCES = {
    VectorKind.TASK: """SELECT t.id, t.title, t.description, t.tags,
            (SELECT v.content_hash FROM task_embeddings v WHERE v.task_id = t.id AND v.model = $2) AS content_hash
        FROM tasks t WHERE t.id = ANY($1::text[])""",
    VectorKind.EPISODE: """SELECT e.id, t.title, t.description, t.tags,
            (SELECT v.content_hash FROM episode_embeddings v WHERE v.episode_id = e.id AND v.model = $2) AS content_hash
        FROM routing_episodes e JOIN tasks t ON t.id = e.task_id WHERE e.id = ANY($1::text[])""",
}

_GET = {
    VectorKind.TASK: "SELECT embedding, content_hash FROM task_embeddings WHERE task_id = $1 AND model = $2",
    VectorKind.EPISODE: "SELECT embedding, content_hash FROM episode_embeddings WHERE episode_id = $1 AND model = $2",
}

_PUT = """INSERT INTO {table} ({owner_id}, model, embedding, content_hash)
    SELECT new.id, $1, new.embedding, new.content_hash
    FROM unnest($2::text[], $3::vector[], $4::text[]) AS new(id, embedding, content_hash)
    JOIN {owner} ON {owner}.id = new.id ORDER BY new.id FOR KEY SHARE OF {owner}
    ON CONFLICT ({owner_id}, model) DO UPDATE
    SET embedding = excluded.embedding, content_hash = excluded.content_hash, created_at = now()
    WHERE {table}.content_hash <> excluded.content_hash"""

_PUTS = {
    VectorKind.TASK: _PUT.format(table="task_embeddings", owner_id="task_id", owner="tasks"),
    VectorKind.EPISODE: _PUT.format(table="episode_embeddings", owner_id="episode_id", owner="routing_episodes"),
}


class PostgresVectors:
    """Implements ports.vectors.VectorRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def sources(self, kind: VectorKind, ids: Sequence[str], model: str) -> Mapping[str, EmbeddingSource]:
        rows = await self._connection.fetch(_SOURCES[kind], list(ids), model)
        return {
            row["id"]: EmbeddingSource(
                embedding_text(row["title"], row["description"], row["tags"]), row["content_hash"]
            )
            for row in rows
        }

    async def get(self, kind: VectorKind, id: str, model: str) -> StoredVector | None:
        row = await self._connection.fetchrow(_GET[kind], id, model)
        return StoredVector(row["embedding"].to_numpy(), row["content_hash"]) if row else None

    async def put(self, kind: VectorKind, model: str, vectors: Mapping[str, StoredVector]) -> None:
        await self._connection.execute(
            _PUTS[kind],
            model,
            list(vectors),
            [PgVector(stored.vector) for stored in vectors.values()],
            [stored.content_hash for stored in vectors.values()],
        )

    async def similar_episodes(self, vector: Vector, model: str, limit: int) -> tuple[SimilarEpisode, ...]:
        if not np.any(vector):
            return ()
        rows = await self._connection.fetch(_similar_episodes(model, len(vector), limit), PgVector(vector))
        # A text without any known word has the zero vector, which has no angle to anything.
        return tuple(_similar(row) for row in rows if not isnan(row["similarity"]))


class PostgresVectorIndexes:
    """Implements ports.vectors.VectorIndexes. Builds without blocking readers or writers."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._built: set[str] = set()

    async def ensure(self, model: str, dimension: int) -> None:
        for kind in _SEARCHED:
            name = f"idx_{kind}_embedding_{re.sub(r'[^a-z0-9]', '_', model.lower())[:30]}"
            if name in self._built or not await self._is_large(kind, model):
                continue
            if await self._build(name, kind, model, dimension):
                self._built.add(name)

    async def _is_large(self, kind: VectorKind, model: str) -> bool:
        counted: int = await self._pool.fetchval(
            f"SELECT count(*) FROM (SELECT FROM {kind}_embeddings WHERE model = $1 LIMIT $2) AS counted",
            model,
            INDEX_FROM,
        )
        return counted >= INDEX_FROM

    async def _build(self, name: str, kind: VectorKind, model: str, dimension: int) -> bool:
        """Whether the index is there now; another process may be at it."""
        async with self._pool.acquire() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_lock(hashtext($1))", name):
                return False
            try:
                valid = await connection.fetchval(
                    "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", name
                )
                if valid is False:  # a build that was broken off
                    await connection.execute(f"DROP INDEX CONCURRENTLY {name}")
                if not valid:
                    await connection.execute(
                        f"""CREATE INDEX CONCURRENTLY {name} ON {kind}_embeddings
                            USING hnsw ((embedding::vector({dimension:d})) vector_cosine_ops)
                            WHERE model = {_literal(model)}"""
                    )
                    await connection.execute(f"ANALYZE {kind}_embeddings")
            finally:
                if not connection.is_closed():
                    await connection.execute("SELECT pg_advisory_unlock(hashtext($1))", name)
        return True


def _literal(model: str) -> str:
    """A model's name as it may stand in a statement."""
    if not _MODEL_NAME.fullmatch(model):
        raise Invalid("embeddings.model", f"{model!r} can't be the name of a model: use letters, digits and . _ : / -")
    return f"'{model}'"


def _similar_episodes(model: str, dimension: int, limit: int) -> str:
    vector = f"vector({dimension:d})"
    return f"""SELECT e.id, e.task_id, e.chosen_instance, e.outcome_instance,
            (f.was_good_match IS NOT NULL OR f.should_have_routed_to IS NOT NULL) IS TRUE AS confirmed,
            coalesce(f.required_rework, false) AS required_rework,
            1 - ((v.embedding::{vector}) <=> $1::{vector}) AS similarity
        FROM episode_embeddings v JOIN routing_episodes e ON e.id = v.episode_id
        LEFT JOIN task_feedback f ON f.task_id = e.task_id
        WHERE v.model = {_literal(model)} AND (e.outcome_instance IS NOT NULL OR e.outcome_success IS NOT NULL)
        ORDER BY (v.embedding::{vector}) <=> $1::{vector} LIMIT {limit:d}"""


def _similar(row: Row) -> SimilarEpisode:
    return SimilarEpisode(
        episode_id=row["id"],
        task_id=row["task_id"],
        chosen_instance=row["chosen_instance"],
        outcome_instance=row["outcome_instance"],
        confirmed=row["confirmed"],
        required_rework=row["required_rework"],
        similarity=row["similarity"],
    )
