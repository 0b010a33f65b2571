"""The learned text model in the index, and the known outcomes that it is made from. It can be learned again."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from hopper.adapters.markdown.episodes import HAS_NEWS, NEWS_AT
from hopper.adapters.markdown.sql import moment
from hopper.adapters.markdown.vectors import vector_of
from hopper.domain.training import READ_LENGTH, TrainingExample, Verdict
from hopper.ports.text_models import Learned, Mark

if TYPE_CHECKING:
    from hopper.adapters.markdown.session import Session

_TELLS = f"{HAS_NEWS} AND (outcome_instance IS NOT NULL OR corrected_at IS NOT NULL)"
"""Episodes that say, or no longer say, where a task belonged."""


class MarkdownTextModels:
    """Implements ports.text_models.TextModelRepository."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def learned(self) -> Learned | None:
        row = await self._session.fetchrow(
            "SELECT version, outcomes, through, through_episode, awaited FROM text_models"
        )
        if row is None:
            return None
        mark = Mark(moment(row["through"]), row["through_episode"])
        return Learned(row["version"], row["outcomes"], mark, row["awaited"])

    async def content(self) -> bytes | None:
        stored: bytes | None = await self._session.fetchval("SELECT content FROM text_models")
        return stored

    async def put(self, content: bytes, outcomes: int, through: Mark, awaited: int = 0) -> Learned:
        await self._session.lock()
        version = await self._session.fetchval(
            """INSERT INTO text_models (id, version, content, outcomes, through, through_episode, awaited)
               VALUES (1, 1, ?, ?, ?, ?, ?)
               ON CONFLICT (id) DO UPDATE SET content = excluded.content, outcomes = excluded.outcomes,
                   through = excluded.through, through_episode = excluded.through_episode,
                   awaited = excluded.awaited, version = version + 1
               RETURNING version""",
            content,
            outcomes,
            through.moment,
            through.episode_id,
            awaited,
        )
        return Learned(version, outcomes, through, awaited)

    async def last_outcome(self) -> Mark | None:
        row = await self._session.fetchrow(
            f"""SELECT {NEWS_AT} AS moment, id FROM routing_episodes WHERE {_TELLS}
                ORDER BY {NEWS_AT} DESC, id DESC LIMIT 1"""
        )
        return Mark(moment(row["moment"]), row["id"]) if row else None

    async def newer(self, than: Mark | None, limit: int) -> int:
        found: int = await self._session.fetchval(
            f"""SELECT count(*) FROM (SELECT 1 FROM routing_episodes
                WHERE {_TELLS} AND ({NEWS_AT}, id) > (coalesce(?, ''), coalesce(?, '')) LIMIT ?)""",
            than.moment if than else None,
            than.episode_id if than else None,
            limit,
        )
        return found

    async def awaited(self, through: Mark, embedding_model: str) -> int:
        found: int = await self._session.fetchval(
            """SELECT count(*) FROM projection_queue q JOIN routing_episodes e ON e.id = q.entity_id
               WHERE q.projection = 'embedding' AND q.entity_type = 'episode' AND e.outcome_instance IS NOT NULL
                   AND (e.completed_at, e.id) <= (?, ?) AND NOT EXISTS (
                       SELECT 1 FROM embeddings v WHERE v.kind = 'episode' AND v.id = e.id AND v.model = ?)""",
            through.moment,
            through.episode_id,
            embedding_model,
        )
        return found

    async def examples(self, through: Mark, limit: int, embedding_model: str) -> AsyncIterator[TrainingExample]:
        # Each task has one voice: its latest outcome.
        rows = await self._session.fetch(
            """WITH voices AS (
                   SELECT task_id, id, outcome_instance, completed_at,
                       row_number() OVER (PARTITION BY task_id ORDER BY completed_at DESC, id DESC) AS voice
                   FROM routing_episodes
                   WHERE outcome_instance IS NOT NULL AND task_id IN (SELECT id FROM tasks)
                       AND (completed_at, id) <= (?1, ?2)
               ), kept AS (
                   SELECT voices.*, row_number() OVER (PARTITION BY outcome_instance
                                                       ORDER BY completed_at DESC, voices.id DESC) AS nth
                   FROM voices JOIN hopper_instances i ON i.id = outcome_instance WHERE voice = 1
                   ORDER BY nth, voices.id LIMIT ?3
               )
               SELECT t.title, substr(t.description, 1, ?4) AS description, t.tags, k.outcome_instance, v.embedding
               FROM kept k JOIN tasks t ON t.id = k.task_id
               LEFT JOIN embeddings v ON v.kind = 'episode' AND v.id = k.id AND v.model = ?5
               ORDER BY k.completed_at, k.id""",
            through.moment,
            through.episode_id,
            limit,
            READ_LENGTH,
            embedding_model,
        )
        for row in rows:
            yield TrainingExample(
                title=row["title"],
                description=row["description"],
                tags=json.loads(row["tags"]),
                instance=row["outcome_instance"],
                vector=vector_of(row["embedding"]) if row["embedding"] is not None else None,
            )

    async def verdicts(self, through: Mark, limit: int) -> Sequence[Verdict]:
        rows = await self._session.fetch(
            """SELECT raw_confidence,
                   coalesce(chosen_instance, json_extract(alternatives, '$[0].instance_id')) = outcome_instance
                       AS was_right
               FROM routing_episodes
               WHERE (outcome_instance IS NOT NULL OR NOT outcome_success) AND raw_confidence IS NOT NULL
                   AND completed_at IS NOT NULL AND (completed_at, id) <= (?, ?)
                   AND (task_id IS NULL OR task_id IN (SELECT id FROM tasks))
               ORDER BY completed_at DESC, id DESC LIMIT ?""",
            through.moment,
            through.episode_id,
            limit,
        )
        return [Verdict(row["raw_confidence"], bool(row["was_right"])) for row in reversed(rows)]
