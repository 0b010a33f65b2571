"""The learned text model in PostgreSQL, and the known outcomes that it is made from."""

from collections.abc import AsyncIterator, Sequence

from hopper.adapters.postgres.episodes import HAS_NEWS, NEWS_AT
from hopper.adapters.postgres.sql import Connection
from hopper.domain.training import READ_LENGTH, TrainingExample, Verdict
from hopper.ports.text_models import Learned, Mark

_PAGE = 500

_TELLS = f"{HAS_NEWS} AND (outcome_instance IS NOT NULL OR corrected_at IS NOT NULL)"
"""Episodes that say, or no longer say, where a task belonged."""


class PostgresTextModels:
    """Implements ports.text_models.TextModelRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def learned(self) -> Learned | None:
        row = await self._connection.fetchrow(
            "SELECT version, outcomes, through, through_episode, awaited FROM text_models"
        )
        if row is None:
            return None
        return Learned(row["version"], row["outcomes"], Mark(row["through"], row["through_episode"]), row["awaited"])

    async def content(self) -> bytes | None:
        stored: bytes | None = await self._connection.fetchval("SELECT content FROM text_models")
        return stored

    async def put(self, content: bytes, outcomes: int, through: Mark, awaited: int = 0) -> Learned:
        version = await self._connection.fetchval(
            """INSERT INTO text_models (id, content, outcomes, through, through_episode, awaited)
               VALUES (1, $1, $2, $3, $4, $5)
               ON CONFLICT (id) DO UPDATE SET content = excluded.content, outcomes = excluded.outcomes,
                   through = excluded.through, through_episode = excluded.through_episode,
                   awaited = excluded.awaited, created_at = now(), version = text_models.version + 1
               RETURNING version""",
            content,
            outcomes,
            through.moment,
            through.episode_id,
            awaited,
        )
        return Learned(version, outcomes, through, awaited)

    async def last_outcome(self) -> Mark | None:
        row = await self._connection.fetchrow(
            f"""SELECT {NEWS_AT} AS moment, id FROM routing_episodes WHERE {_TELLS}
                ORDER BY {NEWS_AT} DESC, id DESC LIMIT 1"""
        )
        return Mark(row["moment"], row["id"]) if row else None

    async def newer(self, than: Mark | None, limit: int) -> int:
        after = (than.moment, than.episode_id) if than else (None, None)
        # The moment alone as well, and in order: else the planner, which can't tell that few rows are beyond it, may
        # choose to look through all of them.
        found: int = await self._connection.fetchval(
            f"""SELECT count(*) FROM (
                    SELECT FROM routing_episodes WHERE {_TELLS} AND {NEWS_AT} >= coalesce($1::timestamptz, '-infinity')
                        AND ({NEWS_AT}, id) > (coalesce($1::timestamptz, '-infinity'), coalesce($2::text, ''))
                    ORDER BY {NEWS_AT} DESC, id DESC LIMIT $3) AS newer""",
            *after,
            limit,
        )
        return found

    async def awaited(self, through: Mark, embedding_model: str) -> int:
        found: int = await self._connection.fetchval(
            """SELECT count(*) FROM projection_queue q JOIN routing_episodes e ON e.id = q.entity_id
               WHERE q.projection = 'embedding' AND q.entity_type = 'episode' AND e.outcome_instance IS NOT NULL
                   AND (e.completed_at, e.id) <= ($1, $2) AND NOT EXISTS (
                       SELECT FROM episode_embeddings v WHERE v.episode_id = e.id AND v.model = $3)""",
            through.moment,
            through.episode_id,
            embedding_model,
        )
        return found

    async def examples(self, through: Mark, limit: int, embedding_model: str) -> AsyncIterator[TrainingExample]:
        # Each task has one voice: its latest outcome.
        rows = self._connection.cursor(
            """WITH known AS (
                   SELECT DISTINCT ON (task_id) task_id, id, outcome_instance, completed_at FROM routing_episodes
                   WHERE outcome_instance IS NOT NULL AND task_id IS NOT NULL AND (completed_at, id) <= ($1, $2)
                   ORDER BY task_id, completed_at DESC, id DESC
               ), kept AS (
                   SELECT known.*, row_number() OVER (PARTITION BY outcome_instance
                                                      ORDER BY completed_at DESC, known.id DESC) AS nth
                   FROM known JOIN hopper_instances i ON i.id = outcome_instance
                   ORDER BY nth, known.id LIMIT $3
               )
               SELECT t.title, left(t.description, $4) AS description, t.tags, k.outcome_instance, v.embedding
               FROM kept k JOIN tasks t ON t.id = k.task_id
               LEFT JOIN episode_embeddings v ON v.episode_id = k.id AND v.model = $5
               ORDER BY k.completed_at, k.id""",
            through.moment,
            through.episode_id,
            limit,
            READ_LENGTH,
            embedding_model,
            prefetch=_PAGE,
        )
        async for row in rows:
            yield TrainingExample(
                title=row["title"],
                description=row["description"],
                tags=row["tags"],
                instance=row["outcome_instance"],
                vector=row["embedding"].to_numpy() if row["embedding"] is not None else None,
            )

    async def verdicts(self, through: Mark, limit: int) -> Sequence[Verdict]:
        rows = await self._connection.fetch(
            """SELECT raw_confidence,
                   coalesce(chosen_instance, alternatives -> 0 ->> 'instance_id') = outcome_instance AS was_right
               FROM routing_episodes
               WHERE (outcome_instance IS NOT NULL OR NOT outcome_success) AND raw_confidence IS NOT NULL
                   AND completed_at IS NOT NULL AND (completed_at, id) <= ($1, $2)
               ORDER BY completed_at DESC, id DESC LIMIT $3""",
            through.moment,
            through.episode_id,
            limit,
        )
        return [Verdict(row["raw_confidence"], bool(row["was_right"])) for row in reversed(rows)]
