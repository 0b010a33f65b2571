"""Routing patterns in PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hopper.adapters.postgres.bounds import inside
from hopper.adapters.postgres.sql import (
    HAS_ID_PART,
    Changes,
    Connection,
    Row,
    Where,
    by_time,
    delete_versioned,
    page,
    raise_not_changed,
)
from hopper.domain.errors import NotFound
from hopper.domain.ids import InstanceId, PatternId
from hopper.domain.instance import Scope
from hopper.domain.pattern import Criteria, Pattern, PatternSource, PatternType
from hopper.domain.task import Priority
from hopper.ports.repositories import Page

_COLUMNS = """id, name, description, pattern_type, target_instance, tag_criteria, text_criteria, priority_criteria,
    confidence, usage_count, success_count, failure_count, is_active, source, source_instance_id,
    learned_key, switched_by_person, target_scope, target_name, version, created_at,
    last_used_at, last_refined_at"""


_DECIDES = "is_active AND source <> 'northbound'"
"""A pattern that came from others names no instance, and is no more than a hint (`app/northbound.py`)."""

_SHOWN = "(source <> 'northbound' OR source_count >= {})"
"""What few sources share says what these work on: nobody here is to read it before it is shared by enough."""

Known = dict[PatternId, tuple[int, Pattern]]
"""Patterns that a process has read, each with the transaction that wrote it so (its xmin)."""


class PostgresPatterns:
    """Implements ports.repositories.PatternRepository.

    Every decision needs all active patterns, and making hundreds of them from their rows takes longer than all the
    rest. So those that `known` has are only asked whether they have changed: whatever writes a row gives it a new xmin.
    """

    def __init__(
        self, connection: Connection, changes: Changes, known: Known, min_sources: int, *, is_bound: bool = False
    ) -> None:
        self._connection = connection
        self._changes = changes
        self._known = known
        self._min_sources = min_sources
        self._shown = f"{_SHOWN.format('$2')} AND {inside('target_instance', is_bound)}"

    async def add(self, pattern: Pattern) -> None:
        await self._connection.execute(
            f"""INSERT INTO routing_patterns ({_COLUMNS})
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
                    $20, $21, $22, $23)""",
            *_values(pattern),
            pattern.version,
            pattern.created_at,
            pattern.last_used_at,
            pattern.last_refined_at,
        )
        self._changes.mark("pattern", pattern.id)

    async def get(self, pattern_id: PatternId) -> Pattern:
        row = await self._connection.fetchrow(
            f"SELECT {_COLUMNS} FROM routing_patterns WHERE id = $1 AND {self._shown}",
            pattern_id,
            self._min_sources,
        )
        return _found(row, pattern_id)

    async def get_for_update(self, pattern_id: PatternId) -> Pattern:
        row = await self._connection.fetchrow(
            f"SELECT {_COLUMNS} FROM routing_patterns WHERE id = $1 AND {self._shown} FOR NO KEY UPDATE",
            pattern_id,
            self._min_sources,
        )
        return _found(row, pattern_id)

    async def get_many(self, pattern_ids: Sequence[PatternId]) -> tuple[Pattern, ...]:
        rows = await self._connection.fetch(
            f"""SELECT {_COLUMNS} FROM routing_patterns WHERE id = ANY($1::text[]) AND {_SHOWN.format("$2")}
                ORDER BY id""",
            list(pattern_ids),
            self._min_sources,
        )
        return tuple(map(pattern_of, rows))

    async def get_many_for_update(self, pattern_ids: Sequence[PatternId]) -> tuple[Pattern, ...]:
        if not pattern_ids:
            return ()
        rows = await self._connection.fetch(
            f"SELECT {_COLUMNS} FROM routing_patterns WHERE id = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE",
            list(pattern_ids),
        )
        return tuple(map(pattern_of, rows))

    async def update(self, pattern: Pattern, expected_version: int | None = None) -> Pattern:
        version = await self._connection.fetchval(
            """UPDATE routing_patterns SET name = $2, description = $3, pattern_type = $4, target_instance = $5,
                   tag_criteria = $6, text_criteria = $7, priority_criteria = $8, confidence = $9, usage_count = $10,
                   success_count = $11, failure_count = $12, is_active = $13, source = $14, source_instance_id = $15,
                   learned_key = $16, switched_by_person = $17, target_scope = $18, target_name = $19,
                   last_used_at = $20, last_refined_at = $21, version = version + 1
               WHERE id = $1 AND ($22::int IS NULL OR version = $22) RETURNING version""",
            *_values(pattern),
            pattern.last_used_at,
            pattern.last_refined_at,
            expected_version,
        )
        if version is None:
            await raise_not_changed(self._connection, "routing_patterns", "pattern", pattern.id, expected_version)
        self._changes.mark("pattern", pattern.id)
        return replace(pattern, version=version)

    async def delete(self, pattern_id: PatternId, expected_version: int | None = None) -> None:
        # Locked, so that no other is derived from it between this look and its end.
        await self._connection.execute("SELECT FROM routing_patterns WHERE id = $1 FOR UPDATE", pattern_id)
        refined = await self._connection.fetch(
            "SELECT pattern_id FROM pattern_derivations WHERE derived_from_id = $1", pattern_id
        )
        await delete_versioned(self._connection, "routing_patterns", "pattern", pattern_id, expected_version)
        self._changes.mark("pattern", pattern_id, *(row["pattern_id"] for row in refined))

    async def list(
        self,
        limit: int,
        cursor: str | None = None,
        *,
        target_instance: InstanceId | None = None,
        is_active: bool | None = None,
        source: str | None = None,
        id_part: str | None = None,
    ) -> Page[Pattern]:
        where = Where()
        where.add(_SHOWN, self._min_sources)
        where.add("target_instance = {}", target_instance)
        where.add("is_active = {}", is_active)
        where.add("source = {}", source)
        where.add(HAS_ID_PART, id_part)
        order = by_time(where, cursor, "created_at", newest_first=False)
        rows = await self._connection.fetch(
            f"SELECT {_COLUMNS} FROM routing_patterns WHERE {where} ORDER BY {order} LIMIT {limit + 1:d}",
            *where.parameters,
        )
        return page(rows, limit, pattern_of, "created_at")

    async def active(self) -> tuple[Pattern, ...]:
        if any(entity_type == "pattern" for entity_type, _ in self._changes.touched):
            rows = await self._connection.fetch(f"SELECT {_COLUMNS} FROM routing_patterns WHERE {_DECIDES} ORDER BY id")
            return tuple(map(pattern_of, rows))  # what isn't committed yet is nobody else's business
        there = dict(await self._connection.fetch(f"SELECT id, xmin FROM routing_patterns WHERE {_DECIDES}"))
        found = {id: known for id, xmin in there.items() if (known := self._known.get(id)) and known[0] == xmin}
        new = there.keys() - found.keys()
        if new:
            rows = await self._connection.fetch(
                f"SELECT xmin, {_COLUMNS} FROM routing_patterns WHERE id = ANY($1::text[]) AND is_active", list(new)
            )
            found |= {row["id"]: (row["xmin"], pattern_of(row)) for row in rows}
        if new or len(self._known) != len(found):
            self._known.clear()
            self._known.update(found)
        return tuple(found[id][1] for id in sorted(found))

    async def for_learning(self, *, for_update: bool = False) -> tuple[Pattern, ...]:
        rows = await self._connection.fetch(
            f"""SELECT {_COLUMNS} FROM routing_patterns
                WHERE source <> 'northbound' AND
                    (source = 'learned' OR learned_key IS NOT NULL OR (source = 'manual' AND is_active))
                ORDER BY id {"FOR NO KEY UPDATE" if for_update else ""}"""
        )
        return tuple(map(pattern_of, rows))

    async def derivations(self) -> Mapping[PatternId, tuple[PatternId, ...]]:
        rows = await self._connection.fetch(
            """SELECT pattern_id, array_agg(derived_from_id::text ORDER BY derived_from_id COLLATE "C") AS derived_from
               FROM pattern_derivations GROUP BY pattern_id"""
        )
        return {row["pattern_id"]: tuple(row["derived_from"]) for row in rows}

    async def derive(self, pattern_id: PatternId, derived_from: Sequence[PatternId]) -> None:
        await self._connection.execute(
            """WITH gone AS (
                   DELETE FROM pattern_derivations WHERE pattern_id = $1 AND derived_from_id <> ALL($2::text[]))
               INSERT INTO pattern_derivations (pattern_id, derived_from_id) SELECT $1, unnest($2::text[])
               ON CONFLICT DO NOTHING""",
            pattern_id,
            list(derived_from),
        )
        self._changes.mark("pattern", pattern_id)

    async def reject(self, learned_key: str) -> None:
        await self._connection.execute(
            "INSERT INTO rejected_rules (learned_key) VALUES ($1) ON CONFLICT DO NOTHING", learned_key
        )

    async def rejected(self) -> frozenset[str]:
        return frozenset(row["learned_key"] for row in await self._connection.fetch("TABLE rejected_rules"))

    async def deactivate_for(self, instance_id: InstanceId) -> None:
        rows = await self._connection.fetch(
            """UPDATE routing_patterns SET is_active = false, version = version + 1
               WHERE target_instance = $1 AND is_active RETURNING id""",
            instance_id,
        )
        self._changes.mark("pattern", *(row["id"] for row in rows))


def _found(row: Row | None, pattern_id: PatternId) -> Pattern:
    if row is None:
        raise NotFound("pattern", pattern_id)
    return pattern_of(row)


def _values(pattern: Pattern) -> tuple[object, ...]:
    return (
        pattern.id,
        pattern.name,
        pattern.description,
        pattern.pattern_type,
        pattern.target_instance,
        pattern.tag_criteria,
        pattern.text_criteria,
        pattern.priority_criteria,
        pattern.confidence,
        pattern.usage_count,
        pattern.success_count,
        pattern.failure_count,
        pattern.is_active,
        pattern.source,
        pattern.source_instance_id,
        pattern.learned_key,
        pattern.switched_by_person,
        pattern.target_scope,
        pattern.target_name,
    )


def pattern_of(row: Row) -> Pattern:
    return Pattern(
        id=row["id"],
        name=row["name"],
        description=row["description"],
        pattern_type=PatternType(row["pattern_type"]),
        target_instance=row["target_instance"],
        target_scope=Scope(row["target_scope"]) if row["target_scope"] else None,
        target_name=row["target_name"],
        tag_criteria=criteria(row["tag_criteria"]),
        text_criteria=criteria(row["text_criteria"]),
        priority_criteria=Priority(row["priority_criteria"]) if row["priority_criteria"] else None,
        confidence=row["confidence"],
        usage_count=row["usage_count"],
        success_count=row["success_count"],
        failure_count=row["failure_count"],
        is_active=row["is_active"],
        source=PatternSource(row["source"]),
        source_instance_id=row["source_instance_id"],
        learned_key=row["learned_key"],
        switched_by_person=row["switched_by_person"],
        version=row["version"],
        created_at=row["created_at"],
        last_used_at=row["last_used_at"],
        last_refined_at=row["last_refined_at"],
    )


def criteria(stored: dict[str, Any] | None) -> Criteria | None:
    if stored is None:
        return None
    return Criteria(any=tuple(stored["any"]), all=tuple(stored["all"]), none=tuple(stored["none"]))
