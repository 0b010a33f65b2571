"""PostgreSQL: the embedded one's programs and data, what any that runs is like, and its replica."""

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hopper.entrypoints.doctor.findings import Finding, ok, warning, wrong

if TYPE_CHECKING:
    from hopper.config import Settings
    from hopper.ports.replica import ReplicaStatus

_OLDEST = 160_000
_OLDEST_VECTOR = (0, 8)
_SECONDS = 8.0

_FOLDERS = ("base", "global", "pg_wal", "pg_xact")
"""What PostgreSQL doesn't start without."""

_CLOCK_OFF = 2.0
"""Seconds. Claims run out by the database's clock or by this machine's."""


def postgres(settings: "Settings") -> Iterator[Finding]:
    """The PostgreSQL that the settings name."""
    url = settings.database.postgres.url
    if url is None:
        yield from _embedded(settings.home, settings)
    else:
        yield from _running(url, settings.display_url, settings)


def replica(settings: "Settings") -> Iterator[Finding]:
    """The replica that the settings name, as the server would judge it."""
    from hopper.ports.replica import ReplicaState

    primary, follower = settings.database.postgres.url, settings.database.postgres.replica_url
    if primary is None or follower is None:
        yield ok("There is none: the database answers all searches itself")
        return
    status = asyncio.run(_of_replica(primary, follower))
    if status.state is ReplicaState.IN_USE:
        yield ok("The replica follows the database, and answers searches in its place")
    elif status.state is ReplicaState.FOREIGN:
        yield wrong(
            f"The replica isn't used: {status.trouble}.", "Name a streaming replica of DATABASE_URL's database."
        )
    elif status.trouble:
        yield warning(
            f"The replica isn't used ({status.trouble}): the database answers all searches itself.",
            "Start it, or look whether 'database.postgres.replica_url' and its pg_hba.conf are right.",
        )
    else:
        yield warning("Whether the replica follows can't be told while the database doesn't answer.")


async def _of_replica(primary: str, follower: str) -> "ReplicaStatus":
    from hopper.adapters.postgres.replica import look_once
    from hopper.adapters.postgres.unit_of_work import open_replica_pool

    pools = [await open_replica_pool(url, 1) for url in (primary, follower)]
    try:
        return await look_once(*pools)
    finally:
        for pool in pools:
            pool.terminate()


def _embedded(home: Path, settings: "Settings") -> Iterator[Finding]:
    from hopper.services.postgres import EmbeddedPostgres
    from hopper.services.postgres_programs import Account

    own = Account(None)
    code, said = own.run("postgres", "--version", seconds=_SECONDS)
    if code:
        yield wrong(
            f"PostgreSQL's own program doesn't run: {said.strip()}", "Run `make serve`, which installs it anew."
        )
        return
    embedded = EmbeddedPostgres(home)
    embedded.require_usable()
    if not (embedded.data / "PG_VERSION").exists():
        yield ok(f"The embedded PostgreSQL makes its data in {embedded.data} at the first start")
        return
    account = Account.for_data(embedded.data)
    owner = embedded.data.stat().st_uid
    if account.other is None and owner != os.geteuid():
        yield wrong(
            f"{embedded.data} belongs to another user, with the number {owner}.",
            f"Run Hopper as that user, or give it to yourself: sudo chown -R $USER {embedded.data}",
        )
    elif embedded.runs():
        yield from _running(embedded.url, f"the embedded one in {embedded.data}", settings)
    else:
        code, said = own.run("pg_controldata", str(embedded.data), seconds=_SECONDS)
        state = re.search(r"Database cluster state: +(.+)", said)
        lacking = [name for name in _FOLDERS if not (embedded.data / name).is_dir()]
        if code or state is None or "WARNING" in said or lacking:
            yield wrong(f"The data in {embedded.data} is damaged.", "Restore a backup, or ask PostgreSQL's own manual.")
        elif state[1] == "shut down":
            yield ok(f"The embedded PostgreSQL in {embedded.data} is stopped, and whole: `hopper serve` starts it")
        else:
            yield ok(f"The embedded PostgreSQL in {embedded.data} was killed ({state[1]}): the next start recovers it")


def _running(url: str, where: str, settings: "Settings") -> Iterator[Finding]:
    from hopper.adapters.postgres import fitness, migrate

    database = asyncio.run(fitness.look(url, _OLDEST, _SECONDS))
    if database.found is None:
        yield wrong(
            f"The database ({where}) is PostgreSQL {database.version // 10_000}, and Hopper needs 16 or later.",
            "Upgrade it, or leave DATABASE_URL away: Hopper brings a PostgreSQL of its own.",
        )
        return
    yield ok(f"PostgreSQL {database.found['version'].split()[0]} answers ({where})")
    if settings.database.pgvector.enabled:
        yield from _vector(database.found)
    yield from _rights(database.found, is_current=database.revision == migrate.HEAD)
    if not database.found["barred_tables"]:
        yield from _schema(database.revision)
    yield from _connections(database.found, settings.database.postgres.pool_size)
    if abs(database.clock_ahead) > _CLOCK_OFF:
        way = "ahead of" if database.clock_ahead > 0 else "behind"
        yield warning(
            f"Its clock is {abs(database.clock_ahead):.0f} s {way} this machine's.",
            "Have both set by NTP: claims of tasks would run out too early or too late.",
        )


def _vector(found: Any) -> Iterator[Finding]:
    there, available = found["vector"], found["vector_available"]
    if there and _numbers(there) >= _OLDEST_VECTOR:
        yield ok(f"pgvector {there}")
    elif there and available and _numbers(available) >= _OLDEST_VECTOR:
        yield wrong(
            f"pgvector is {there}, and Hopper needs 0.8 or later.", "As its owner: ALTER EXTENSION vector UPDATE;"
        )
    elif not available or _numbers(available) < _OLDEST_VECTOR:
        what = f"has pgvector {available} only" if available else "lacks pgvector"
        yield wrong(
            f"This PostgreSQL {what}, and Hopper needs 0.8 or later.",
            "Install the package on its machine (postgresql-16-pgvector), or use the image pgvector/pgvector:pg16.",
        )
    elif found["may_create_vector"]:
        yield ok(f"pgvector {available} can be created")
    else:
        yield wrong(
            "The database lacks the extension vector, and this user may not create it.",
            "Have an administrator run in this database: CREATE EXTENSION vector;",
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _rights(found: Any, is_current: bool) -> Iterator[Finding]:
    if found["read_only"]:
        yield wrong("The database can only be read: it is a replica, or set so.", "Name the primary in DATABASE_URL.")
    if not found["may_create_tables"]:
        yield wrong(
            "This user may not create tables in the database's schema.",
            f'Have an administrator run: GRANT CREATE, USAGE ON SCHEMA public TO "{found["name"]}";',
        )
    if found["lacking_grant"]:
        say = warning if is_current else wrong
        needs = "no upgrade can be made as this one" if is_current else "Hopper's schema can't be made or upgraded"
        yield say(f"This user may not make schemas in the database: {needs}.", f"Run: {found['lacking_grant']}")
    if found["barred_tables"]:
        yield wrong(
            f"This user may not read or change {found['barred_tables']} of the tables.",
            "Connect as the user who made them, or have that one run: GRANT ALL ON ALL TABLES IN SCHEMA public TO …;",
        )
    elif found["others_tables"]:
        yield warning(
            f"Another user owns {found['others_tables']} of the tables: this one can't upgrade them.",
            "Upgrade as that user (`hopper db upgrade`), or have it run: GRANT itself TO this user;",
        )
    if found["foreign_tables"]:
        yield warning(
            f"Hopper's schema holds tables that aren't Hopper's ({', '.join(found['foreign_tables'][:3])}).",
            "Backups would hold them too, or fail: move them to another schema, or give Hopper a database of its own.",
        )
    if found["encoding"] != "UTF8":
        yield wrong(
            f"The database's encoding is {found['encoding']}.", "Make it anew: CREATE DATABASE … ENCODING 'UTF8';"
        )


def _schema(revision: str | None) -> Iterator[Finding]:
    from hopper.adapters.postgres import migrate

    if revision == migrate.HEAD:
        yield ok(f"Its schema is this version's ({revision})")
    elif revision is None:
        yield ok("It has no tables of Hopper's yet: `hopper serve` makes them")
    elif migrate.is_known(revision):
        yield warning(
            f"Its schema is at revision {revision}, and this Hopper's is {migrate.HEAD}.",
            "`hopper serve` upgrades it when it starts, and so does `hopper db upgrade`.",
        )
    else:
        yield wrong(
            f"Its schema is at revision {revision}, which this version of Hopper doesn't know.",
            "A newer Hopper has migrated it. Use that one.",
        )


def _connections(found: Any, pool_size: int) -> Iterator[Finding]:
    most, taken = found["connections"], found["taken"]
    advice = "Lower 'database.postgres.pool_size', or raise PostgreSQL's max_connections."
    if pool_size > most:
        yield wrong(f"Hopper may open {pool_size} connections, and PostgreSQL gives it {most} at most.", advice)
    elif pool_size > most - taken:
        yield warning(
            f"Hopper may open {pool_size} connections; of the {most} that there are at most, others have {taken}.",
            advice,
        )
