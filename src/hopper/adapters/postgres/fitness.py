"""What a database is like, as far as Hopper depends on it. Only looks."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hopper.adapters.postgres import migrate

_OURS = "relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')"
_ALL_RIGHTS = " AND ".join(f"has_table_privilege(oid, '{right}')" for right in ("SELECT", "INSERT", "UPDATE", "DELETE"))

_LOOK = f"""
SELECT current_setting('server_version') AS version,
    pg_encoding_to_char(encoding) AS encoding,
    pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS read_only,
    (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS vector,
    (SELECT default_version FROM pg_available_extensions WHERE name = 'vector') AS vector_available,
    rolsuper OR has_database_privilege(datname, 'CREATE') AND EXISTS (
        SELECT FROM pg_available_extension_versions WHERE name = 'vector' AND trusted) AS may_create_vector,
    coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create_tables,
    (SELECT count(*) FROM pg_class WHERE {_OURS} AND NOT ({_ALL_RIGHTS})) AS barred_tables,
    (SELECT count(*) FROM pg_class WHERE {_OURS} AND NOT pg_has_role(relowner, 'USAGE')) AS others_tables,
    least(
        current_setting('max_connections')::int - CASE WHEN rolsuper THEN 0 ELSE
            current_setting('superuser_reserved_connections')::int + current_setting('reserved_connections')::int END,
        nullif(rolconnlimit, -1), nullif(datconnlimit, -1)) AS connections,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
        AND application_name !~ '^hopper( [0-9]+)?$') AS taken,
    ({migrate.LACKING_GRANT}) AS lacking_grant,
    ({migrate.FOREIGN_TABLES}) AS foreign_tables,
    current_user AS name
FROM pg_database, pg_roles
WHERE datname = current_database() AND rolname = current_user
"""


@dataclass(frozen=True, slots=True)
class Fitness:
    """`version` is the server's, 160004 for 16.4; the rest is None where that is too old to be asked.

    The revision isn't known either while there are tables that may not be read.

    `clock_ahead` is by how many seconds its clock is ahead of this machine's. `found` has the columns of the look.
    """

    version: int
    clock_ahead: float
    revision: str | None = None
    found: Any = None


async def look(url: str, oldest: int, seconds: float) -> Fitness:
    """Raises Unavailable with what the database, or the way to it, says."""
    connection = await migrate.connect(url, seconds)
    try:
        async with asyncio.timeout(seconds):
            version = int(await connection.fetchval("SELECT current_setting('server_version_num')"))
            before = datetime.now(UTC)
            theirs = await connection.fetchval("SELECT clock_timestamp()")
            ahead = (theirs - before).total_seconds() - (datetime.now(UTC) - before).total_seconds() / 2
            if version < oldest:
                return Fitness(version, ahead)
            found = await connection.fetchrow(_LOOK, list(migrate.tables()))
            revision = None if found["barred_tables"] else await migrate.revision_of(connection)
            return Fitness(version, ahead, revision, found)
    finally:
        await connection.close(timeout=1)
