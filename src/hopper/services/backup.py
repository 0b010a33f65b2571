"""Making a backup: a dump and sums of its tables, both of one moment, while others go on writing."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from select import select

from hopper.domain.backup import BackupFailed, Manifest
from hopper.ports.turns import MIGRATIONS
from hopper.services.backup_file import new_backup
from hopper.services.psql import Psql, reading_from
from hopper.services.table_sums import AS_TEXT, columns_of, sums

_NEWEST_SERVER = 16
"""The major version of the programs that come with Hopper: they read no newer server."""

_HOLD = f"""SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;
SELECT pg_advisory_lock_shared({MIGRATIONS});"""
_LET_GO = f"SELECT pg_advisory_unlock_shared({MIGRATIONS});"
"""No migration may begin until pg_dump has its locks, too: it would wait for this session, and pg_dump behind it."""

_OPTIONS = (
    "--format=custom",
    "--compress=1",  # three times as fast as the default, and a tenth larger
    "--extension=vector",  # a managed server brings others, which aren't to be had elsewhere
    "--extension=plpgsql",  # not dumped, but everywhere: where there is no pgvector, none at all would be an error
    "--schema=public",  # others share the database; the views of bound keys are made anew
    "--schema=change_[0-9][0-9][0-9][0-9]",  # triggers call what is in it
    "--lock-wait-timeout=10s",  # for an ALTER TABLE by hand that came between: it waits for the session, this for it
    "--no-owner",
    "--no-privileges",
    "--no-comments",
    "--no-publications",
    "--no-subscriptions",
    "--no-security-labels",
)

VECTORS = ("task_embeddings", "episode_embeddings", "pattern_embeddings")
QUEUE = "projection_queue"

_BESIDE = """SELECT '"' || replace(nspname, '"', '""') || '"' FROM pg_extension
    JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'vector' AND nspname <> 'public';"""
"""Where a managed server keeps pgvector, as a pattern: it can't be created in a schema that isn't there."""

_COSTLY = """SELECT count(*) FROM embedding_models AS m WHERE provider <> 'wordllama' AND EXISTS (
    SELECT FROM task_embeddings AS v WHERE v.model = m.model
    UNION ALL SELECT FROM episode_embeddings AS v WHERE v.model = m.model
    UNION ALL SELECT FROM pattern_embeddings AS v WHERE v.model = m.model);"""
"""Models whose vectors somebody was paid for, or waited for."""


def make_backup(
    url: str, path: Path, *, hopper: str, force: bool, show: Callable[[int], None] = lambda _bytes: None
) -> Manifest:
    """Write the database into a new file. Raises BackupFailed, Unavailable, OSError; then there is no file."""
    with new_backup(path, force=force) as file, Psql(url) as psql:
        postgres = _server_version(psql)
        psql.run(_HOLD)
        if schema_of(psql) is None:
            raise BackupFailed(
                "There is no Hopper in the schema public of this database, so there is nothing to back up."
            )
        tables = _locked(psql)
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        schema = str(schema_of(psql))
        left_out = tuple(name for name in _made_anew(psql, tables) if name in tables)
        (snapshot,) = psql.run("SELECT pg_export_snapshot();")[0]
        empty = (f"--exclude-table-data-and-children=public.{name}" for name in left_out)
        beside = (f"--schema={name}" for (name,) in psql.run(_BESIDE))
        with reading_from("pg_dump", url, *_OPTIONS, *beside, f"--snapshot={snapshot}", *empty) as dump:
            select([dump], [], [])
            psql.run(_LET_GO)
            file.take(dump, show)
        manifest = Manifest(
            hopper=hopper,
            schema=schema,
            postgres=postgres,
            made_at=made_at,
            tables=sums(psql, (name for name in tables if name not in left_out)),
            left_out=left_out,
            dump_bytes=file.bytes,
            dump_sha256=file.sha256,
        )
        file.close_with(manifest)
    return manifest


def _locked(psql: Psql) -> dict[str, str]:
    """Begin a transaction, and have the tables stay as they are until its end. What it sees is of after that.

    To the snapshot of before, a table that is rewritten then would be empty.
    """
    while True:
        tables = columns_of(psql)
        names = ", ".join(f'public."{name}"' for name in tables)
        psql.run(f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE {names} IN ACCESS SHARE MODE; {AS_TEXT}")
        if columns_of(psql) == tables:
            return tables
        psql.run("ROLLBACK;")


def schema_of(psql: Psql) -> str | None:
    """The revision that a database is at; None where there is no Hopper."""
    if psql.run("SELECT to_regclass('public.alembic_version');") == [[""]]:
        return None
    rows = psql.run("SELECT version_num FROM public.alembic_version;")
    return rows[0][0] if rows else None


def _server_version(psql: Psql) -> str:
    """Raises BackupFailed for a server that pg_dump can't read."""
    ((number, version),) = psql.run(
        "SELECT current_setting('server_version_num'), split_part(current_setting('server_version'), ' ', 1);"
    )
    if int(number) // 10_000 > _NEWEST_SERVER:
        raise BackupFailed(
            f"The database is a PostgreSQL {version}, and the pg_dump that comes with Hopper is one of "
            f"{_NEWEST_SERVER}, which reads no newer server. Back it up with a pg_dump of its own version."
        )
    return version


def _made_anew(psql: Psql, tables: dict[str, str]) -> tuple[str, ...]:
    """The tables that are left out: vectors that cost nothing, and then what waits for one, too."""
    if "embedding_models" in tables and psql.run(_COSTLY) != [["0"]]:
        return ()
    return (*VECTORS, QUEUE)
