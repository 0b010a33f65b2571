"""What came from other Hoppers, in PostgreSQL. A push is a few statements, however much it holds."""

from collections.abc import Mapping, Sequence

from hopper.adapters.postgres.patterns import pattern_of
from hopper.adapters.postgres.sql import Changes, Connection, Row
from hopper.domain.access import Role, Secret
from hopper.domain.errors import NotFound
from hopper.domain.ids import InstanceId, new_id
from hopper.domain.instance import Scope
from hopper.domain.pattern import TargetLabel
from hopper.sync.merge import Contributed, Contribution
from hopper.sync.pack import SharedPattern
from hopper.sync.payload import EpisodeSummary, FeedbackStats
from hopper.sync.sources import SourceRecord, SyncSource
from hopper.sync.targets import plain

_SOURCE = """s.source_instance_id, s.name, s.contribution_cap, s.is_muted, s.sequence, s.created_at, s.last_synced_at,
    NOT EXISTS (SELECT FROM api_keys k WHERE k.source_instance_id = s.source_instance_id AND k.revoked_at IS NULL)
        AS is_revoked"""

_CONTRIBUTION = ("usage_count", "success_count", "failure_count", "confidence", "sequence")

_FEEDBACK = "total_feedback, good_matches, bad_matches, avg_quality_score, avg_complexity"


class PostgresSync:
    """Implements ports.northbound.SyncRepository."""

    def __init__(self, connection: Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    async def take_turn(self) -> None:
        await self._connection.execute("SELECT FROM global_statistics WHERE id = 1 FOR UPDATE")

    async def add(self, source: SyncSource) -> None:
        await self._connection.execute(
            """INSERT INTO sync_sources (source_instance_id, name, contribution_cap, is_muted, sequence, created_at)
               VALUES ($1, $2, $3, $4, $5, $6)""",
            source.source_instance_id,
            source.name,
            source.contribution_cap,
            source.is_muted,
            source.sequence,
            source.created_at,
        )

    async def find(self, source_instance_id: InstanceId) -> SyncSource | None:
        row = await self._connection.fetchrow(
            f"SELECT {_SOURCE} FROM sync_sources s WHERE s.source_instance_id = $1", source_instance_id
        )
        return SyncSource(**row) if row else None

    async def update(self, source: SyncSource) -> None:
        await self._connection.execute(
            """UPDATE sync_sources SET name = $2, contribution_cap = $3, is_muted = $4, sequence = $5,
                   last_synced_at = $6
               WHERE source_instance_id = $1""",
            source.source_instance_id,
            source.name,
            source.contribution_cap,
            source.is_muted,
            source.sequence,
            source.last_synced_at,
        )

    async def forget(self, source_instance_id: InstanceId) -> None:
        gone = await self._connection.execute(
            "DELETE FROM sync_sources WHERE source_instance_id = $1", source_instance_id
        )
        if gone == "DELETE 0":
            raise NotFound("source", source_instance_id)
        await self._connection.execute(
            "DELETE FROM routing_episodes WHERE source = 'northbound' AND source_instance_id = $1", source_instance_id
        )

    async def sources(self) -> tuple[SourceRecord, ...]:
        rows = await self._connection.fetch(
            f"""SELECT {_SOURCE},
                   (SELECT count(*) FROM pattern_contributions c
                    WHERE c.source_instance_id = s.source_instance_id) AS patterns,
                   (SELECT count(*) FROM routing_episodes e WHERE e.source = 'northbound'
                    AND e.source_instance_id = s.source_instance_id) AS episodes,
                   coalesce((SELECT f.total_feedback FROM source_feedback_stats f
                    WHERE f.source_instance_id = s.source_instance_id), 0) AS total_feedback
               FROM sync_sources s ORDER BY s.created_at, s.source_instance_id"""
        )
        return tuple(SourceRecord(**row) for row in rows)

    async def put_key(self, source_instance_id: InstanceId, name: str, key: Secret) -> None:
        await self._connection.execute("DELETE FROM api_keys WHERE source_instance_id = $1", source_instance_id)
        await self._connection.execute(
            "INSERT INTO api_keys (id, name, key_hash, role, source_instance_id) VALUES ($1, $2, $3, $4, $5)",
            key.id,
            name,
            key.key_hash,
            Role.SYNC,
            source_instance_id,
        )

    async def revoke_keys(self, source_instance_id: InstanceId) -> None:
        await self._connection.execute(
            "UPDATE api_keys SET revoked_at = now() WHERE source_instance_id = $1 AND revoked_at IS NULL",
            source_instance_id,
        )

    async def key(self, key_id: str) -> tuple[Secret, SyncSource] | None:
        row = await self._connection.fetchrow(
            f"""SELECT a.id AS key_id, a.key_hash, {_SOURCE}
                FROM api_keys a JOIN sync_sources s USING (source_instance_id) WHERE a.id = $1""",
            key_id,
        )
        if row is None:
            return None
        id, key_hash, *source = row.items()
        return Secret(id[1], key_hash[1]), SyncSource(**dict(source))

    async def contributions(self, source_instance_id: InstanceId, keys: Sequence[str]) -> Mapping[str, Contribution]:
        rows = await self._connection.fetch(
            """SELECT p.learned_key, c.usage_count, c.success_count, c.failure_count, c.confidence, c.sequence
               FROM routing_patterns p JOIN pattern_contributions c ON c.pattern_id = p.id
               WHERE c.source_instance_id = $1 AND p.learned_key = ANY($2::text[])""",
            source_instance_id,
            list(keys),
        )
        return {row["learned_key"]: Contribution(**{name: row[name] for name in _CONTRIBUTION}) for row in rows}

    async def contribute(self, source_instance_id: InstanceId, given: Sequence[Contributed]) -> None:
        patterns = [one.pattern for one in given]
        made = await self._connection.fetch(
            """INSERT INTO routing_patterns (id, learned_key, name, pattern_type, tag_criteria, text_criteria,
                   priority_criteria, target_scope, target_name, source)
               SELECT *, 'northbound' FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[],
                   $6::jsonb[], $7::text[], $8::text[], $9::text[])
               ON CONFLICT (learned_key) DO NOTHING RETURNING id""",
            [new_id() for _ in patterns],
            [pattern.key for pattern in patterns],
            [pattern.name for pattern in patterns],
            [pattern.pattern_type for pattern in patterns],
            [pattern.tag_criteria for pattern in patterns],
            [pattern.text_criteria for pattern in patterns],
            [pattern.priority_criteria for pattern in patterns],
            [pattern.target_scope for pattern in patterns],
            [pattern.target_name for pattern in patterns],
        )
        self._changes.mark("pattern", *(row["id"] for row in made))
        said = [one.contribution for one in given]
        await self._connection.execute(
            """INSERT INTO pattern_contributions (pattern_id, source_instance_id, usage_count, success_count,
                   failure_count, confidence, sequence)
               SELECT p.id, $1, t.usage_count, t.success_count, t.failure_count, t.confidence, t.sequence
               FROM unnest($2::text[], $3::int[], $4::int[], $5::int[], $6::float8[], $7::bigint[])
                   AS t (learned_key, usage_count, success_count, failure_count, confidence, sequence)
               JOIN routing_patterns p USING (learned_key)
               ON CONFLICT (pattern_id, source_instance_id) DO UPDATE SET usage_count = excluded.usage_count,
                   success_count = excluded.success_count, failure_count = excluded.failure_count,
                   confidence = excluded.confidence, sequence = excluded.sequence, updated_at = now()""",
            source_instance_id,
            [pattern.key for pattern in patterns],
            [one.usage_count for one in said],
            [one.success_count for one in said],
            [one.failure_count for one in said],
            [one.confidence for one in said],
            [one.sequence for one in said],
        )

    async def keys_of(self, source_instance_id: InstanceId) -> tuple[str, ...]:
        rows = await self._connection.fetch(
            """SELECT p.learned_key FROM pattern_contributions c JOIN routing_patterns p ON p.id = c.pattern_id
               WHERE c.source_instance_id = $1""",
            source_instance_id,
        )
        return tuple(row["learned_key"] for row in rows)

    async def total(self, keys: Sequence[str]) -> None:
        changed = await self._connection.fetch(
            """WITH said AS (
                   SELECT c.pattern_id, c.usage_count::bigint, c.success_count::bigint, c.failure_count::bigint,
                       (4 * c.confidence + c.success_count) / (4 + c.success_count::bigint + c.failure_count) AS proven,
                       s.contribution_cap AS cap,
                       greatest(s.contribution_cap, c.usage_count, c.success_count::bigint + c.failure_count) AS cases
                   FROM pattern_contributions c JOIN sync_sources s USING (source_instance_id)
                   WHERE NOT s.is_muted AND s.contribution_cap > 0
                       AND greatest(c.usage_count, c.success_count, c.failure_count) > 0
               ), total AS (
                   SELECT p.id, count(said.pattern_id) AS source_count,
                       coalesce(sum(said.usage_count * cap / cases), 0)::int AS usage_count,
                       coalesce(sum(said.success_count * cap / cases), 0)::int AS success_count,
                       coalesce(sum(said.failure_count * cap / cases), 0)::int AS failure_count,
                       coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY said.proven), 0.5) AS confidence
                   FROM routing_patterns p LEFT JOIN said ON said.pattern_id = p.id
                   WHERE p.source = 'northbound' AND p.learned_key = ANY($1::text[]) GROUP BY p.id
               )
               UPDATE routing_patterns p SET usage_count = total.usage_count, success_count = total.success_count,
                   failure_count = total.failure_count, confidence = total.confidence,
                   source_count = total.source_count, version = version + 1, last_refined_at = now()
               FROM total WHERE p.id = total.id
                   AND (p.usage_count, p.success_count, p.failure_count, p.confidence, p.source_count)
                       IS DISTINCT FROM (total.usage_count, total.success_count, total.failure_count,
                           total.confidence, total.source_count)
               RETURNING p.id""",
            list(keys),
        )
        gone = await self._connection.fetch(
            """DELETE FROM routing_patterns p WHERE p.source = 'northbound' AND p.learned_key = ANY($1::text[])
                   AND NOT EXISTS (SELECT FROM pattern_contributions c WHERE c.pattern_id = p.id)
               RETURNING id""",
            list(keys),
        )
        self._changes.mark("pattern", *(row["id"] for row in (*changed, *gone)))

    async def summarise(self, source_instance_id: InstanceId, episodes: Mapping[str, EpisodeSummary]) -> int:
        missing = await self._connection.fetch(
            """SELECT key FROM unnest($1::text[]) AS key
               WHERE NOT EXISTS (SELECT FROM routing_episodes WHERE summary_key = key)""",
            list(episodes),
        )
        new = {row["key"]: episodes[row["key"]] for row in missing}
        if new:
            await self._connection.execute(
                """INSERT INTO routing_episodes (id, summary_key, tags, chosen_instance_scope, confidence,
                       outcome_success, strategy, scope, source, source_instance_id)
                   SELECT *, coalesce(said_scope, 'NONE'), 'northbound', $8
                   FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::text[], $5::float8[], $6::bool[], $7::text[])
                       AS new(id, summary_key, tags, said_scope, confidence, outcome_success, strategy)
                   ON CONFLICT DO NOTHING""",
                [new_id() for _ in new],
                list(new),
                [episode.tags for episode in new.values()],
                [episode.chosen_instance_scope for episode in new.values()],
                [episode.confidence for episode in new.values()],
                [episode.outcome_success for episode in new.values()],
                [episode.strategy for episode in new.values()],
                source_instance_id,
            )
        return len(new)

    async def feedback(self, source_instance_id: InstanceId) -> tuple[int, FeedbackStats] | None:
        row = await self._connection.fetchrow(
            f"SELECT sequence, {_FEEDBACK} FROM source_feedback_stats WHERE source_instance_id = $1",
            source_instance_id,
        )
        return (row["sequence"], _stats(row)) if row else None

    async def put_feedback(self, source_instance_id: InstanceId, sequence: int, stats: FeedbackStats) -> None:
        await self._connection.execute(
            f"""INSERT INTO source_feedback_stats (source_instance_id, sequence, {_FEEDBACK})
                VALUES ($1, $2, $3, $4, $5, $6, $7)
                ON CONFLICT (source_instance_id) DO UPDATE SET sequence = excluded.sequence,
                    total_feedback = excluded.total_feedback, good_matches = excluded.good_matches,
                    bad_matches = excluded.bad_matches, avg_quality_score = excluded.avg_quality_score,
                    avg_complexity = excluded.avg_complexity, updated_at = now()""",
            source_instance_id,
            sequence,
            stats.total_feedback,
            stats.good_matches,
            stats.bad_matches,
            stats.avg_quality_score,
            stats.avg_complexity,
        )

    async def total_feedback(self) -> None:
        # Exact numbers: the order in which floats are added would show.
        await self._connection.execute(
            f"""WITH told AS (
                   SELECT f.*, s.contribution_cap AS cap, greatest(1, s.contribution_cap, f.total_feedback) AS most,
                       least(s.contribution_cap, f.total_feedback)::numeric AS weight
                   FROM source_feedback_stats f JOIN sync_sources s USING (source_instance_id) WHERE NOT s.is_muted
               )
               UPDATE global_statistics SET updated_at = now(), ({_FEEDBACK}) = (
                   SELECT coalesce(sum(weight), 0), coalesce(sum(good_matches::bigint * cap / most), 0),
                       coalesce(sum(bad_matches::bigint * cap / most), 0),
                       round(sum(avg_quality_score::numeric * weight)
                           / nullif(sum(weight) FILTER (WHERE avg_quality_score IS NOT NULL), 0), 6),
                       round(sum(avg_complexity::numeric * weight)
                           / nullif(sum(weight) FILTER (WHERE avg_complexity IS NOT NULL), 0), 6)
                   FROM told)
               WHERE id = 1"""
        )

    async def log(self, source_instance_id: InstanceId, items: Mapping[str, int]) -> None:
        await self._connection.executemany(
            "INSERT INTO sync_log (id, source_instance_id, sync_type, items_synced) VALUES ($1, $2, $3, $4)",
            [(new_id(), source_instance_id, sync_type, count) for sync_type, count in items.items()],
        )

    async def identity(self) -> InstanceId:
        identity: InstanceId = await self._connection.fetchval("SELECT identity FROM global_statistics WHERE id = 1")
        return identity

    async def labels(self) -> Mapping[InstanceId, TargetLabel]:
        rows = await self._connection.fetch("SELECT id, scope, name FROM hopper_instances")
        return {row["id"]: TargetLabel(Scope(row["scope"]), plain(row["name"])) for row in rows}

    async def shared(self, min_sources: int, limit: int) -> tuple[SharedPattern, ...]:
        rows = await self._connection.fetch(
            """SELECT * FROM routing_patterns WHERE source = 'northbound' AND is_active AND source_count >= $1
               ORDER BY source_count DESC, usage_count DESC, learned_key LIMIT $2""",
            min_sources,
            limit,
        )
        return tuple(SharedPattern(pattern_of(row), row["source_count"]) for row in rows)

    async def global_feedback(self, min_sources: int) -> FeedbackStats | None:
        row = await self._connection.fetchrow(
            f"""SELECT {_FEEDBACK} FROM global_statistics WHERE $1 <= (
                    SELECT count(*) FROM source_feedback_stats JOIN sync_sources s USING (source_instance_id)
                    WHERE NOT s.is_muted AND s.contribution_cap > 0 AND total_feedback > 0)""",
            min_sources,
        )
        return _stats(row) if row else None


def _stats(row: Row) -> FeedbackStats:
    return FeedbackStats(
        total_feedback=row["total_feedback"],
        good_matches=row["good_matches"],
        bad_matches=row["bad_matches"],
        avg_quality_score=row["avg_quality_score"],
        avg_complexity=row["avg_complexity"],
    )
