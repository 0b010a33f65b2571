"""Restoring a backup, in one transaction: until its end, the database is as it was before."""

import subprocess
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import IO

from hopper.domain.backup import BackupFailed, Manifest
from hopper.domain.errors import Conflict
from hopper.ports.turns import MIGRATIONS
from hopper.services.backup import VECTORS, schema_of
from hopper.services.backup_file import BackupReader
from hopper.services.psql import Psql, end, read_back, start
from hopper.services.table_sums import AS_TEXT, columns_of, sums

_KINDS = {
    "tasks": "tasks",
    "hopper_instances": "instances",
    "routing_episodes": "decisions",
    "routing_patterns": "patterns",
}

_OTHERS = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name ~ '^hopper( [0-9]+)?$'
        AND pid <> pg_backend_pid();"""

_EMPTY = """DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
        AND NOT relispartition AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
    LOOP EXECUTE format('DROP TABLE IF EXISTS public.%I CASCADE', name); END LOOP;
END $$;"""

_NO_CHANGE = """DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname ~ '^change_[0-9]+$'
    LOOP EXECUTE format('DROP SCHEMA %I CASCADE', name); END LOOP;
END $$;"""
"""A change of the schema that was under way, here or in the backup, begins anew."""

_THERE = """SELECT 'SCHEMA - ' || nspname || ' ' FROM pg_namespace
    UNION SELECT 'FUNCTION public ' || proname || '(' FROM pg_proc WHERE pronamespace = 'public'::regnamespace;"""
"""How lines of a dump's contents begin that Hopper has no share in: the schema itself, and functions of others."""

_NO_VECTOR_INDEXES = """DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('i', 'I')
        AND NOT relispartition AND relname ~ '^idx_(task|episode|pattern)_embedding_'
    LOOP EXECUTE format('DROP INDEX public.%I', name); END LOOP;
END $$;"""
"""Built anew once the vectors are there, which is quicker than to add them one by one."""

_EMBED_ALL = """INSERT INTO projection_queue (projection, entity_type, entity_id)
    SELECT 'embedding', 'pattern', id FROM routing_patterns WHERE source IS DISTINCT FROM 'northbound'
    UNION ALL SELECT 'embedding', 'task', id FROM tasks
    UNION ALL SELECT 'embedding', 'episode', id FROM routing_episodes WHERE task_id IS NOT NULL;"""

_GRAPH_ANEW = """DO $$ BEGIN
    DELETE FROM projection_queue WHERE projection = 'graph';
    IF to_regclass('projections') IS NOT NULL THEN
        UPDATE projections SET followed_since = NULL, applied = 0, rebuilding = false WHERE projection = 'graph';
    END IF;
END $$;"""
"""As after `hopper graph forget`: a graph that is there may know of what happened after the backup."""


def restore(
    url: str,
    backup: BackupReader,
    *,
    known_tables: Collection[str],
    replace: bool,
    show: Callable[[int], None] = lambda _bytes: None,
) -> None:
    """Put a backup into a database. Then the tables are as they were when it was made, or nothing was changed.

    Raises BackupFailed, BadBackup, Conflict, Unavailable.
    """
    manifest = backup.manifest
    with Psql(url) as psql:
        psql.run("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;")
        # A server that starts meanwhile waits, and then looks at what was restored.
        psql.run(f"BEGIN; SELECT pg_advisory_xact_lock({MIGRATIONS});")
        _refuse_others(psql, known_tables, replace)
        psql.run(f"SET LOCAL maintenance_work_mem = '512MB'; {_EMPTY} {_NO_CHANGE}")
        _fill(psql, backup, show)
        psql.run(_NO_CHANGE)
        psql.run(AS_TEXT)
        _compare(psql, manifest)
        psql.run(_GRAPH_ANEW)
        if set(VECTORS) & set(manifest.left_out):
            psql.run(f"{_NO_VECTOR_INDEXES} {_EMBED_ALL}")
        psql.run("ANALYZE;")
        psql.run("COMMIT;")


def held(psql: Psql) -> Mapping[str, int]:
    """How much of what a person would miss is in a database."""
    tables = columns_of(psql)
    counts = {
        kind: int(psql.run(f'SELECT count(*) FROM public."{table}";')[0][0])  # noqa: S608 - names of our own
        for table, kind in _KINDS.items()
        if table in tables
    }
    return {kind: count for kind, count in counts.items() if count}


def _refuse_others(psql: Psql, known_tables: Collection[str], replace: bool) -> None:
    """Raises Conflict for a database that is in use, is somebody else's, or holds what would be lost."""
    if psql.run(_OTHERS) != [["0"]]:
        raise Conflict("A Hopper server works on this database. Stop it (all of them), and restore then.")
    foreign = sorted(set(columns_of(psql)) - set(known_tables))
    if foreign:
        raise Conflict(
            f"The database holds tables that aren't Hopper's ({', '.join(foreign[:3])}). Name one of Hopper's own."
        )
    lost = held(psql) if schema_of(psql) else {}
    if lost and not replace:
        told = ", ".join(f"{count:,} {kind}" for kind, count in lost.items())
        raise Conflict(
            f"The database holds {told}. --replace removes them, for good, and puts the backup in their place."
        )


def _fill(psql: Psql, backup: BackupReader, show: Callable[[int], None]) -> None:
    """Let psql have what pg_restore makes of the dump."""
    with TemporaryFile() as errors, NamedTemporaryFile() as wanted:
        listing = start("pg_restore", "-l", stdin=subprocess.PIPE, stdout=wanted, stderr=errors)
        _feed(listing, backup, lambda _bytes: None)  # it reads no further than the table of contents
        _leave_out(wanted, tuple(row[0] for row in psql.run(_THERE)))
        options = ("--exit-on-error", "--no-owner", "--no-privileges", "--no-comments", "-L", wanted.name, "-f", "-")
        process = start("pg_restore", *options, stdin=subprocess.PIPE, stdout=psql.input, stderr=errors)
        _feed(process, backup, show)
        if listing.returncode != 0 or process.returncode != 0:
            raise psql.failure() if psql.has_ended else BackupFailed(f"pg_restore failed: {read_back(errors)}.")


def _feed(process: "subprocess.Popen[bytes]", backup: BackupReader, show: Callable[[int], None]) -> None:
    """Let a program have the dump, until it wants no more; it has ended then."""
    assert process.stdin
    done = 0
    try:
        with suppress(BrokenPipeError):  # it, or psql behind it, says why
            for block in backup.dump():
                process.stdin.write(block)
                done += len(block)
                show(done)
            process.stdin.close()
        process.wait()
    finally:
        end(process)


def _leave_out(contents: IO[bytes], there: tuple[str, ...]) -> None:
    """Strike what there is already from a table of contents: of `pg_restore -l`, with three numbers before each."""
    contents.seek(0)
    lines = contents.read().decode().splitlines(keepends=True)
    kept = [line for line in lines if not line.split(" ", 3)[-1].startswith(there)]
    contents.seek(0)
    contents.truncate()
    contents.write("".join(kept).encode())
    contents.flush()


def _compare(psql: Psql, manifest: Manifest) -> None:
    """Raises BackupFailed unless all tables are as they were."""
    found = sums(psql, columns_of(psql))
    wrong = sorted(
        name
        for name in {*found, *manifest.tables} - set(manifest.left_out)
        if found.get(name) != manifest.tables.get(name)
    )
    if wrong:
        raise BackupFailed(f"What was restored differs from the backup ({', '.join(wrong)}). Nothing was changed.")
