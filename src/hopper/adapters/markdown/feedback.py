"""Feedback in the index, and the files that it comes from."""

import sqlite3
from dataclasses import asdict
from typing import TYPE_CHECKING

from hopper.adapters.markdown.layout import FEEDBACK, path_of
from hopper.adapters.markdown.sql import Row, flag, insert, moment
from hopper.domain.errors import Invalid, NotFound
from hopper.domain.feedback import Feedback
from hopper.domain.ids import TaskId
from hopper.sync.payload import FeedbackStats

if TYPE_CHECKING:
    from hopper.adapters.markdown.session import Session


def insert_feedback(connection: sqlite3.Connection, path: str, feedback: Feedback) -> None:
    insert(connection, "task_feedback", {"path": path, **asdict(feedback)})


def feedback_at(connection: sqlite3.Connection, path: str) -> Feedback | None:
    row = connection.execute("SELECT * FROM task_feedback WHERE path = ?", [path]).fetchone()
    return _feedback(row) if row else None


class MarkdownFeedback:
    """Implements ports.repositories.FeedbackRepository."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def get(self, task_id: TaskId) -> Feedback:
        feedback = await self.find(task_id)
        if feedback is None:
            raise NotFound("feedback for the task", task_id)
        return feedback

    async def find(self, task_id: TaskId) -> Feedback | None:
        row = await self._session.fetchrow(
            "SELECT * FROM task_feedback WHERE task_id = ? AND task_id IN (SELECT id FROM tasks)", task_id
        )
        return _feedback(row) if row else None

    async def put(self, feedback: Feedback) -> None:
        await self._session.lock()
        if not await self._session.fetchval("SELECT 1 FROM tasks WHERE id = ?", feedback.task_id):
            raise Invalid("task_id", f"There is nothing with the id {feedback.task_id!r}.")
        before = await self._session.fetch(
            "DELETE FROM task_feedback WHERE task_id = ? RETURNING path", feedback.task_id
        )
        path = before[0]["path"] if before else path_of(FEEDBACK, feedback.task_id)
        insert_feedback(self._session.connection, path, feedback)
        self._session.changes.write(path)
        self._session.changes.mark("task", feedback.task_id)

    async def stats(self) -> FeedbackStats:
        [row] = await self._session.fetch(
            """SELECT count(*) AS total_feedback, count(*) FILTER (WHERE was_good_match) AS good_matches,
                   count(*) FILTER (WHERE NOT was_good_match) AS bad_matches,
                   round(avg(quality_score), 3) AS avg_quality_score,
                   round(avg(complexity_rating), 3) AS avg_complexity
               FROM task_feedback
               WHERE task_id IN (SELECT id FROM tasks)"""
        )
        return FeedbackStats(**dict(row))


def _feedback(row: Row) -> Feedback:
    return Feedback(
        task_id=row["task_id"],
        was_good_match=flag(row["was_good_match"]),
        routing_feedback=row["routing_feedback"],
        should_have_routed_to=row["should_have_routed_to"],
        quality_score=row["quality_score"],
        complexity_rating=row["complexity_rating"],
        required_rework=flag(row["required_rework"]),
        source=row["source"],
        source_instance_id=row["source_instance_id"],
        created_at=moment(row["created_at"]),
    )
