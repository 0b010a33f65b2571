"""Vectors in the index, and what is nearest to one: all are compared, which takes milliseconds for thousands."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hopper.adapters.markdown.patterns import criteria
from hopper.adapters.markdown.sql import AMONG, Row
from hopper.adapters.markdown.tasks import filtered
from hopper.domain.episode import SimilarEpisode
from hopper.domain.ids import PatternId, TaskId
from hopper.domain.pattern import pattern_text
from hopper.domain.task import embedding_text
from hopper.ports.repositories import TaskFilter
from hopper.ports.vectors import EmbeddingSource, StoredVector, VectorKind

if TYPE_CHECKING:
    from hopper.adapters.markdown.session import Session
    from hopper.domain.instance import Scope
    from hopper.ports.embedder import Vector

_HASH = """(SELECT v.content_hash FROM embeddings v
    WHERE v.kind = '{kind}' AND v.id = {id} AND v.model = ?2) AS content_hash"""

_SOURCES = {
    VectorKind.TASK: f"""SELECT t.id, t.title, t.description, t.tags, {_HASH.format(kind="task", id="t.id")}
        FROM tasks t WHERE t.id {AMONG.format("?1")}""",
    VectorKind.EPISODE: f"""SELECT e.id, t.title, t.description, t.tags, {_HASH.format(kind="episode", id="e.id")}
        FROM routing_episodes e JOIN tasks t ON t.id = e.task_id WHERE e.id {AMONG.format("?1")}""",
    VectorKind.PATTERN: f"""SELECT p.id, p.name, p.description, p.tag_criteria, p.text_criteria,
            {_HASH.format(kind="pattern", id="p.id")}
        FROM routing_patterns p WHERE p.id {AMONG.format("?1")}""",
}

_OWNERS = {
    VectorKind.TASK: "tasks",
    VectorKind.EPISODE: "routing_episodes",
    VectorKind.PATTERN: "routing_patterns",
}
_OWN = "JOIN {owner} owner ON owner.id = v.id WHERE v.kind = '{kind}' AND v.model = ?1"
_OWNS = {kind: _OWN.format(owner=owner, kind=kind.value) for kind, owner in _OWNERS.items()}


class MarkdownVectors:
    """Implements ports.vectors.VectorRepository."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def sources(self, kind: VectorKind, ids: Sequence[str], model: str) -> Mapping[str, EmbeddingSource]:
        rows = await self._session.fetch(_SOURCES[kind], list(ids), model)
        return {row["id"]: EmbeddingSource(_text_of(kind, row), row["content_hash"]) for row in rows}

    async def get(self, kind: VectorKind, id: str, model: str) -> StoredVector | None:
        row = await self._session.fetchrow(
            f"SELECT embedding, content_hash FROM embeddings v {_OWNS[kind]} AND v.id = ?2", model, id
        )
        return _stored(row) if row else None

    async def of_task(self, task_id: TaskId, model: str) -> tuple[str, StoredVector | None]:
        source = (await self.sources(VectorKind.TASK, [task_id], model)).get(task_id)
        if source is None:
            raise await self._session.absent("task", task_id)
        return source.text, await self.get(VectorKind.TASK, task_id, model) if source.stored_hash else None

    async def put(self, kind: VectorKind, model: str, vectors: Mapping[str, StoredVector]) -> None:
        import numpy as np

        await self._session.lock()
        self._session.connection.executemany(
            f"""INSERT INTO embeddings (kind, id, model, embedding, content_hash)
                SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM {_OWNERS[kind]} WHERE id = ?2)
                ON CONFLICT (kind, id, model) DO UPDATE
                SET embedding = excluded.embedding, content_hash = excluded.content_hash
                WHERE content_hash <> excluded.content_hash""",
            [
                (kind.value, id, model, np.asarray(stored.vector, dtype=np.float32).tobytes(), stored.content_hash)
                for id, stored in vectors.items()
            ],
        )

    async def similar_episodes(
        self, vector: "Vector", model: str, scopes: "Iterable[Scope]", limit: int
    ) -> tuple[SimilarEpisode, ...]:
        rows = await self._session.fetch(
            """SELECT v.id, v.embedding, owner.task_id, owner.chosen_instance, owner.outcome_instance,
                    f.was_good_match IS NOT NULL OR f.should_have_routed_to IS NOT NULL AS confirmed,
                    coalesce(f.required_rework, 0) AS required_rework,
                    CASE WHEN f.task_id IS NULL THEN coalesce((SELECT sum(d.expired_leases) FROM task_delegations d
                        WHERE d.task_id = owner.task_id AND d.episode_id = owner.id), 0) ELSE 0 END AS expired_leases
                FROM embeddings v JOIN routing_episodes owner ON owner.id = v.id
                LEFT JOIN task_feedback f ON f.task_id = owner.task_id
                WHERE v.kind = 'episode' AND v.model = ?1
                    AND (owner.outcome_instance IS NOT NULL OR owner.outcome_success IS NOT NULL)
                    AND (owner.task_id IS NULL OR owner.task_id IN (SELECT id FROM tasks))""",
            model,
        )
        return tuple(_similar(row, similarity) for row, similarity in _nearest(vector, rows, limit))

    async def similar_tasks(
        self, vector: "Vector", model: str, where: TaskFilter, limit: int, exclude: TaskId | None = None
    ) -> tuple[tuple[TaskId, float], ...]:
        conditions = filtered(where, [model])
        conditions.add("id <> {}", exclude)
        rows = await self._session.fetch(
            f"""SELECT v.id, v.embedding FROM embeddings v WHERE v.kind = 'task' AND v.model = ?1
                AND v.id IN (SELECT id FROM tasks WHERE {conditions})""",
            *conditions.parameters,
        )
        return _scores(vector, rows, limit)

    async def similarities(self, vector: "Vector", model: str, task_ids: Sequence[TaskId]) -> Mapping[TaskId, float]:
        rows = await self._session.fetch(
            f"SELECT v.id, v.embedding FROM embeddings v {_OWNS[VectorKind.TASK]} AND v.id {AMONG.format('?2')}",
            model,
            list(task_ids),
        )
        return dict(_scores(vector, rows, len(rows)))

    async def similar_patterns(self, vector: "Vector", model: str, limit: int) -> tuple[tuple[PatternId, float], ...]:
        rows = await self._session.fetch(
            f"SELECT v.id, v.embedding FROM embeddings v {_OWNS[VectorKind.PATTERN]} AND owner.is_active", model
        )
        return _scores(vector, rows, limit)


def _nearest(vector: "Vector", rows: Sequence[Row], limit: int) -> list[tuple[Row, float]]:
    """The rows with their cosine similarity, the most alike first.

    A text without any known word has the zero vector, which has no angle to anything.
    """
    import numpy as np

    if not rows or not np.any(vector):
        return []
    stored = np.frombuffer(b"".join(row["embedding"] for row in rows), dtype=np.float32).reshape(len(rows), -1)
    lengths = np.linalg.norm(stored, axis=1)
    known = np.flatnonzero(lengths)
    similarity = (stored[known] @ vector) / (lengths[known] * np.linalg.norm(vector))
    order = np.argsort(-similarity, kind="stable")[:limit]
    return [(rows[known[at]], float(similarity[at])) for at in order]


def _scores(vector: "Vector", rows: Sequence[Row], limit: int) -> tuple[tuple[str, float], ...]:
    return tuple((row["id"], similarity) for row, similarity in _nearest(vector, rows, limit))


def _stored(row: Row) -> StoredVector:
    return StoredVector(vector_of(row["embedding"]), row["content_hash"])


def vector_of(stored: bytes) -> Any:
    import numpy as np

    return np.frombuffer(stored, dtype=np.float32)


def _text_of(kind: VectorKind, row: Row) -> str:
    if kind is VectorKind.PATTERN:
        wanted = criteria(row["tag_criteria"]), criteria(row["text_criteria"])
        return pattern_text(row["name"], row["description"], *wanted)
    return embedding_text(row["title"], row["description"], json.loads(row["tags"]))


def _similar(row: Row, similarity: float) -> SimilarEpisode:
    return SimilarEpisode(
        episode_id=row["id"],
        task_id=row["task_id"],
        chosen_instance=row["chosen_instance"],
        outcome_instance=row["outcome_instance"],
        confirmed=bool(row["confirmed"]),
        required_rework=bool(row["required_rework"]),
        similarity=similarity,
        vector=vector_of(row["embedding"]),
        expired_leases=row["expired_leases"],
    )
