"""Routing episodes in the index, and the files that they come from: one a day."""

import json
import sqlite3
from typing import TYPE_CHECKING, Any

from hopper.adapters.markdown.layout import EPISODES, path_of
from hopper.adapters.markdown.schema import mend_first
from hopper.adapters.markdown.sql import Row, Where, by_time, flag, insert, moment, page
from hopper.adapters.markdown.tasks import IN_TRIAGE
from hopper.domain.decision import Alternative, Factor, FactorKind, PastTask, Strategy
from hopper.domain.episode import Episode
from hopper.domain.errors import Conflict, Invalid
from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.task import Priority
from hopper.ports.repositories import KnownOutcome, Page, RecentOutcomes, Statistics

if TYPE_CHECKING:
    from hopper.adapters.markdown.session import Session

_COLUMNS = """id, task_id, chosen_instance, confidence, raw_confidence, strategy, decision_factors, alternatives,
    outcome_success, outcome_instance, outcome_duration, source, source_instance_id, routed_at, completed_at,
    corrected_at, degraded"""

_TASK_IS_THERE = "(task_id IS NULL OR task_id IN (SELECT id FROM tasks))"
"""The episodes of a task whose file is gone stay on the disk, for the case that git brings it back."""

_UNREAD = "SELECT path, line, problem FROM broken WHERE folder = ? ORDER BY path LIMIT 1"
"""A file that may have what isn't found."""

NEWS_AT = "max(coalesce(completed_at, corrected_at), coalesce(corrected_at, completed_at))"
"""When an outcome became known, or was corrected last."""

HAS_NEWS = f"coalesce(completed_at, corrected_at) IS NOT NULL AND {_TASK_IS_THERE}"
"""Whether an outcome was ever known."""

_EXCERPT = 4_000
"""Characters of a description that are learned from: the longest ones would fill the memory."""


def insert_episodes(connection: sqlite3.Connection, path: str, episodes: tuple[Episode, ...]) -> None:
    for one in episodes:
        values = {name: getattr(one, name) for name in _COLUMNS.replace(",", " ").split()}
        insert(connection, "routing_episodes", {"path": path, **values})


def episodes_at(connection: sqlite3.Connection, path: str) -> tuple[Episode, ...]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM routing_episodes WHERE path = ? ORDER BY rowid", [path])
    return tuple(map(_episode, rows))


class MarkdownEpisodes:
    """Implements ports.repositories.EpisodeRepository."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def add(self, episode: Episode) -> None:
        await self._session.lock()
        if episode.task_id and not await self._session.fetchval("SELECT 1 FROM tasks WHERE id = ?", episode.task_id):
            raise Invalid("task_id", f"There is nothing with the id {episode.task_id!r}.")
        path = path_of(EPISODES, f"{episode.routed_at:%Y-%m-%d}")
        try:
            insert_episodes(self._session.connection, path, (episode,))
        except sqlite3.IntegrityError:
            raise Conflict("There is one with this id already.") from None
        self._session.changes.write(path)
        self._session.changes.mark("episode", episode.id)

    async def update(self, episode: Episode) -> None:
        await self._session.lock()
        rows = await self._session.fetch(
            """UPDATE routing_episodes SET outcome_success = ?, outcome_instance = ?, outcome_duration = ?,
                   completed_at = ?, corrected_at = ?
               WHERE id = ? RETURNING path""",
            episode.outcome_success,
            episode.outcome_instance,
            episode.outcome_duration,
            episode.completed_at,
            episode.corrected_at,
            episode.id,
        )
        self._session.changes.write(*(row["path"] for row in rows))

    async def latest(self, task_id: TaskId) -> Episode | None:
        return next(iter(await self.of_task(task_id)), None)

    async def of_task(self, task_id: TaskId) -> tuple[Episode, ...]:
        rows = await self._session.fetch(
            f"""SELECT {_COLUMNS} FROM routing_episodes WHERE task_id = ? AND {_TASK_IS_THERE}
                ORDER BY routed_at DESC, id DESC""",
            task_id,
        )
        if not rows and (unread := await self._session.fetchrow(_UNREAD, EPISODES)):
            raise mend_first(unread)
        return tuple(map(_episode, rows))

    async def recent_outcomes(self, limit: int) -> RecentOutcomes:
        rows = await self._session.fetch(
            f"""SELECT coalesce(task_id, id) AS task, outcome_instance, completed_at FROM routing_episodes
                WHERE outcome_instance IS NOT NULL AND {_TASK_IS_THERE}
                ORDER BY completed_at DESC, id DESC LIMIT ?""",
            limit,
        )
        # A task that was decided about several times still belongs to one instance only.
        latest: dict[str, InstanceId] = {}
        for row in rows:
            latest.setdefault(row["task"], row["outcome_instance"])
        span = (moment(rows[-1]["completed_at"]), moment(rows[0]["completed_at"])) if rows else None
        return RecentOutcomes(tuple(reversed(latest.values())), span)

    async def known_outcomes(
        self, limit: int, cursor: str | None = None, *, decided: bool = False
    ) -> Page[KnownOutcome]:
        where = Where()
        where.add("completed_at IS NOT NULL AND task_id IS NOT NULL")
        where.add("(outcome_instance IS NOT NULL OR NOT outcome_success)")
        if decided:
            where.add("outcome_instance IS NOT NULL AND strategy <> 'manual'")
        order = by_time(where, cursor, "completed_at", newest_first=True)
        rows = await self._session.fetch(
            f"""SELECT e.*, t.title, substr(t.description, 1, {_EXCERPT}) AS description, t.tags, t.priority FROM (
                    SELECT id, task_id, strategy, confidence, chosen_instance, outcome_instance, source_instance_id,
                        completed_at
                    FROM routing_episodes WHERE {where} AND {_TASK_IS_THERE} ORDER BY {order} LIMIT {limit + 1:d}) e
                JOIN tasks t ON t.id = e.task_id ORDER BY e.completed_at DESC, e.id DESC""",
            *where.parameters,
        )
        return page(rows, limit, _known_outcome, "completed_at")

    async def statistics(self) -> Statistics:
        [row] = await self._session.fetch(
            f"""SELECT (SELECT count(*) FROM tasks) AS tasks,
                   (SELECT count(*) FROM tasks WHERE status IN ('pending', 'in_progress')) AS open_tasks,
                   (SELECT count(*) FROM tasks WHERE {IN_TRIAGE}) AS in_triage,
                   (SELECT count(*) FROM hopper_instances) AS instances,
                   (SELECT count(*) FROM task_feedback WHERE task_id IN (SELECT id FROM tasks)) AS feedback,
                   (SELECT count(*) FROM routing_patterns) AS patterns"""
        )
        strategies = await self._session.fetch(
            f"""SELECT strategy, count(*) AS episodes, count(outcome_success) AS known,
                   count(*) FILTER (WHERE outcome_success) AS successes
                FROM routing_episodes WHERE {_TASK_IS_THERE} GROUP BY strategy ORDER BY episodes DESC, strategy"""
        )
        queue = await self._session.fetch(
            "SELECT projection, count(*) AS waiting FROM projection_queue GROUP BY projection"
        )
        by_strategy = {one["strategy"]: one["episodes"] for one in strategies}
        own = [one for one in strategies if one["strategy"] not in (Strategy.MANUAL, Strategy.FEEDBACK)]
        known = sum(one["known"] for one in own)
        successes = sum(one["successes"] for one in own)
        return Statistics(
            **dict(row),
            episodes=sum(by_strategy.values()),
            abstained=by_strategy.get(Strategy.ABSTAIN, 0),
            known_outcomes=known,
            successes=successes,
            accuracy=successes / known if known else None,
            by_strategy=by_strategy,
            queue={one["projection"]: one["waiting"] for one in queue},
        )


def _known_outcome(row: Row) -> KnownOutcome:
    return KnownOutcome(
        episode_id=row["id"],
        task_id=row["task_id"],
        title=row["title"],
        description=row["description"] or "",
        tags=json.loads(row["tags"]),
        priority=Priority(row["priority"]) if row["priority"] else None,
        strategy=Strategy(row["strategy"]),
        confidence=row["confidence"],
        chosen_instance=row["chosen_instance"],
        outcome_instance=row["outcome_instance"],
        decided_by=row["source_instance_id"],
        completed_at=moment(row["completed_at"]),
    )


def _episode(row: Row) -> Episode:
    return Episode(
        id=row["id"],
        task_id=row["task_id"],
        chosen_instance=row["chosen_instance"],
        confidence=row["confidence"],
        raw_confidence=row["raw_confidence"],
        strategy=Strategy(row["strategy"]),
        decision_factors=tuple(_factor(factor) for factor in json.loads(row["decision_factors"])),
        alternatives=tuple(Alternative(**alternative) for alternative in json.loads(row["alternatives"])),
        outcome_success=flag(row["outcome_success"]),
        outcome_instance=row["outcome_instance"],
        outcome_duration=row["outcome_duration"],
        source=row["source"],
        source_instance_id=row["source_instance_id"],
        routed_at=moment(row["routed_at"]),
        completed_at=moment(row["completed_at"]),
        corrected_at=moment(row["corrected_at"]),
        degraded=bool(row["degraded"]),
    )


def _factor(stored: dict[str, Any]) -> Factor:
    return Factor(
        kind=FactorKind(stored["kind"]),
        instance_id=stored["instance_id"],
        contribution=stored["contribution"],
        text=stored["text"],
        pattern_ids=tuple(stored["pattern_ids"]),
        task_ids=tuple(stored["task_ids"]),
        past_tasks=tuple(PastTask(**past) for past in stored["past_tasks"]),
    )
