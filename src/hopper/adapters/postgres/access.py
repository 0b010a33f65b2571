"""Keys, and who did what with them, in PostgreSQL."""

from datetime import datetime

from hopper.adapters.postgres.sql import Changes, Connection, Row, Where, decode_cursor, page
from hopper.domain.access import Asker, AuditEntry, Key, Role, Secret
from hopper.domain.errors import NotFound
from hopper.domain.ids import InstanceId
from hopper.ports.repositories import Page

_COLUMNS = "id, name, role, instance_id, created_at, created_by, expires_at, last_used_at, revoked_at"

_BELOW = """WITH RECURSIVE below AS (
        SELECT id FROM hopper_instances WHERE id = $1
        UNION SELECT i.id FROM hopper_instances i JOIN below ON i.parent_id = below.id)"""


class PostgresKeys:
    """Implements ports.access.KeyRepository."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, key: Key, secret: Secret) -> bool:
        added: bool | None = await self._connection.fetchval(
            """INSERT INTO api_keys (id, name, key_hash, role, instance_id, created_at, created_by, expires_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING RETURNING true""",
            key.id,
            key.name,
            secret.key_hash,
            key.role,
            key.instance_id,
            key.created_at,
            key.created_by,
            key.expires_at,
        )
        return bool(added)

    async def use(self, key_id: str, key_hash: str, now: datetime) -> tuple[Key, Secret] | None:
        row = await self._connection.fetchrow(
            f"""WITH used AS (
                   UPDATE api_keys SET last_used_at = $2::timestamptz
                   WHERE id = $1 AND key_hash = $3 AND revoked_at IS NULL
                       AND (last_used_at IS NULL OR last_used_at < $2::timestamptz - interval '1 min'))
               SELECT {_COLUMNS}, key_hash FROM api_keys WHERE id = $1""",
            key_id,
            now,
            key_hash,
        )
        return (_key(row), Secret(row["id"], row["key_hash"])) if row else None

    async def list(self, within: InstanceId | None) -> tuple[Key, ...]:
        rows = await self._connection.fetch(
            f"""{_BELOW} SELECT {_COLUMNS} FROM api_keys
               WHERE role <> 'sync' AND ($1::text IS NULL OR instance_id IN (SELECT id FROM below))
               ORDER BY created_at, id""",
            within,
        )
        return tuple(map(_key, rows))

    async def revoke(self, key_id: str, now: datetime) -> Key:
        row = await self._connection.fetchrow(
            f"UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1 RETURNING {_COLUMNS}", key_id, now
        )
        return _found(row, key_id)


NOTE = """INSERT INTO audit_log (key_id, key_name, action, entity_type, entity_id, request_id)
    SELECT * FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[])"""

Noted = tuple[str | None, ...]
"""Key, its name, action, type and id of what was changed, request: NOTE takes them behind what goes on the queue."""


class PostgresAudit:
    """Implements ports.access.AuditRepository; `noted` is what a commit has to store."""

    _TOLD = frozenset({"task", "instance", "pattern"})
    """Of what else is touched, such as a task's decisions, the task says enough."""

    def __init__(self, connection: Connection, changes: Changes, asker: Asker) -> None:
        self._connection = connection
        self._changes = changes
        self._asker = asker
        self._noted: list[tuple[Asker, str | None, str | None]] = []

    def note(self, asker: Asker, entity_type: str | None, *entity_ids: str) -> None:
        if asker.key_id:
            self._noted += [(asker, entity_type, id) for id in entity_ids or (None,)]

    def noted(self) -> list[Noted]:
        """What was noted, or else what this unit of work's asker asked to have changed, or else what was."""
        asker, noted = self._asker, self._noted
        if asker.key_id and not noted:
            noted = [(asker, *entity) for entity in sorted(self._touched())]
            if not self._changes.touched and not noted:
                noted = [(asker, None, None)]
        return [(by.key_id, by.name, by.action, kind, id, by.request_id) for by, kind, id in noted]

    def _touched(self) -> set[tuple[str, str]]:
        """What was asked to be changed, and the tasks whose delegations that are; or else what was changed.

        That a task's decision counts for a pattern isn't told: nobody asked for it.
        """
        changed = self._changes.touched
        if entity := self._asker.entity:
            delegated = {("task", id) for kind, id in changed if kind == "delegation" and entity[0] == kind}
            return {entity, *delegated}
        told = {one for one in changed if one[0] in self._TOLD}
        return {one for one in told if one[0] == "task"} or told

    async def list(
        self, limit: int, cursor: str | None = None, *, key_id: str | None = None, entity_id: str | None = None
    ) -> Page[AuditEntry]:
        where = Where()
        where.add("key_id = {}", key_id)
        where.add("entity_id = {}", entity_id)
        if cursor:
            where.add("id < {}", *decode_cursor(cursor, int))
        rows = await self._connection.fetch(
            f"""SELECT id, at, key_id, key_name, action, entity_type, entity_id, request_id
                FROM audit_log WHERE {where} ORDER BY id DESC LIMIT {limit + 1:d}""",
            *where.parameters,
        )
        return page(rows, limit, lambda row: AuditEntry(**row))


def _found(row: Row | None, key_id: str) -> Key:
    if row is None:
        raise NotFound("key", key_id)
    return _key(row)


def _key(row: Row) -> Key:
    return Key(
        id=row["id"],
        name=row["name"],
        role=Role(row["role"]),
        instance_id=row["instance_id"],
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
    )
