"""Vectors in pgvector, and what is nearest to one.

A search goes through its model's index (see `vector_indexes.py`) when there is one. With a filter that few rows
pass, an approximate index finds fewer than there are; then the rows that pass are compared one by one.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import isnan

import numpy as np
from pgvector import Vector as PgVector

from hopper.adapters.postgres.patterns import criteria
from hopper.adapters.postgres.sql import Connection, Row
from hopper.adapters.postgres.tasks import filtered
from hopper.adapters.postgres.vector_indexes import PROBES, Space
from hopper.domain.episode import SimilarEpisode
from hopper.domain.errors import NotFound
from hopper.domain.ids import PatternId, TaskId
from hopper.domain.instance import Scope
from hopper.domain.pattern import pattern_text
from hopper.domain.task import embedding_text
from hopper.ports.embedder import Vector
from hopper.ports.repositories import TaskFilter
from hopper.ports.vectors import EmbeddingSource, StoredVector, VectorKind

_SOURCES = {
    VectorKind.TASK: """SELECT t.id, t.title, t.description, t.tags,
            (SELECT v.content_hash FROM task_embeddings v WHERE v.task_id = t.id AND v.model = $2) AS content_hash
        FROM tasks t WHERE t.id = ANY($1::text[])""",
    VectorKind.EPISODE: """SELECT e.id, t.title, t.description, t.tags,
            (SELECT v.content_hash FROM episode_embeddings v WHERE v.episode_id = e.id AND v.model = $2) AS content_hash
        FROM routing_episodes e JOIN tasks t ON t.id = e.task_id WHERE e.id = ANY($1::text[])""",
    VectorKind.PATTERN: """SELECT p.id, p.name, p.description, p.tag_criteria, p.text_criteria,
            (SELECT v.content_hash FROM pattern_embeddings v WHERE v.pattern_id = p.id AND v.model = $2) AS content_hash
        FROM routing_patterns p WHERE p.id = ANY($1::text[]) AND p.source <> 'northbound'""",
}
"""What came from other Hoppers is compared with nothing, and a provider isn't to read what few of them share."""

_GET = "SELECT embedding, content_hash FROM {table} WHERE {owner_id} = $1 AND model = $2"

_PUT = """INSERT INTO {table} ({owner_id}, model, embedding, content_hash)
    SELECT new.id, $1, new.embedding, new.content_hash
    FROM unnest($2::text[], $3::vector[], $4::text[]) AS new(id, embedding, content_hash)
    JOIN {owner} ON {owner}.id = new.id ORDER BY new.id FOR KEY SHARE OF {owner}
    ON CONFLICT ({owner_id}, model) DO UPDATE
    SET embedding = excluded.embedding, content_hash = excluded.content_hash, created_at = now()
    WHERE {table}.content_hash <> excluded.content_hash"""

NAMES = {
    VectorKind.TASK: {"table": "task_embeddings", "owner_id": "task_id", "owner": "tasks"},
    VectorKind.EPISODE: {"table": "episode_embeddings", "owner_id": "episode_id", "owner": "routing_episodes"},
    VectorKind.PATTERN: {"table": "pattern_embeddings", "owner_id": "pattern_id", "owner": "routing_patterns"},
}
_GETS = {kind: _GET.format(**names) for kind, names in NAMES.items()}
KNOWN = "(outcome_instance IS NOT NULL OR outcome_success IS NOT NULL)"
"""Whether an episode has an outcome: its vectors' `is_known`."""

# An outcome that becomes known meanwhile is seen, or sees this vector; nor does the episode move to another partition.
_PUT_EPISODES = f"""WITH new AS MATERIALIZED (
        SELECT e.id, e.scope, new.embedding, new.content_hash, {KNOWN} AS is_known
        FROM unnest($2::text[], $3::vector[], $4::text[]) AS new(id, embedding, content_hash)
        JOIN routing_episodes e ON e.id = new.id ORDER BY e.id FOR SHARE OF e
    ), changed AS (
        UPDATE episode_embeddings v SET embedding = new.embedding, content_hash = new.content_hash, created_at = now()
        FROM new WHERE v.episode_id = new.id AND v.model = $1 AND v.content_hash <> new.content_hash
    )
    INSERT INTO episode_embeddings (episode_id, model, embedding, content_hash, is_known, scope)
    SELECT id, $1, embedding, content_hash, is_known, scope FROM new
    ON CONFLICT DO NOTHING"""

_PUTS = {
    VectorKind.TASK: _PUT.format(**NAMES[VectorKind.TASK]),
    VectorKind.EPISODE: _PUT_EPISODES,
    VectorKind.PATTERN: _PUT.format(**NAMES[VectorKind.PATTERN]),
}


class PostgresVectors:
    """Implements ports.vectors.VectorRepository."""

    def __init__(self, connection: Connection, *, ivfflat: bool = False, is_bound: bool = False) -> None:
        self._connection = connection
        self._is_bound = is_bound
        self._ivfflat = ivfflat

    async def sources(self, kind: VectorKind, ids: Sequence[str], model: str) -> Mapping[str, EmbeddingSource]:
        rows = await self._connection.fetch(_SOURCES[kind], list(ids), model)
        return {row["id"]: EmbeddingSource(text_of(kind, row), row["content_hash"]) for row in rows}

    async def get(self, kind: VectorKind, id: str, model: str) -> StoredVector | None:
        row = await self._connection.fetchrow(_GETS[kind], id, model)
        return _stored(row) if row else None

    async def of_task(self, task_id: TaskId, model: str) -> tuple[str, StoredVector | None]:
        row = await self._connection.fetchrow(
            """SELECT t.title, t.description, t.tags, v.embedding, v.content_hash
               FROM tasks t LEFT JOIN task_embeddings v ON v.task_id = t.id AND v.model = $2 WHERE t.id = $1""",
            task_id,
            model,
        )
        if row is None:
            raise NotFound("task", task_id)
        return text_of(VectorKind.TASK, row), _stored(row) if row["content_hash"] else None

    async def put(self, kind: VectorKind, model: str, vectors: Mapping[str, StoredVector]) -> None:
        await self._connection.execute(
            _PUTS[kind],
            model,
            list(vectors),
            [PgVector(stored.vector) for stored in vectors.values()],
            [stored.content_hash for stored in vectors.values()],
        )

    async def similar_episodes(
        self, vector: Vector, model: str, scopes: Iterable[Scope], limit: int
    ) -> tuple[SimilarEpisode, ...]:
        if not np.any(vector):
            return ()
        space = await self._space(VectorKind.EPISODE, vector, model)
        rows = await self._connection.fetch(similar_episodes_sql(space, scopes, limit), PgVector(vector))
        return tuple(map(_similar, _most_alike_first(rows)))

    async def similar_tasks(
        self, vector: Vector, model: str, where: TaskFilter, limit: int, exclude: TaskId | None = None
    ) -> tuple[tuple[TaskId, float], ...]:
        if not np.any(vector):
            return ()
        conditions = filtered(where, [PgVector(vector)])
        tasks = " JOIN tasks ON tasks.id = v.task_id" if conditions.conditions else ""
        conditions.add("v.task_id <> {}", exclude)
        space = await self._space(VectorKind.TASK, vector, model)

        async def nearest(distance: str) -> list[Row]:
            rows: list[Row] = await self._connection.fetch(
                f"""SELECT v.task_id AS id, 1 - {distance} AS similarity FROM task_embeddings v{tasks}
                    WHERE {space.own} AND {conditions} ORDER BY {distance} LIMIT {limit:d}""",
                *conditions.parameters,
            )
            return rows

        rows = await nearest(space.distance)
        if (tasks or self._is_bound) and len(rows) < limit:
            rows = await nearest(space.exact)
        return _scores(rows)

    async def similarities(self, vector: Vector, model: str, task_ids: Sequence[TaskId]) -> Mapping[TaskId, float]:
        if not np.any(vector):
            return {}
        space = Space(model, len(vector))
        rows = await self._connection.fetch(
            f"""SELECT v.task_id AS id, 1 - {space.exact} AS similarity FROM task_embeddings v
                WHERE {space.own} AND v.task_id = ANY($2::text[])""",
            PgVector(vector),
            list(task_ids),
        )
        return dict(_scores(rows))

    async def similar_patterns(self, vector: Vector, model: str, limit: int) -> tuple[tuple[PatternId, float], ...]:
        if not np.any(vector):
            return ()
        space = await self._space(VectorKind.PATTERN, vector, model)
        rows = await self._connection.fetch(
            f"""SELECT p.id, 1 - {space.distance} AS similarity
                FROM pattern_embeddings v JOIN routing_patterns p ON p.id = v.pattern_id
                WHERE {space.own} AND p.is_active AND p.source <> 'northbound'
                ORDER BY {space.distance} LIMIT {limit:d}""",
            PgVector(vector),
        )
        return _scores(rows)

    async def _space(self, kind: VectorKind, vector: Vector, model: str) -> Space:
        """Where to search; for an ivfflat index says first how many of its lists to look at."""
        if self._ivfflat:
            await self._connection.execute(PROBES, f"{kind}_embeddings", model)
        return Space(model, len(vector))


def similar_episodes_sql(space: Space, scopes: Iterable[Scope], limit: int) -> str:
    """Literals tell the planner which partitions it needn't open. In the tables of before 0019 nothing has a scope."""
    among = ", ".join(f"'{scope}'" for scope in sorted(scopes))
    return f"""SELECT e.id, e.task_id, e.chosen_instance, e.outcome_instance,
            (f.was_good_match IS NOT NULL OR f.should_have_routed_to IS NOT NULL) IS TRUE AS confirmed,
            coalesce(f.required_rework, false) AS required_rework,
            CASE WHEN f.task_id IS NULL THEN coalesce((SELECT sum(d.expired_leases) FROM task_delegations d
                WHERE d.task_id = e.task_id AND d.episode_id = e.id), 0) ELSE 0 END AS expired_leases,
            1 - nearest.distance AS similarity, nearest.embedding
        FROM (SELECT v.episode_id, v.embedding, {space.distance} AS distance FROM episode_embeddings v
              WHERE {space.own} AND v.is_known AND (v.scope IN ({among}) OR v.scope IS NULL)
              ORDER BY distance LIMIT {limit:d}) AS nearest
        JOIN routing_episodes e ON e.id = nearest.episode_id AND (e.scope IN ({among}) OR e.scope IS NULL)
        LEFT JOIN task_feedback f ON f.task_id = e.task_id"""


def text_of(kind: VectorKind, row: Row) -> str:
    """The text of an entity from the columns that it is made of."""
    if kind is VectorKind.PATTERN:
        wanted = criteria(row["tag_criteria"]), criteria(row["text_criteria"])
        return pattern_text(row["name"], row["description"], *wanted)
    return embedding_text(row["title"], row["description"], row["tags"])


def _stored(row: Row) -> StoredVector:
    return StoredVector(row["embedding"].to_numpy(), row["content_hash"])


def _most_alike_first(rows: Sequence[Row]) -> list[Row]:
    """In order, which an index that goes on searching keeps only nearly.

    A text without any known word has the zero vector, which has no angle to anything.
    """
    return sorted((row for row in rows if not isnan(row["similarity"])), key=lambda row: -row["similarity"])


def _scores(rows: Sequence[Row]) -> tuple[tuple[str, float], ...]:
    return tuple((row["id"], row["similarity"]) for row in _most_alike_first(rows))


def _similar(row: Row) -> SimilarEpisode:
    return SimilarEpisode(
        episode_id=row["id"],
        task_id=row["task_id"],
        chosen_instance=row["chosen_instance"],
        outcome_instance=row["outcome_instance"],
        confirmed=row["confirmed"],
        required_rework=row["required_rework"],
        similarity=row["similarity"],
        vector=row["embedding"].to_numpy(),
        expired_leases=row["expired_leases"],
    )
