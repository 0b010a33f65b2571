"""Routing episodes in PostgreSQL."""

from typing import Any

from hopper.adapters.postgres.sql import Changes, Connection, Row, Where, by_time, page
from hopper.adapters.postgres.tasks import HANDED_TO_NOBODY, IN_TRIAGE
from hopper.domain.decision import Alternative, Factor, FactorKind, PastTask, Strategy
from hopper.domain.episode import Episode
from hopper.domain.ids import InstanceId, TaskId
from hopper.domain.task import Priority
from hopper.ports.repositories import KnownOutcome, Page, RecentOutcomes, Statistics

_COLUMNS = """id, task_id, chosen_instance, confidence, raw_confidence, strategy, decision_factors, alternatives,
    outcome_success, outcome_instance, outcome_duration, source, source_instance_id, routed_at, completed_at,
    corrected_at, degraded"""

SCOPE_OF = "(SELECT scope FROM hopper_instances WHERE id = coalesce({outcome}, {chosen}))"
"""The partition of an episode: the scope of whose outcome it is or, until one is known, of whom it chose.

Only theirs is evidence of it ever (`routing.neighbours`), so a decision reads the partitions of its candidates' scopes.
"""

NEWS_AT = "greatest(completed_at, corrected_at)"
"""When an outcome became known, or was corrected last."""

HAS_NEWS = "(completed_at IS NOT NULL OR corrected_at IS NOT NULL)"
"""Whether an outcome was ever known: the condition of the index over NEWS_AT."""

_EXCERPT = 4_000
"""Characters of a description that are learned from: the longest ones would fill the memory."""


class PostgresEpisodes:
    """Implements ports.repositories.EpisodeRepository."""

    def __init__(self, connection: Connection, changes: Changes, *, is_bound: bool = False) -> None:
        self._connection = connection
        self._changes = changes
        self._is_bound = is_bound

    async def add(self, episode: Episode) -> None:
        await self._connection.execute(
            f"""INSERT INTO routing_episodes ({_COLUMNS}, scope)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
                    coalesce({SCOPE_OF.format(outcome="$10::varchar", chosen="$3::varchar")}, 'NONE'))""",
            episode.id,
            episode.task_id,
            episode.chosen_instance,
            episode.confidence,
            episode.raw_confidence,
            episode.strategy,
            episode.decision_factors,
            episode.alternatives,
            episode.outcome_success,
            episode.outcome_instance,
            episode.outcome_duration,
            episode.source,
            episode.source_instance_id,
            episode.routed_at,
            episode.completed_at,
            episode.corrected_at,
            episode.degraded,
        )
        self._changes.mark("episode", episode.id)

    async def update(self, episode: Episode) -> None:
        await self._connection.execute(
            f"""UPDATE routing_episodes SET outcome_success = $2, outcome_instance = $3, outcome_duration = $4,
                    completed_at = $5, corrected_at = $6,
                    scope = coalesce({SCOPE_OF.format(outcome="$3::varchar", chosen="chosen_instance")}, scope)
                WHERE id = $1""",
            episode.id,
            episode.outcome_success,
            episode.outcome_instance,
            episode.outcome_duration,
            episode.completed_at,
            episode.corrected_at,
        )
        # A statement of its own: it sees a vector that was stored while the first one waited.
        await self._connection.execute(
            "UPDATE episode_embeddings SET is_known = $2 WHERE episode_id = $1 AND is_known <> $2",
            episode.id,
            episode.outcome_instance is not None or episode.outcome_success is not None,
        )

    async def latest(self, task_id: TaskId) -> Episode | None:
        row = await self._connection.fetchrow(
            f"SELECT {_COLUMNS} FROM routing_episodes WHERE task_id = $1 ORDER BY routed_at DESC, id DESC LIMIT 1",
            task_id,
        )
        return _episode(row) if row else None

    async def of_task(self, task_id: TaskId) -> tuple[Episode, ...]:
        rows = await self._connection.fetch(
            f"SELECT {_COLUMNS} FROM routing_episodes WHERE task_id = $1 ORDER BY routed_at DESC, id DESC",
            task_id,
        )
        return tuple(map(_episode, rows))

    async def recent_outcomes(self, limit: int) -> RecentOutcomes:
        rows = await self._connection.fetch(
            """SELECT coalesce(task_id, id) AS task, outcome_instance, completed_at FROM routing_episodes
               WHERE outcome_instance IS NOT NULL ORDER BY completed_at DESC, id DESC LIMIT $1""",
            limit,
        )
        # A task that was decided about several times still belongs to one instance only.
        latest: dict[str, InstanceId] = {}
        for row in rows:
            latest.setdefault(row["task"], row["outcome_instance"])
        span = (rows[-1]["completed_at"], rows[0]["completed_at"]) if rows else None
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
        rows = await self._connection.fetch(
            f"""SELECT e.*, t.title, left(t.description, {_EXCERPT}) AS description, t.tags, t.priority FROM (
                    SELECT id, task_id, strategy, confidence, chosen_instance, outcome_instance, source_instance_id,
                        completed_at
                    FROM routing_episodes WHERE {where} ORDER BY {order} LIMIT {limit + 1:d}) e
                JOIN tasks t ON t.id = e.task_id ORDER BY e.completed_at DESC, e.id DESC""",
            *where.parameters,
        )
        return page(rows, limit, _known_outcome, "completed_at")

    async def statistics(self) -> Statistics:
        row = await self._connection.fetchrow(
            """SELECT (SELECT count(*) FROM tasks) AS tasks,
                   (SELECT count(*) FROM tasks WHERE status IN ('pending', 'in_progress')) AS open_tasks,
                   (SELECT count(*) FROM hopper_instances) AS instances,
                   (SELECT count(*) FROM task_feedback) AS feedback,
                   (SELECT count(*) FROM routing_patterns) AS patterns"""
        )
        waiting = HANDED_TO_NOBODY if self._is_bound else IN_TRIAGE
        in_triage = await self._connection.fetchval(f"SELECT count(*) FROM tasks WHERE {waiting}")
        strategies = await self._connection.fetch(
            """SELECT strategy, count(*) AS episodes, count(outcome_success) AS known,
                   count(*) FILTER (WHERE outcome_success) AS successes
               FROM routing_episodes WHERE source IS DISTINCT FROM 'northbound'
               GROUP BY strategy ORDER BY episodes DESC, strategy"""
        )
        queue = await self._connection.fetch(
            "SELECT projection, count(*) AS waiting FROM projection_queue GROUP BY projection"
        )
        by_strategy = {r["strategy"]: r["episodes"] for r in strategies}
        own = [r for r in strategies if r["strategy"] not in (Strategy.MANUAL, Strategy.FEEDBACK)]
        known = sum(r["known"] for r in own)
        successes = sum(r["successes"] for r in own)
        return Statistics(
            tasks=row["tasks"],
            open_tasks=row["open_tasks"],
            in_triage=in_triage,
            instances=row["instances"],
            episodes=sum(by_strategy.values()),
            abstained=by_strategy.get(Strategy.ABSTAIN, 0),
            known_outcomes=known,
            successes=successes,
            accuracy=successes / known if known else None,
            feedback=row["feedback"],
            patterns=row["patterns"],
            by_strategy=by_strategy,
            queue={r["projection"]: r["waiting"] for r in queue},
        )


def _known_outcome(row: Row) -> KnownOutcome:
    return KnownOutcome(
        episode_id=row["id"],
        task_id=row["task_id"],
        title=row["title"],
        description=row["description"] or "",
        tags=row["tags"],
        priority=Priority(row["priority"]) if row["priority"] else None,
        strategy=Strategy(row["strategy"]),
        confidence=row["confidence"],
        chosen_instance=row["chosen_instance"],
        outcome_instance=row["outcome_instance"],
        decided_by=row["source_instance_id"],
        completed_at=row["completed_at"],
    )


def _episode(row: Row) -> Episode:
    return Episode(
        id=row["id"],
        task_id=row["task_id"],
        chosen_instance=row["chosen_instance"],
        confidence=row["confidence"],
        raw_confidence=row["raw_confidence"],
        strategy=Strategy(row["strategy"]),
        decision_factors=tuple(_factor(factor) for factor in row["decision_factors"] or ()),
        alternatives=tuple(Alternative(**alternative) for alternative in row["alternatives"] or ()),
        outcome_success=row["outcome_success"],
        outcome_instance=row["outcome_instance"],
        outcome_duration=row["outcome_duration"],
        source=row["source"],
        source_instance_id=row["source_instance_id"],
        routed_at=row["routed_at"],
        completed_at=row["completed_at"],
        corrected_at=row["corrected_at"],
        degraded=row["degraded"],
    )


def _factor(stored: dict[str, Any]) -> Factor:
    return Factor(
        kind=FactorKind(stored["kind"]),
        instance_id=stored["instance_id"],
        contribution=stored["contribution"],
        text=stored["text"],
        pattern_ids=tuple(stored["pattern_ids"]),
        task_ids=tuple(stored["task_ids"]),
        past_tasks=tuple(PastTask(**past) for past in stored.get("past_tasks", ())),  # earlier releases stored none
    )
