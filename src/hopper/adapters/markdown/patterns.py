"""Routing patterns in the index, and the files that they come from."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hopper.adapters.markdown.layout import LEARNING, PATTERNS
from hopper.adapters.markdown.sql import AMONG, HAS_ID_PART, Row, Where, by_time, insert, moment, page
from hopper.domain.errors import Conflict
from hopper.domain.ids import InstanceId, PatternId
from hopper.domain.pattern import Criteria, Pattern, PatternSource, PatternType
from hopper.domain.task import Priority
from hopper.ports.repositories import Page

if TYPE_CHECKING:
    from hopper.adapters.markdown.session import Session

_CHANGING = """name, description, pattern_type, target_instance, tag_criteria, text_criteria, priority_criteria,
    confidence, usage_count, success_count, failure_count, is_active, source, source_instance_id, learned_key,
    switched_by_person, last_used_at, last_refined_at"""
_COLUMNS = f"id, {_CHANGING}, version, created_at"
_TAKEN = "There is one with this id already, or one that was learned from the same."


def insert_pattern(connection: sqlite3.Connection, path: str, derived: tuple[Pattern, tuple[PatternId, ...]]) -> None:
    pattern, derived_from = derived
    values = {name: getattr(pattern, name) for name in _COLUMNS.replace(",", " ").split()}
    insert(connection, "routing_patterns", {"path": path, **values})
    _derive(connection, pattern.id, derived_from)


def pattern_at(connection: sqlite3.Connection, path: str) -> tuple[Pattern, tuple[PatternId, ...]] | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM routing_patterns WHERE path = ?", [path]).fetchone()
    if row is None:
        return None
    derived = connection.execute(
        "SELECT derived_from_id FROM pattern_derivations WHERE pattern_id = ? ORDER BY 1", [row["id"]]
    )
    return _pattern(row), tuple(one[0] for one in derived)


class MarkdownPatterns:
    """Implements ports.repositories.PatternRepository."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def add(self, pattern: Pattern) -> None:
        await self._session.lock()
        await self._require_own_key(pattern)
        path = await self._session.new_path(PATTERNS, pattern.id)
        try:
            insert_pattern(self._session.connection, path, (pattern, ()))
        except sqlite3.IntegrityError:
            raise Conflict(_TAKEN) from None
        self._session.changes.write(path)
        self._session.changes.mark("pattern", pattern.id)

    async def get(self, pattern_id: PatternId) -> Pattern:
        row = await self._session.fetchrow(f"SELECT {_COLUMNS} FROM routing_patterns WHERE id = ?", pattern_id)
        if row is None:
            raise await self._session.absent("pattern", pattern_id)
        return _pattern(row)

    async def get_for_update(self, pattern_id: PatternId) -> Pattern:
        await self._session.lock()
        return await self.get(pattern_id)

    async def get_many(self, pattern_ids: Sequence[PatternId]) -> tuple[Pattern, ...]:
        rows = await self._session.fetch(
            f"SELECT {_COLUMNS} FROM routing_patterns WHERE id {AMONG.format('?')} ORDER BY id", list(pattern_ids)
        )
        return tuple(map(_pattern, rows))

    async def get_many_for_update(self, pattern_ids: Sequence[PatternId]) -> tuple[Pattern, ...]:
        if not pattern_ids:
            return ()
        await self._session.lock()
        return await self.get_many(pattern_ids)

    async def update(self, pattern: Pattern, expected_version: int | None = None) -> Pattern:
        await self._session.lock()
        before = await self._session.fetchrow("SELECT path, version FROM routing_patterns WHERE id = ?", pattern.id)
        if before is None or expected_version not in (None, before["version"]):
            await self._session.raise_not_changed("routing_patterns", pattern.id, expected_version)
        assert before is not None
        await self._require_own_key(pattern)
        names = _CHANGING.replace(",", " ").split()
        await self._session.execute(
            f"UPDATE routing_patterns SET {', '.join(f'{name} = ?' for name in names)}, version = ? WHERE id = ?",
            *(getattr(pattern, name) for name in names),
            before["version"] + 1,
            pattern.id,
        )
        self._session.changes.write(before["path"])
        self._session.changes.mark("pattern", pattern.id)
        return replace(pattern, version=before["version"] + 1)

    async def delete(self, pattern_id: PatternId, expected_version: int | None = None) -> None:
        await self._session.lock()
        path = await self._session.fetchval("SELECT path FROM routing_patterns WHERE id = ?", pattern_id)
        await self._session.delete_versioned("routing_patterns", pattern_id, expected_version)
        refined = await self._session.fetch(
            """SELECT id, path FROM routing_patterns
               WHERE id IN (SELECT pattern_id FROM pattern_derivations WHERE derived_from_id = ?)""",
            pattern_id,
        )
        await self._session.execute(
            "DELETE FROM pattern_derivations WHERE ? IN (pattern_id, derived_from_id)", pattern_id
        )
        self._session.changes.write(path, *(row["path"] for row in refined))
        self._session.changes.mark("pattern", pattern_id, *(row["id"] for row in refined))

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
        where.add("target_instance = {}", target_instance)
        where.add("is_active = {}", is_active)
        where.add("source = {}", source)
        where.add(HAS_ID_PART, id_part)
        order = by_time(where, cursor, "created_at", newest_first=False)
        rows = await self._session.fetch(
            f"SELECT {_COLUMNS} FROM routing_patterns WHERE {where} ORDER BY {order} LIMIT {limit + 1:d}",
            *where.parameters,
        )
        return page(rows, limit, _pattern, "created_at")

    async def active(self) -> tuple[Pattern, ...]:
        rows = await self._session.fetch(f"SELECT {_COLUMNS} FROM routing_patterns WHERE is_active ORDER BY id")
        return tuple(map(_pattern, rows))

    async def for_learning(self, *, for_update: bool = False) -> tuple[Pattern, ...]:
        if for_update:
            await self._session.lock()
        rows = await self._session.fetch(
            f"""SELECT {_COLUMNS} FROM routing_patterns
                WHERE source = 'learned' OR learned_key IS NOT NULL OR (source = 'manual' AND is_active) ORDER BY id"""
        )
        return tuple(map(_pattern, rows))

    async def derivations(self) -> Mapping[PatternId, tuple[PatternId, ...]]:
        rows = await self._session.fetch(
            """SELECT pattern_id, json_group_array(derived_from_id) AS derived_from FROM pattern_derivations
               WHERE pattern_id IN (SELECT id FROM routing_patterns)
                   AND derived_from_id IN (SELECT id FROM routing_patterns) GROUP BY pattern_id"""
        )
        return {row["pattern_id"]: tuple(sorted(json.loads(row["derived_from"]))) for row in rows}

    async def derive(self, pattern_id: PatternId, derived_from: Sequence[PatternId]) -> None:
        await self._session.execute("DELETE FROM pattern_derivations WHERE pattern_id = ?", pattern_id)
        _derive(self._session.connection, pattern_id, derived_from)
        await self._written(pattern_id)

    async def reject(self, learned_key: str) -> None:
        await self._session.execute("INSERT OR IGNORE INTO rejected_rules VALUES (?, ?)", learned_key, LEARNING)
        self._session.changes.write(LEARNING)

    async def rejected(self) -> frozenset[str]:
        return frozenset(row[0] for row in await self._session.fetch("SELECT learned_key FROM rejected_rules"))

    async def deactivate_for(self, instance_id: InstanceId) -> None:
        await self._session.lock()
        rows = await self._session.fetch(
            """UPDATE routing_patterns SET is_active = 0, version = version + 1
               WHERE target_instance = ? AND is_active RETURNING id, path""",
            instance_id,
        )
        self._session.changes.write(*(row["path"] for row in rows))
        self._session.changes.mark("pattern", *(row["id"] for row in rows))

    async def _written(self, pattern_id: PatternId) -> None:
        path = await self._session.fetchval("SELECT path FROM routing_patterns WHERE id = ?", pattern_id)
        self._session.changes.write(*([path] if path else []))
        self._session.changes.mark("pattern", pattern_id)

    async def _require_own_key(self, pattern: Pattern) -> None:
        """Raise Conflict when another pattern was learned from the same. Merged files may hold two."""
        if pattern.learned_key and await self._session.fetchval(
            "SELECT 1 FROM routing_patterns WHERE learned_key = ? AND id <> ?", pattern.learned_key, pattern.id
        ):
            raise Conflict(_TAKEN)


def insert_rejected(connection: sqlite3.Connection, path: str, rejected: tuple[str, ...]) -> None:
    connection.executemany("INSERT OR IGNORE INTO rejected_rules VALUES (?, ?)", [(key, path) for key in rejected])


def rejected_at(connection: sqlite3.Connection, path: str) -> tuple[str, ...]:
    rows = connection.execute("SELECT learned_key FROM rejected_rules WHERE path = ? ORDER BY 1", [path])
    return tuple(row[0] for row in rows)


def _derive(connection: sqlite3.Connection, pattern_id: PatternId, derived_from: Sequence[PatternId]) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO pattern_derivations VALUES (?, ?)", [(pattern_id, one) for one in derived_from]
    )


def _pattern(row: Row) -> Pattern:
    return Pattern(
        id=row["id"],
        name=row["name"],
        description=row["description"],
        pattern_type=PatternType(row["pattern_type"]),
        target_instance=row["target_instance"],
        tag_criteria=criteria(row["tag_criteria"]),
        text_criteria=criteria(row["text_criteria"]),
        priority_criteria=Priority(row["priority_criteria"]) if row["priority_criteria"] else None,
        confidence=row["confidence"],
        usage_count=row["usage_count"],
        success_count=row["success_count"],
        failure_count=row["failure_count"],
        is_active=bool(row["is_active"]),
        source=PatternSource(row["source"]),
        source_instance_id=row["source_instance_id"],
        learned_key=row["learned_key"],
        switched_by_person=bool(row["switched_by_person"]),
        version=row["version"],
        created_at=moment(row["created_at"]),
        last_used_at=moment(row["last_used_at"]),
        last_refined_at=moment(row["last_refined_at"]),
    )


def criteria(stored: str | None) -> Criteria | None:
    if stored is None:
        return None
    return Criteria(**{name: tuple(terms) for name, terms in json.loads(stored).items()})
