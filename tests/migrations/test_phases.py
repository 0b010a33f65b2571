"""A change of the schema while the version before still serves, on a database that it has filled."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import numpy as np
import pytest
from tests.builders import a_task, an_episode
from tests.conftest import execute, fresh_database, value
from tests.contracts.working import add
from tests.migrations.previous import ADD_TASK, DIMENSION, MODEL, Traffic, fill

from hopper import bootstrap
from hopper.adapters.postgres import migrate
from hopper.adapters.postgres.phases import Phased
from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork, open_pool
from hopper.adapters.postgres.vector_indexes import PostgresVectorIndexes
from hopper.config import load_settings
from hopper.domain.errors import Unavailable
from hopper.domain.instance import Scope
from hopper.ports.vectors import IndexState, StoredVector, VectorKind
from hopper.services.backup import make_backup
from hopper.services.backup_file import open_backup
from hopper.services.restore import restore

MIGRATION = import_module("hopper.adapters.postgres.migrations.versions.0019_episodes_by_scope")
CHANGE: Phased = MIGRATION.change
EPISODES = 3_000


@pytest.fixture(scope="module")
async def template(postgres_url: str) -> AsyncIterator[str]:
    """The name of a database as the version before has left it: filled, with an index over its vectors."""
    async with fresh_database(postgres_url, "template1") as url:
        await migrate._with_alembic(url, partial(migrate._upgraded, "0018"))
        pool = await open_pool(url, 2)
        async with pool.acquire() as connection:
            await fill(connection, EPISODES)
        await PostgresVectorIndexes(pool).ensure(MODEL, DIMENSION)
        await pool.close()
        yield urlsplit(url).path[1:]


@pytest.fixture
async def before(postgres_url: str, template: str) -> AsyncIterator[str]:
    async with fresh_database(postgres_url, template) as url:
        yield url


async def rows(url: str) -> list[list[Any]]:
    """All that the version before knew of episodes and their embeddings."""
    connection = await asyncpg.connect(url)
    try:
        return [
            [
                tuple(row)
                for row in await connection.fetch(
                    f"SELECT {columns} FROM {table} AS t ORDER BY {key}".replace("embedding,", "embedding::text,")
                )
            ]
            for table, columns, key in (
                ("routing_episodes", MIGRATION.EPISODE, "id"),
                ("episode_embeddings", MIGRATION.EMBEDDING, "episode_id, model"),
            )
        ]
    finally:
        await connection.close()


async def require_partitioned(url: str, expected: list[list[Any]]) -> None:
    """All is there, each row in its partition, and nothing is left of the way there."""
    assert await migrate.revision(url) == migrate.HEAD
    await migrate.check(url)
    assert await rows(url) == expected
    misplaced = """SELECT count(*) FROM routing_episodes e
        LEFT JOIN hopper_instances i ON i.id = coalesce(e.outcome_instance, e.chosen_instance)
        WHERE e.scope <> coalesce(i.scope, e.chosen_instance_scope, 'NONE')
            AND NOT coalesce(i.former_scopes ? e.scope, false)"""
    assert await value(url, misplaced) == 0
    assert await value(url, "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == 0
    assert await value(url, "SELECT to_regnamespace('change_0019') IS NULL")
    pool = await open_pool(url, 2)
    states = await PostgresVectorIndexes(pool).states(MODEL, DIMENSION)
    await pool.close()
    assert states[VectorKind.EPISODE] is IndexState.READY


async def test_the_version_before_serves_until_it_is_stopped(before: str) -> None:
    """An upgrade would stop the service, lose what was written meanwhile, or break servers that still run."""
    said: list[str] = []
    async with Traffic(before) as traffic:
        await traffic.worked(5)
        assert await migrate.upgrade(before, said.append) is True
        assert await migrate.revision(before) == "0018"  # and may be started anew
        assert "older Hopper" in said[-1]
        await traffic.worked(30)
    expected = await rows(before)
    assert await migrate.upgrade(before, said.append) is True
    await require_partitioned(before, expected)


async def test_an_upgrade_that_is_killed_goes_on_from_there(before: str) -> None:
    """A restart in the middle of an upgrade would leave a database that no version can use."""
    async with Traffic(before, servers=1) as traffic:
        for stage in ("new tables beside", "decisions copied", "their embeddings copied", "Building"):
            assert await asyncio.to_thread(killed_at, before, stage), stage
            await traffic.worked(2)
    expected = await rows(before)
    assert await asyncio.to_thread(killed_at, before, None) is False
    await require_partitioned(before, expected)


_UPGRADE = """import asyncio, sys
from hopper.adapters.postgres import migrate
asyncio.run(migrate.upgrade(sys.argv[1], print))"""


def killed_at(url: str, stage: str | None) -> bool:
    """Upgrade in a process of its own; kill it as soon as it says so. Whether it came to that."""
    command = [sys.executable, "-u", "-c", _UPGRADE, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if stage and stage in line:
                process.kill()
                return True
        return False


async def test_the_new_version_serves_before_and_beyond_the_swap(before: str) -> None:
    """Servers could only be replaced all at once, with nobody there meanwhile."""
    async with Traffic(before, servers=1) as traffic:
        await traffic.worked(1)
        await migrate.upgrade(before)
    stop = asyncio.Event()
    serving = [asyncio.create_task(serve(before, at, stop)) for at in range(2)]
    await asyncio.sleep(0.3)
    assert await migrate.upgrade(before) is True
    await asyncio.sleep(0.3)
    stop.set()
    served = await asyncio.gather(*serving)
    assert min(served) > 2
    await require_partitioned(before, await rows(before))


async def serve(url: str, at: int, stop: asyncio.Event) -> int:
    """What this version does with episodes; how often it was done."""
    pool = await open_pool(url, 1)
    vector = np.ones(DIMENSION, dtype=np.float32)
    n = 0
    try:
        while not stop.is_set():
            n += 1
            id = f"new-{at}-{n}"
            async with PostgresUnitOfWork(pool, {}) as uow:
                await add(uow, a_task(id=id), an_episode(id, "c", id=id))
                await uow.vectors.put(VectorKind.EPISODE, MODEL, {id: StoredVector(vector, "h")})
                await uow.episodes.update(an_episode(id, "c", id=id, outcome_instance="a"))
                found = await uow.vectors.similar_episodes(vector, MODEL, [Scope.PROJECT], 300)
                assert id in {episode.episode_id for episode in found}
                assert (await uow.episodes.latest(id)) is not None
                await uow.commit()
    finally:
        await pool.close()
    return n


async def test_a_long_transaction_holds_up_the_swap_and_nobody_else(before: str) -> None:
    """While a backup runs, requests would queue up behind an upgrade that waits for it."""
    reading = await asyncpg.connect(before)
    transaction = reading.transaction()
    await transaction.start()
    await reading.fetchval("SELECT count(*) FROM routing_episodes")
    upgrade = asyncio.create_task(migrate.upgrade(before))
    async with Traffic(before, servers=1) as traffic:
        await traffic.worked(40)
        assert not upgrade.done()
    await transaction.rollback()
    await reading.close()
    await asyncio.wait_for(upgrade, 60)
    await migrate.upgrade(before)
    await require_partitioned(before, await rows(before))


async def test_a_copy_that_differs_is_not_used(before: str) -> None:
    """A row that went astray would be lost with the old tables."""
    async with Traffic(before, servers=1) as traffic:
        await traffic.worked(1)
        await migrate.upgrade(before)
    expected = await rows(before)
    await value(before, "DELETE FROM change_0019.routing_episodes WHERE id = 'past-7'")
    with pytest.raises(Exception, match="DROP SCHEMA change_0019 CASCADE"):
        await migrate.upgrade(before)
    assert await migrate.revision(before) == "0018"
    await value(before, "DROP SCHEMA change_0019 CASCADE")
    await migrate.upgrade(before)
    await require_partitioned(before, expected)


async def test_a_backup_that_was_made_on_the_way_can_be_restored(
    before: str, postgres_url: str, tmp_path: Path
) -> None:
    """Whoever backs up before the last step, as one should, would have a file that no database takes."""
    async with Traffic(before, servers=1) as traffic:
        await traffic.worked(1)
        await migrate.upgrade(before)
    expected = await rows(before)
    await asyncio.to_thread(make_backup, before, tmp_path / "backup", hopper="0", force=False)
    async with fresh_database(postgres_url, "template1") as restored:
        with open_backup(tmp_path / "backup") as backup:
            await asyncio.to_thread(restore, restored, backup, known_tables=migrate.tables(), replace=False)
        assert await migrate.upgrade(restored) is True
        await require_partitioned(restored, expected)


async def test_who_may_not_change_the_tables_is_told(before: str) -> None:
    """An upgrade as a user who doesn't own the tables would end in a traceback."""
    name = urlsplit(before).path[1:]
    await execute(before, f"CREATE ROLE stranger LOGIN; GRANT CREATE ON DATABASE {name} TO stranger")
    await execute(
        before, "GRANT ALL ON ALL TABLES IN SCHEMA public TO stranger; GRANT CREATE ON SCHEMA public TO stranger"
    )
    try:
        with pytest.raises(Unavailable, match="refused a migration, which was undone"):
            await migrate.upgrade(before.replace("postgres@", "stranger@", 1))
        assert await migrate.revision(before) == "0018"
    finally:
        await execute(before, "DROP OWNED BY stranger; DROP ROLE stranger")


async def test_two_upgrades_at_once_both_come_to_the_end(before: str) -> None:
    """Two servers that are started anew at once would stop each other: one ends with a deadlock, and serves nobody."""
    async with Traffic(before, servers=1) as traffic:
        await traffic.worked(1)
    expected = await rows(before)
    began = asyncio.Event()
    first = asyncio.create_task(migrate.upgrade(before, lambda _: began.set()))
    await began.wait()
    async with asyncio.timeout(60):
        assert all(await asyncio.gather(first, migrate.upgrade(before)))
    await require_partitioned(before, expected)


async def test_an_index_is_built_again_after_a_deadlock(before: str) -> None:
    """Whoever looks at the database in a long transaction might end an upgrade with a traceback."""
    began = asyncio.Event()
    upgrade = asyncio.create_task(migrate.upgrade(before, lambda _: began.set()))
    await began.wait()
    waiting = await asyncpg.connect(before, server_settings={"lock_timeout": "5s", "deadlock_timeout": "1h"})
    with pytest.raises(asyncpg.LockNotAvailableError):  # the upgrade had the lock for so long, and was at the index
        await waiting.execute("SELECT pg_advisory_lock($1)", migrate._CHANGE_LOCK)
    await waiting.close()
    async with asyncio.timeout(60):
        assert await upgrade is True
    await require_partitioned(before, await rows(before))


async def test_a_version_before_that_comes_at_the_last_moment_is_waited_for(before: str) -> None:
    """An older server that is started during the comparison would lose its tables, and fail at its next write."""
    copying, swapping = asyncio.Event(), asyncio.Event()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if "embeddings copied" in line:
            copying.set()
        if "Waiting for a moment" in line:
            swapping.set()

    upgrade = asyncio.create_task(migrate.upgrade(before, say))
    await copying.wait()
    reading = await asyncpg.connect(before)
    transaction = reading.transaction()
    await transaction.start()
    await reading.execute("SELECT count(*) FROM routing_episodes")  # no fetchval, which keeps its snapshot
    await swapping.wait()
    async with Traffic(before, servers=1) as traffic:
        await traffic.worked(1)
        await transaction.rollback()
        assert await upgrade is True
        assert await migrate.revision(before) == "0018"
        assert "older Hopper" in said[-1]
        await traffic.worked(5)
    await reading.close()
    expected = await rows(before)
    await migrate.upgrade(before)
    await require_partitioned(before, expected)


async def test_an_index_on_tasks_is_built_while_others_write(before: str) -> None:
    """One request that lasts, or an import, would keep all others from writing for as long as an upgrade waits."""
    assert await migrate._in_phases(before, CHANGE, print)
    writing = await asyncpg.connect(before)
    transaction = writing.transaction()
    await transaction.start()
    await writing.execute(ADD_TASK, "long", "An import")
    killed = asyncio.create_task(migrate.upgrade(before))
    assert await others_write(before, 1)
    await value(before, f"SELECT pg_terminate_backend(pid) FROM ({BUILDING}) AS building")
    with pytest.raises(Unavailable):
        await killed
    assert (
        await value(before, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_tasks_project'::regclass") is False
    )
    upgrade = asyncio.create_task(migrate.upgrade(before))
    assert await others_write(before, 2)
    assert not upgrade.done()
    await transaction.commit()
    await writing.close()
    assert await upgrade is True
    await require_partitioned(before, await rows(before))
    assert await value(before, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'idx_tasks_project'::regclass")


BUILDING = """SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
    AND query ~ 'INDEX CONCURRENTLY .*idx_tasks_project'"""


async def others_write(url: str, at: int) -> bool:
    """Whether somebody else's task is stored at once while the index waits."""
    for _ in range(400):
        if await value(url, BUILDING):
            break
        await asyncio.sleep(0.05)
    other = await asyncpg.connect(url, server_settings={"lock_timeout": "1s"})
    await other.execute(ADD_TASK, f"other-{at}", "Another")
    await other.close()
    return bool(await value(url, BUILDING))


async def test_a_server_beside_an_older_one_ends_the_change_as_its_settings_say(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would install an extension that nobody wants or may, or connect every 15 seconds until it is stopped."""
    monkeypatch.setattr(bootstrap, "_CHANGE_SECONDS", 0.2)
    async with fresh_database(postgres_url, "template1") as url:
        await migrate._with_alembic(url, partial(migrate._upgraded, "0018", pgvector=False))
        older = await asyncpg.connect(url, server_settings={"application_name": "hopper"})
        await migrate.upgrade(url, pgvector=False)
        looks: list[str] = []
        upgrade = migrate.upgrade

        async def counted(url: str, **options: Any) -> bool:
            looks.append(url)
            return await upgrade(url, **options)

        monkeypatch.setattr(migrate, "upgrade", counted)
        settings = load_settings(home=tmp_path, database={"postgres": {"url": url}, "pgvector": {"enabled": False}})
        async with bootstrap.open_hopper(settings, url):
            await asyncio.sleep(1)
            assert await migrate.revision(url) == "0018"
            await older.close()
            seen = len(looks)
            async with asyncio.timeout(20):
                while await migrate.revision(url) != migrate.HEAD:
                    seen = len(looks)
                    await asyncio.sleep(0.1)
            await asyncio.sleep(1)
            assert 1 < seen <= len(looks) <= seen + 1
        await migrate.check(url, pgvector=False)
        assert await value(url, "SELECT count(*) FROM pg_extension WHERE extname = 'vector'") == 0
