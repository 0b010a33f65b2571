"""Embedding models in PostgreSQL: the record of them, and their vectors as a whole."""

from collections.abc import Mapping, Sequence

from hopper.adapters.postgres.sql import Connection, Row
from hopper.adapters.postgres.vectors import KNOWN, NAMES, text_of
from hopper.domain.errors import Conflict
from hopper.ports.models import Audited, EmbeddingModel, Lacking, Roles, Waiting
from hopper.ports.vectors import VectorKind

_REFUSED_AFTER = 3
"""Attempts after which a text counts as one that its provider won't take."""

_COLUMNS = "model, provider, dimension, base_url"

_AUDITS = {
    VectorKind.TASK: """SELECT t.id, t.title, t.description, t.tags, v.content_hash,
            vector_dims(v.embedding) AS dimension, false AS is_outdated
        FROM tasks t LEFT JOIN task_embeddings v ON v.task_id = t.id AND v.model = $1
        WHERE t.id > $2 ORDER BY t.id LIMIT $3""",
    VectorKind.EPISODE: f"""SELECT e.id, t.title, t.description, t.tags, v.content_hash,
            vector_dims(v.embedding) AS dimension, coalesce(v.is_known <> {KNOWN}, false) AS is_outdated
        FROM routing_episodes e JOIN tasks t ON t.id = e.task_id
        LEFT JOIN episode_embeddings v ON v.episode_id = e.id AND v.model = $1
        WHERE e.id > $2 ORDER BY e.id LIMIT $3""",
    VectorKind.PATTERN: """SELECT p.id, p.name, p.description, p.tag_criteria, p.text_criteria, v.content_hash,
            vector_dims(v.embedding) AS dimension, false AS is_outdated
        FROM routing_patterns p LEFT JOIN pattern_embeddings v ON v.pattern_id = p.id AND v.model = $1
        WHERE p.id > $2 AND p.source <> 'northbound' ORDER BY p.id LIMIT $3""",
}

_LACKING = """WITH known AS ({known})
    SELECT (SELECT count(*) FROM known) AS known, (SELECT count(*) FROM {table} WHERE model = $2) AS stored,
        count(*) FILTER (WHERE NOT refused) AS missing, count(*) FILTER (WHERE refused) AS refused
    FROM (SELECT EXISTS (
              SELECT FROM projection_queue q WHERE q.projection = 'embedding' AND q.entity_type = $3
                  AND q.entity_id = known.id AND q.attempts >= $4 AND q.last_error IS NOT NULL) AS refused
          FROM known WHERE NOT EXISTS (
              SELECT FROM {table} new WHERE new.{owner_id} = known.id AND new.model = $2)) AS lacking"""

_OF_OLD_MODEL = "SELECT {owner_id} AS id FROM {table} WHERE model = $1"
_SINCE = "(SELECT wanted_at FROM embedding_models WHERE model = $2) AND $1::text IS NULL"
_OF_TRUTH = {
    VectorKind.TASK: f"SELECT id FROM tasks WHERE created_at < {_SINCE}",
    VectorKind.EPISODE: f"SELECT id FROM routing_episodes WHERE task_id IS NOT NULL AND routed_at < {_SINCE}",
    VectorKind.PATTERN: f"SELECT id FROM routing_patterns WHERE source <> 'northbound' AND created_at < {_SINCE}",
}
"""What came since has its turn as ever, and is waited for no more than at other times."""

_ORPHANS = """SELECT v.{owner_id} AS id FROM {table} v WHERE v.model = $1
    AND NOT EXISTS (SELECT FROM {owner} WHERE {owner}.id = v.{owner_id}) ORDER BY 1 LIMIT $2"""

_DROP = """DELETE FROM {table} WHERE model = $1 AND {owner_id} = ANY(ARRAY(
    SELECT {owner_id} FROM {table} WHERE model = $1 LIMIT $2))"""


class PostgresModels:
    """Implements ports.models.ModelRepository.

    The searched model is the one that search moved to last, the wanted one the one that a server asked for last.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def want(self, model: EmbeddingModel | None) -> None:
        await self._connection.execute("SELECT pg_advisory_xact_lock(hashtext('embedding_models'))")
        if model is None:
            await self._connection.execute("UPDATE embedding_models SET wanted_at = NULL, searched_at = NULL")
            return
        await self._require_dimension(model)
        await self._connection.execute(
            """INSERT INTO embedding_models (model, provider, dimension, base_url) VALUES ($1, $2, $3, $4)
               ON CONFLICT (model) DO UPDATE SET provider = $2, dimension = $3, base_url = $4""",
            model.model,
            model.provider,
            model.dimension,
            model.base_url,
        )
        await self._connection.execute(
            """UPDATE embedding_models SET wanted_at = clock_timestamp(), searched_at = CASE
                   WHEN NOT EXISTS (SELECT FROM embedding_models WHERE searched_at IS NOT NULL)
                       AND NOT EXISTS (SELECT FROM tasks) AND NOT EXISTS (SELECT FROM routing_patterns)
                   THEN clock_timestamp() ELSE searched_at END
               WHERE model = $1 AND wanted_at IS DISTINCT FROM (SELECT max(wanted_at) FROM embedding_models)
                   OR model = $1 AND wanted_at IS NULL""",
            model.model,
        )

    async def roles(self) -> Roles:
        rows = await self._connection.fetch(
            f"""(SELECT 'searched' AS role, {_COLUMNS} FROM embedding_models
                WHERE searched_at IS NOT NULL ORDER BY searched_at DESC LIMIT 1)
               UNION ALL
               (SELECT 'wanted', {_COLUMNS} FROM embedding_models
                WHERE wanted_at IS NOT NULL ORDER BY wanted_at DESC LIMIT 1)"""
        )
        models = {role: EmbeddingModel(*columns) for role, *columns in rows}
        return Roles(models.get("searched"), models.get("wanted"))

    async def all(self) -> tuple[EmbeddingModel, ...]:
        rows = await self._connection.fetch(f"SELECT {_COLUMNS} FROM embedding_models ORDER BY model")
        return tuple(EmbeddingModel(*row) for row in rows)

    async def search(self, model: str) -> None:
        await self._connection.execute(
            """UPDATE embedding_models SET searched_at = clock_timestamp()
               WHERE model = $1 AND wanted_at = (SELECT max(wanted_at) FROM embedding_models)""",
            model,
        )

    async def drop(self, model: str, limit: int) -> int:
        for names in NAMES.values():
            status: str = await self._connection.execute(_DROP.format(**names), model, limit)
            if removed := int(status.rpartition(" ")[2]):
                return removed
        await self._connection.execute("DELETE FROM embedding_models WHERE model = $1", model)
        return 0

    async def lacking(self, kind: VectorKind, old: str | None, new: str) -> Lacking:
        known = _OF_OLD_MODEL.format(**NAMES[kind]) if old else _OF_TRUTH[kind]
        statement = _LACKING.format(known=known, **NAMES[kind])
        row = await self._connection.fetchrow(statement, old, new, kind, _REFUSED_AFTER)
        return Lacking(**row)

    async def audit(self, kind: VectorKind, model: str, after: str, limit: int) -> Sequence[Audited]:
        rows = await self._connection.fetch(_AUDITS[kind], model, after, limit)
        return [
            Audited(row["id"], text_of(kind, row), row["content_hash"], row["dimension"], row["is_outdated"])
            for row in rows
        ]

    async def orphans(self, kind: VectorKind, model: str, limit: int) -> Sequence[str]:
        rows = await self._connection.fetch(_ORPHANS.format(**NAMES[kind]), model, limit)
        return [row["id"] for row in rows]

    async def remove(self, kind: VectorKind, model: str, ids: Sequence[str]) -> None:
        names = NAMES[kind]
        await self._connection.execute(
            f"DELETE FROM {names['table']} WHERE model = $1 AND {names['owner_id']} = ANY($2::text[])", model, list(ids)
        )

    async def follow_outcomes(self, model: str, episode_ids: Sequence[str]) -> None:
        # An outcome that just becomes known is waited for.
        await self._connection.execute(
            f"""UPDATE episode_embeddings v SET is_known = e.known FROM (
                    SELECT id, {KNOWN} AS known FROM routing_episodes WHERE id = ANY($2::text[]) ORDER BY id FOR SHARE
                ) AS e
                WHERE v.episode_id = e.id AND v.model = $1 AND v.is_known <> e.known""",
            model,
            list(episode_ids),
        )

    async def stored(self) -> Mapping[tuple[str, VectorKind], int]:
        counted = " UNION ALL ".join(
            f"SELECT model, '{kind}' AS kind, count(*) AS stored FROM {names['table']} GROUP BY model"
            for kind, names in NAMES.items()
        )
        rows = await self._connection.fetch(counted)
        return {(row["model"], VectorKind(row["kind"])): row["stored"] for row in rows}

    async def entities(self) -> Mapping[VectorKind, int]:
        row: Row = await self._connection.fetchrow(
            """SELECT (SELECT count(*) FROM tasks) AS task,
                   (SELECT count(*) FROM routing_episodes WHERE task_id IS NOT NULL) AS episode,
                   (SELECT count(*) FROM routing_patterns WHERE source <> 'northbound') AS pattern"""
        )
        return {kind: row[kind.value] for kind in VectorKind}

    async def waiting(self) -> Mapping[VectorKind, Waiting]:
        rows = await self._connection.fetch(
            """SELECT entity_type, count(*) AS waiting, count(last_error) AS failing,
                   (array_agg(last_error ORDER BY not_before DESC) FILTER (WHERE last_error IS NOT NULL))[1]
                       AS last_error
               FROM projection_queue WHERE projection = 'embedding' GROUP BY entity_type"""
        )
        found = {row["entity_type"]: Waiting(row["waiting"], row["failing"], row["last_error"]) for row in rows}
        return {kind: found.get(kind.value, Waiting(0, 0, None)) for kind in VectorKind}

    async def _require_dimension(self, model: EmbeddingModel) -> None:
        recorded = await self._connection.fetchval(
            "SELECT dimension FROM embedding_models WHERE model = $1", model.model
        )
        if recorded is None or recorded == model.dimension:
            return
        if any(owner == model.model for owner, _ in await self.stored()):
            raise Conflict(
                f"The model {model.model!r} has vectors of {recorded} dimensions, and is set to {model.dimension} now. "
                "Set it back, or set another model and run `hopper embeddings drop` for this one first."
            )
