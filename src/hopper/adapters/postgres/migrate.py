"""Bringing a database to the schema of this version of Hopper, and telling whether it is there."""

import asyncio
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from hopper.adapters.postgres import bounds, vector_type
from hopper.adapters.postgres.sql import APPLICATION, translated
from hopper.domain.errors import HopperError, Unavailable
from hopper.ports import turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection

    from hopper.adapters.postgres.phases import Index, Phased

MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0020"
"""The newest revision; a test holds it equal to the files."""

_VECTOR_INDEX = ("idx_task_embedding_", "idx_pattern_embedding_", "idx_episode_embedding_")
_CHANGE_LOCK = turns.MIGRATIONS + 1
"""For a change in phases, beside which one of the version before may start."""
_POLL_SECONDS = 0.2

LACKING_GRANT = """SELECT format('GRANT CREATE ON DATABASE %I TO %I;', current_database(), current_user)
    WHERE NOT has_database_privilege(current_database(), 'CREATE')"""
"""What would let the user make schemas; no row where that one may."""

FOREIGN_TABLES = """SELECT ARRAY(
    SELECT relname::text FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
        AND relname <> ALL($1::text[])
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
    ORDER BY relname)"""
"""Tables beside Hopper's own, whose names are given; those of extensions don't count."""


class SchemaIsNewer(HopperError):
    """The database was migrated by a later version of Hopper."""

    slug = "schema-is-newer"


class SchemaIsBehind(HopperError):
    """The database lacks a migration, or differs from what the migrations make."""

    slug = "schema-is-behind"


def is_ours(item: Any, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
    """What Alembic compares: all but the vector indexes, which are made to measure, partitions, and keys to them."""
    from hopper.adapters.postgres.schema import PARTITIONS

    if kind == "foreign_key_constraint":
        return item.elements[0].target_fullname.split(".")[0] not in PARTITIONS
    return name is None or not (name in PARTITIONS or (kind == "index" and name.startswith(_VECTOR_INDEX)))


def is_another_type(_context: object, _there: object, _wanted: object, there: Any, wanted: Any) -> bool | None:
    """As Alembic compares types (None), save that vectors are numbers as long as the database has no pgvector."""
    from pgvector.sqlalchemy import Vector
    from sqlalchemy import ARRAY, REAL

    is_for_now = isinstance(wanted, Vector) and isinstance(there, ARRAY) and isinstance(there.item_type, REAL)
    return False if is_for_now else None


async def revision(url: str) -> str | None:
    """The revision that the database is at; None when it is empty."""
    connection = await connect(url)
    try:
        return await revision_of(connection)
    finally:
        await connection.close()


async def revision_of(connection: Any) -> str | None:
    """The same, asked on a connection that is there."""
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return found


def is_known(revision: str | None) -> bool:
    """Whether this version of Hopper can bring such a database to its own schema."""
    return revision is None or revision in {path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("*.py")}


async def connect(url: str, seconds: float = 10) -> Any:
    """A connection; raises Unavailable with what the database, or the way to it, says."""
    try:
        return await asyncpg.connect(url, timeout=seconds)
    except TimeoutError:
        raise Unavailable("The database doesn't answer. Check DATABASE_URL, and that it is running.") from None
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Unavailable(f"The database can't be used: {error}. Check DATABASE_URL, and that it is running.") from None


async def _value(url: str, statement: str, *parameters: object) -> Any:
    """The one value that a statement gives, asked on a connection of its own."""
    connection = await connect(url)
    try:
        return await connection.fetchval(statement, *parameters)
    finally:
        await connection.close()


async def upgrade(url: str, say: "Callable[[str], None]" = lambda _: None, *, pgvector: bool = True) -> bool:
    """Run the missing migrations, and have pgvector if it is wanted; True if there was any to do. Raises SchemaIsNewer.

    One in phases is left before its end while an older version is connected: this one works there, too.
    """
    had_all = await _has_all(url, pgvector)
    if had_all and await _has_bounds(url):
        return False
    current = await revision(url)
    refuse_newer(current)
    await require_rights(url)
    for before, change in _phased(current) if current else ():
        if str(await revision(url)) < before:
            await _with_alembic(url, partial(_upgraded, before, pgvector=pgvector), say)
        if not await _in_phases(url, change, say):
            return True
    if not (await _has_all(url, pgvector) and await _has_bounds(url)):
        await _with_alembic(url, partial(_upgraded, HEAD, pgvector=pgvector), say)
    return not had_all


async def require_rights(url: str) -> None:
    """Raise Unavailable, with what to do, if the user may not make schemas, as every migration does in the end."""
    if grant := await _value(url, LACKING_GRANT):
        raise Unavailable(
            "The database's user may not make schemas in it, and nothing was changed. Have its owner run: " + grant
        )


async def _has_all(url: str, pgvector: bool) -> bool:
    return await revision(url) == HEAD and (not pgvector or await _has_vectors(url))


def _phased(current: str) -> "list[tuple[str, Phased | Index]]":
    """The migrations behind a revision with a `change`, the oldest first, with the revision before each."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(MIGRATIONS)).iterate_revisions("head", current)
    found = [script for script in scripts if hasattr(script.module, "change")]
    return [(str(script.down_revision), script.module.change) for script in reversed(found)]


async def _in_phases(url: str, change: "Phased | Index", say: "Callable[[str], None]") -> bool:
    """Whether the change came to its end."""
    connection = await connect(url)
    try:
        await connection.execute(f"SET application_name = '{APPLICATION} {HEAD}'")
        await _take_turn(connection, say)
        if await connection.fetchval("SELECT version_num FROM alembic_version") >= change.revision:
            return True  # another process was quicker
        return await change.carry_out(connection, _views(), say)
    except asyncpg.PostgresError as error:
        raise (translated(error) or _refused(str(error))) from None
    finally:
        await connection.close()


async def _take_turn(connection: Any, say: "Callable[[str], None]") -> None:
    """Not by waiting in a statement: it would hold a snapshot, and an index that is being built waits for those."""
    told = False
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _CHANGE_LOCK):
        if not told:
            say("Another Hopper is changing the schema. Waiting for it.")
            told = True
        await asyncio.sleep(_POLL_SECONDS)


async def check(url: str, *, pgvector: bool = True) -> None:
    """Raise SchemaIsBehind, with the differences, unless the database is just as the schema says."""
    await require_head(url)
    if pgvector and not await _has_vectors(url):
        raise SchemaIsBehind(
            "The database isn't prepared for pgvector, which the settings enable. Run `hopper db upgrade`, or start "
            "the server."
        )
    if foreign := await _value(url, FOREIGN_TABLES, list(tables())):
        raise SchemaIsBehind(
            f"Hopper's schema holds tables that aren't Hopper's ({', '.join(foreign)}). Backups would hold them too: "
            f"move them away, as with ALTER TABLE {foreign[0]} SET SCHEMA …, or give Hopper a database of its own."
        )
    from alembic.util import CommandError

    try:
        await _with_alembic(url, lambda config: _command().check(config))
    except CommandError as error:
        raise SchemaIsBehind(f"The database differs from the schema: {error}") from None
    if missing := await _lacks_partitions(url):
        raise SchemaIsBehind(f"The database lacks the partitions {', '.join(missing)}, or has them elsewhere.")
    if not await _has_bounds(url):
        raise SchemaIsBehind("The database lacks the views of bound keys, or has others. Run `hopper db upgrade`.")


async def require_head(url: str) -> None:
    """Raise SchemaIsBehind or SchemaIsNewer unless the database is at this version's revision."""
    current = await revision(url)
    if current != HEAD:
        refuse_newer(current)
        raise SchemaIsBehind(
            f"The database is at revision {current or 'none'} and this Hopper needs {HEAD}. Run `hopper db upgrade`."
        )


async def _lacks_partitions(url: str) -> list[str]:
    """Alembic looks at tables as a whole."""
    from hopper.adapters.postgres.schema import PARTITIONS

    connection = await connect(url)
    try:
        rows = await connection.fetch(
            """SELECT inhrelid::regclass::text AS name, inhparent::regclass::text AS of,
                   pg_get_expr(relpartbound, oid) AS bound
               FROM pg_inherits JOIN pg_class ON oid = inhrelid"""
        )
    finally:
        await connection.close()
    there = {row["name"]: (row["of"], row["bound"]) for row in rows}
    return [
        name for name, (table, scope) in PARTITIONS.items() if there.get(name) != (table, f"FOR VALUES IN ('{scope}')")
    ]


def _upgraded(revision: str, config: Any, pgvector: bool = True) -> None:
    """To this revision, with the views of bound keys made anew: they hold on to the columns that they name."""
    connection = config.attributes["connection"]
    connection.exec_driver_sql(bounds.DROP)
    _command().upgrade(config, revision)
    if pgvector and not connection.exec_driver_sql(vector_type.IS_THERE).scalar():
        for statement in vector_type.STATEMENTS:
            connection.exec_driver_sql(statement)
    if revision == HEAD:  # before, one in phases makes them
        for statement in _views().statements:
            connection.exec_driver_sql(statement)


def _views() -> bounds.Views:
    from hopper.adapters.postgres.schema import metadata

    return bounds.views(metadata.tables, HEAD)


async def _has_vectors(url: str) -> bool:
    return bool(await _value(url, vector_type.IS_THERE))


async def _has_bounds(url: str) -> bool:
    connection = await connect(url)
    try:
        return await _views().are_there(connection)
    finally:
        await connection.close()


def tables() -> frozenset[str]:
    """The names of all tables that this version knows."""
    from hopper.adapters.postgres.schema import metadata

    return frozenset({*metadata.tables, "alembic_version"})


def refuse_newer(current: str | None) -> None:
    """Raise SchemaIsNewer for a revision that this version doesn't know."""
    if not is_known(current):
        raise SchemaIsNewer(
            f"The database is at revision {current}, which this version of Hopper doesn't know: a newer one has "
            "migrated it. Start that version, or give this one another data directory (HOPPER_HOME)."
        )


def _refused(said: str) -> Unavailable:
    return Unavailable(
        f"The database refused a migration, which was undone: {said.splitlines()[0]}. Hopper needs PostgreSQL 16 or "
        "newer, pgvector 0.8 or newer, and the right to create extensions, schemas and tables. Without pgvector it "
        "runs with the setting database.pgvector.enabled: false."
    )


def _command() -> Any:
    from alembic import command

    return command


async def _with_alembic(url: str, run: "Callable[[Any], None]", say: "Callable[[str], None]" = lambda _: None) -> None:
    """Call an Alembic command on a connection of its own; where it would have to wait for others, begin anew."""
    from alembic.config import Config
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    from hopper.adapters.postgres.phases import HELD_UP, PATIENT, until_through

    config = Config(stdout=StringIO())  # what a command prints is its caller's business
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))

    def within(connection: "Connection") -> None:
        connection.exec_driver_sql(PATIENT)
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock($1)", (turns.MIGRATIONS,))
        config.attributes["connection"] = connection
        run(config)

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=NullPool
    )

    async def attempt() -> None:
        try:
            async with engine.begin() as connection:
                await connection.run_sync(within)
        except DBAPIError as error:
            cause = error.orig.__cause__ if error.orig else None
            raise cause if isinstance(cause, HELD_UP) else error from None

    try:
        await until_through(attempt, say)
    except DBAPIError as error:
        raise _refused(str(error.orig).rpartition(">: ")[2]) from None
    finally:
        await engine.dispose()
        await asyncio.sleep(0)
