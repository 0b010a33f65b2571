"""Instances in PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hopper.adapters.postgres.bounds import INSIDE
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
from hopper.domain.ids import InstanceId
from hopper.domain.instance import Instance, InstanceStatus, InstanceType, Scope
from hopper.ports.repositories import Candidate, Page

_COLUMNS = "id, name, scope, instance_type, status, parent_id, config, version, created_at"

_CAPACITY = """CASE WHEN jsonb_typeof(config->'capacity') = 'number'
    THEN least(greatest(trunc((config->>'capacity')::numeric), 0), 1000000000)::int END"""

_CANDIDATE = f"id, {_CAPACITY} AS capacity, scope, former_scopes"


class PostgresInstances:
    """Implements ports.repositories.InstanceRepository."""

    def __init__(self, connection: Connection, changes: Changes, *, is_bound: bool = False) -> None:
        self._connection = connection
        self._changes = changes
        self._is_bound = is_bound

    async def add(self, instance: Instance) -> None:
        await self._connection.execute(
            f"INSERT INTO hopper_instances ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            instance.id,
            instance.name,
            instance.scope,
            instance.instance_type,
            instance.status,
            instance.parent_id,
            instance.config,
            instance.version,
            instance.created_at,
        )
        self._changes.mark("instance", instance.id)
        await self._mark_patterns(instance.id)

    async def get(self, instance_id: InstanceId) -> Instance:
        row = await self._connection.fetchrow(f"SELECT {_COLUMNS} FROM hopper_instances WHERE id = $1", instance_id)
        return _found(row, instance_id)

    async def get_for_update(self, instance_id: InstanceId) -> Instance:
        row = await self._connection.fetchrow(
            f"SELECT {_COLUMNS} FROM hopper_instances WHERE id = $1 FOR NO KEY UPDATE", instance_id
        )
        return _found(row, instance_id)

    async def update(self, instance: Instance, expected_version: int | None = None) -> Instance:
        version = await self._connection.fetchval(
            """UPDATE hopper_instances SET name = $2, scope = $3, instance_type = $4, status = $5, parent_id = $6,
                   config = $7, version = version + 1,
                   former_scopes = CASE WHEN scope = $3::varchar OR former_scopes ? scope THEN former_scopes
                       ELSE former_scopes || to_jsonb(scope) END
               WHERE id = $1 AND ($8::int IS NULL OR version = $8) RETURNING version""",
            instance.id,
            instance.name,
            instance.scope,
            instance.instance_type,
            instance.status,
            instance.parent_id,
            instance.config,
            expected_version,
        )
        if version is None:
            await raise_not_changed(self._connection, "hopper_instances", "instance", instance.id, expected_version)
        self._changes.mark("instance", instance.id)
        return replace(instance, version=version)

    async def delete(self, instance_id: InstanceId, expected_version: int | None = None) -> None:
        # Locked, so that nobody delegates to it, or in its name, between this look and its end.
        await self._connection.execute("SELECT FROM hopper_instances WHERE id = $1 FOR UPDATE", instance_id)
        delegated = await self._connection.fetch(
            "SELECT task_id FROM task_delegations WHERE target_instance_id = $1 OR source_instance_id = $1", instance_id
        )
        await delete_versioned(self._connection, "hopper_instances", "instance", instance_id, expected_version)
        self._changes.mark("instance", instance_id)
        self._changes.mark("delegation", *(row["task_id"] for row in delegated))
        await self._mark_patterns(instance_id)

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
        rows = await self._connection.fetch(
            f"SELECT {_COLUMNS} FROM hopper_instances WHERE {where} ORDER BY {order} LIMIT {limit + 1:d}",
            *where.parameters,
        )
        return page(rows, limit, _instance, "created_at")

    async def lock_structure(self) -> None:
        await self._connection.execute("SELECT pg_advisory_xact_lock(hashtext('instances.structure'))")

    async def missing(self, instance_ids: Sequence[InstanceId]) -> set[InstanceId]:
        inside = f"id {INSIDE}" if self._is_bound else "true"
        rows = await self._connection.fetch(
            f"SELECT id FROM hopper_instances WHERE id = ANY($1::text[]) AND {inside}", list(instance_ids)
        )
        return set(instance_ids) - {row["id"] for row in rows}

    async def names(self) -> Mapping[InstanceId, str]:
        rows = await self._connection.fetch("SELECT id, name FROM hopper_instances ORDER BY id")
        return {row["id"]: row["name"] for row in rows}

    async def children(self, instance_id: InstanceId) -> tuple[Instance, ...]:
        rows = await self._connection.fetch(
            f"SELECT {_COLUMNS} FROM hopper_instances WHERE parent_id = $1 ORDER BY created_at, id",
            instance_id,
        )
        return tuple(map(_instance, rows))

    async def hierarchy(self, instance_id: InstanceId) -> tuple[Instance, ...]:
        rows = await self._connection.fetch(
            f"""WITH RECURSIVE path AS (
                    SELECT {_COLUMNS}, 0 AS depth FROM hopper_instances WHERE id = $1
                    UNION ALL
                    SELECT i.id, i.name, i.scope, i.instance_type, i.status, i.parent_id, i.config, i.version,
                        i.created_at, path.depth + 1
                    FROM hopper_instances i JOIN path ON i.id = path.parent_id)
                SELECT {_COLUMNS} FROM path ORDER BY depth""",
            instance_id,
        )
        if not rows:
            raise NotFound("instance", instance_id)
        return tuple(map(_instance, rows))

    async def routable_from(self, by: InstanceId | None) -> Mapping[InstanceId, Candidate]:
        if by is None:
            rows = await self._connection.fetch(
                f"SELECT {_CANDIDATE} FROM hopper_instances WHERE status = 'running' ORDER BY id"
            )
        else:
            rows = await self._connection.fetch(
                f"""WITH RECURSIVE below AS (
                       SELECT id FROM hopper_instances WHERE parent_id = $1
                       UNION SELECT i.id FROM hopper_instances i JOIN below ON i.parent_id = below.id)
                   SELECT {_CANDIDATE} FROM hopper_instances JOIN below USING (id)
                   WHERE status = 'running' ORDER BY id""",
                by,
            )
        return {
            row["id"]: Candidate(row["capacity"], frozenset(map(Scope, (row["scope"], *row["former_scopes"]))))
            for row in rows
        }

    async def open_tasks(self, instance_ids: Sequence[InstanceId]) -> Mapping[InstanceId, int]:
        rows = await self._connection.fetch(
            """SELECT wanted.id, (SELECT count(*) FROM tasks WHERE instance_id = wanted.id
                   AND status IN ('pending', 'in_progress')) AS open
               FROM unnest($1::text[]) AS wanted(id)""",
            list(instance_ids),
        )
        return {row["id"]: row["open"] for row in rows}

    async def held_tasks(self, instance_id: InstanceId) -> int:
        held: int = await self._connection.fetchval("SELECT count(*) FROM tasks WHERE instance_id = $1", instance_id)
        return held

    async def _mark_patterns(self, instance_id: InstanceId) -> None:
        """Nothing ties patterns to the instance that they name: they may have outlived one with the same id."""
        rows = await self._connection.fetch("SELECT id FROM routing_patterns WHERE target_instance = $1", instance_id)
        self._changes.mark("pattern", *(row["id"] for row in rows))


def _found(row: Row | None, instance_id: InstanceId) -> Instance:
    if row is None:
        raise NotFound("instance", instance_id)
    return _instance(row)


def _instance(row: Row) -> Instance:
    return Instance(
        id=row["id"],
        name=row["name"],
        scope=Scope(row["scope"]),
        instance_type=InstanceType(row["instance_type"]),
        status=InstanceStatus(row["status"]),
        parent_id=row["parent_id"],
        config=row["config"],
        version=row["version"],
        created_at=row["created_at"],
    )
