"""Instances in the index, and the files that they come from."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hopper.adapters.markdown.layout import CONFIG, INSTANCES
from hopper.adapters.markdown.sql import AMONG, HAS_ID_PART, Row, Where, by_time, insert, moment, page
from hopper.domain.errors import Conflict, Invalid
from hopper.domain.ids import InstanceId
from hopper.domain.instance import Instance, InstanceStatus, InstanceType, Scope
from hopper.ports.repositories import Candidate, Page

if TYPE_CHECKING:
    from hopper.adapters.markdown.session import Session

_COLUMNS = "id, name, scope, instance_type, status, parent_id, config, version, created_at"

_CAPACITY = """CASE WHEN json_type(config, '$.capacity') IN ('integer', 'real')
    THEN CAST(min(max(json_extract(config, '$.capacity'), 0), 1000000000) AS INTEGER) END"""


def insert_instance(connection: sqlite3.Connection, path: str, instance: Instance) -> None:
    insert(
        connection,
        "hopper_instances",
        {
            "id": instance.id,
            "path": path,
            "version": instance.version,
            "created_at": instance.created_at,
            **_values(instance),
        },
    )


def instance_at(connection: sqlite3.Connection, path: str) -> Instance | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM hopper_instances WHERE path = ?", [path]).fetchone()
    return _instance(row) if row else None


class MarkdownInstances:
    """Implements ports.repositories.InstanceRepository."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    async def add(self, instance: Instance) -> None:
        await self._session.lock()
        await self._require_parent(instance)
        path = await self._session.new_path(INSTANCES, instance.id)
        try:
            insert_instance(self._session.connection, path, instance)
        except sqlite3.IntegrityError:
            raise Conflict("There is one with this id already.") from None
        self._session.changes.write(path)
        await self._mark(instance.id)

    async def get(self, instance_id: InstanceId) -> Instance:
        row = await self._session.fetchrow(f"SELECT {_COLUMNS} FROM hopper_instances WHERE id = ?", instance_id)
        if row is None:
            raise await self._session.absent("instance", instance_id)
        return _instance(row)

    async def get_for_update(self, instance_id: InstanceId) -> Instance:
        await self._session.lock()
        return await self.get(instance_id)

    async def update(self, instance: Instance, expected_version: int | None = None) -> Instance:
        await self._session.lock()
        before = await self._session.fetchrow(
            "SELECT path, version, parent_id FROM hopper_instances WHERE id = ?", instance.id
        )
        if before is None or expected_version not in (None, before["version"]):
            await self._session.raise_not_changed("hopper_instances", instance.id, expected_version)
        assert before is not None
        if instance.parent_id != before["parent_id"]:
            await self._require_parent(instance)
        values = {**_values(instance), "version": before["version"] + 1}
        await self._session.execute(
            f"UPDATE hopper_instances SET {', '.join(f'{name} = ?' for name in values)} WHERE id = ?",
            *values.values(),
            instance.id,
        )
        self._session.changes.write(before["path"])
        self._session.changes.mark("instance", instance.id)
        return replace(instance, version=before["version"] + 1)

    async def delete(self, instance_id: InstanceId, expected_version: int | None = None) -> None:
        await self._session.lock()
        path = await self._session.fetchval("SELECT path FROM hopper_instances WHERE id = ?", instance_id)
        if path == CONFIG:
            raise Conflict(f"{instance_id!r} is this directory's own instance, which its {CONFIG} names.")
        await self._session.delete_versioned("hopper_instances", instance_id, expected_version)
        for table, column in (("tasks", "instance_id"), ("hopper_instances", "parent_id")):
            if await self._session.fetchval(f"SELECT 1 FROM {table} WHERE {column} = ? LIMIT 1", instance_id):
                raise Conflict(f"It can't be removed while {table} still refer to it.")
        for column in ("source_instance_id", "target_instance_id"):
            changed = await self._session.fetch(
                f"UPDATE task_delegations SET {column} = NULL WHERE {column} = ? RETURNING path, task_id", instance_id
            )
            self._session.changes.write(*(row["path"] for row in changed))
            self._session.changes.mark("delegation", *(row["task_id"] for row in changed))
        ended = await self._session.fetch("DELETE FROM task_leases WHERE instance_id = ? RETURNING path", instance_id)
        self._session.changes.write(path, *(row["path"] for row in ended))
        await self._mark(instance_id)

    async def list(
        self,
        limit: int,
        cursor: str | None = None,
        *,
        scope: Scope | None = None,
        status: InstanceStatus | None = None,
        name: str | None = None,
        id_part: str | None = None,
    ) -> Page[Instance]:
        where = Where()
        where.add("scope = {}", scope)
        where.add("status = {}", status)
        where.add("name = {}", name)
        where.add(HAS_ID_PART, id_part)
        order = by_time(where, cursor, "created_at", newest_first=False)
        rows = await self._session.fetch(
            f"SELECT {_COLUMNS} FROM hopper_instances WHERE {where} ORDER BY {order} LIMIT {limit + 1:d}",
            *where.parameters,
        )
        return page(rows, limit, _instance, "created_at")

    async def lock_structure(self) -> None:
        await self._session.lock()

    async def missing(self, instance_ids: Sequence[InstanceId]) -> set[InstanceId]:
        rows = await self._session.fetch(
            f"SELECT id FROM hopper_instances WHERE id {AMONG.format('?')}", list(instance_ids)
        )
        return set(instance_ids) - {row["id"] for row in rows}

    async def names(self) -> Mapping[InstanceId, str]:
        rows = await self._session.fetch("SELECT id, name FROM hopper_instances ORDER BY id")
        return {row["id"]: row["name"] for row in rows}

    async def children(self, instance_id: InstanceId) -> tuple[Instance, ...]:
        rows = await self._session.fetch(
            f"SELECT {_COLUMNS} FROM hopper_instances WHERE parent_id = ? ORDER BY created_at, id", instance_id
        )
        return tuple(map(_instance, rows))

    async def hierarchy(self, instance_id: InstanceId) -> tuple[Instance, ...]:
        found: dict[InstanceId, Instance] = {}
        instance = await self.get(instance_id)
        while instance.id not in found:  # files may hold a ring
            found[instance.id] = instance
            above = await self._session.fetchrow(
                f"SELECT {_COLUMNS} FROM hopper_instances WHERE id = ?", instance.parent_id
            )
            if above is None:
                break
            instance = _instance(above)
        return tuple(found.values())

    async def routable_from(self, by: InstanceId | None) -> Mapping[InstanceId, Candidate]:
        below = """AND id IN (WITH RECURSIVE below AS (
                SELECT id FROM hopper_instances WHERE parent_id = ?1
                UNION SELECT i.id FROM hopper_instances i JOIN below ON i.parent_id = below.id)
            SELECT id FROM below)"""
        rows = await self._session.fetch(
            f"""SELECT id, {_CAPACITY} AS capacity, scope FROM hopper_instances
                WHERE status = 'running' {below if by else ""} ORDER BY id""",
            *([by] if by else []),
        )
        return {row["id"]: Candidate(row["capacity"], frozenset({Scope(row["scope"])})) for row in rows}

    async def open_tasks(self, instance_ids: Sequence[InstanceId]) -> Mapping[InstanceId, int]:
        rows = await self._session.fetch(
            """SELECT value AS id, (SELECT count(*) FROM tasks WHERE instance_id = value
                   AND status IN ('pending', 'in_progress')) AS open
               FROM json_each(?)""",
            list(instance_ids),
        )
        return {row["id"]: row["open"] for row in rows}

    async def held_tasks(self, instance_id: InstanceId) -> int:
        return int(await self._session.fetchval("SELECT count(*) FROM tasks WHERE instance_id = ?", instance_id))

    async def _require_parent(self, instance: Instance) -> None:
        if instance.parent_id and await self.missing([instance.parent_id]):
            raise Invalid("parent_id", f"There is nothing with the id {instance.parent_id!r}.")

    async def _mark(self, instance_id: InstanceId) -> None:
        """Nothing ties patterns to the instance that they name: they may have outlived one with the same id."""
        rows = await self._session.fetch("SELECT id FROM routing_patterns WHERE target_instance = ?", instance_id)
        self._session.changes.mark("instance", instance_id)
        self._session.changes.mark("pattern", *(row["id"] for row in rows))


def _values(instance: Instance) -> dict[str, Any]:
    return {
        "name": instance.name,
        "scope": instance.scope,
        "instance_type": instance.instance_type,
        "status": instance.status,
        "parent_id": instance.parent_id,
        "config": instance.config,
    }


def _instance(row: Row) -> Instance:
    return Instance(
        id=row["id"],
        name=row["name"],
        scope=Scope(row["scope"]),
        instance_type=InstanceType(row["instance_type"]),
        status=InstanceStatus(row["status"]),
        parent_id=row["parent_id"],
        config=json.loads(row["config"]),
        version=row["version"],
        created_at=moment(row["created_at"]),
    )
