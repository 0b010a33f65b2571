"""Feedback in PostgreSQL."""

from hopper.adapters.postgres.sql import Changes, Connection
from hopper.domain.errors import NotFound
from hopper.domain.feedback import Feedback
from hopper.domain.ids import TaskId
from hopper.sync.payload import FeedbackStats


class PostgresFeedback:
    """Implements ports.repositories.FeedbackRepository."""

    def __init__(self, connection: Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    async def get(self, task_id: TaskId) -> Feedback:
        feedback = await self.find(task_id)
        if feedback is None:
            raise NotFound("feedback for the task", task_id)
        return feedback

    async def find(self, task_id: TaskId) -> Feedback | None:
        row = await self._connection.fetchrow(
            """SELECT task_id, was_good_match, routing_feedback, should_have_routed_to, quality_score,
                   complexity_rating, required_rework, source, source_instance_id, created_at
               FROM task_feedback WHERE task_id = $1""",
            task_id,
        )
        return Feedback(**dict(row)) if row else None

    async def put(self, feedback: Feedback) -> None:
        await self._connection.execute(
            """INSERT INTO task_feedback (task_id, was_good_match, routing_feedback, should_have_routed_to,
                   quality_score, complexity_rating, required_rework, source, source_instance_id, created_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
               ON CONFLICT (task_id) DO UPDATE SET was_good_match = excluded.was_good_match,
                   routing_feedback = excluded.routing_feedback,
                   should_have_routed_to = excluded.should_have_routed_to,
                   quality_score = excluded.quality_score, complexity_rating = excluded.complexity_rating,
                   required_rework = excluded.required_rework, source = excluded.source,
                   source_instance_id = excluded.source_instance_id, created_at = excluded.created_at""",
            feedback.task_id,
            feedback.was_good_match,
            feedback.routing_feedback,
            feedback.should_have_routed_to,
            feedback.quality_score,
            feedback.complexity_rating,
            feedback.required_rework,
            feedback.source,
            feedback.source_instance_id,
            feedback.created_at,
        )
        self._changes.mark("task", feedback.task_id)

    async def stats(self) -> FeedbackStats:
        row = await self._connection.fetchrow(
            """SELECT count(*) AS total_feedback, count(*) FILTER (WHERE was_good_match) AS good_matches,
                   count(*) FILTER (WHERE NOT was_good_match) AS bad_matches,
                   round(avg(quality_score)::numeric, 3)::float8 AS avg_quality_score,
                   round(avg(complexity_rating), 3)::float8 AS avg_complexity
               FROM task_feedback"""
        )
        return FeedbackStats(**dict(row))
