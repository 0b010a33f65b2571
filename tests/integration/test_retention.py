"""Removing what is older than it is to be kept, in the real database."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.builders import NOW, a_pattern, a_task, an_episode, an_instance, later
from tests.commands import run
from tests.conftest import fresh_database
from tests.contracts.working import add

from hopper.adapters.postgres import migrate
from hopper.adapters.postgres.retention import LOGS
from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork, open_pool
from hopper.app import retention
from hopper.app.projections import SUBSCRIPTIONS
from hopper.app.retention import Kept, expired, prune
from hopper.domain.task import TaskStatus
from hopper.ports.vectors import StoredVector, VectorKind

UnitsOfWork = Callable[[], PostgresUnitOfWork]

DAY = 24 * 60
A_MONTH = Kept(episodes=timedelta(days=30))


@pytest.fixture
async def units(database_url: str) -> AsyncIterator[UnitsOfWork]:
    """A store with decisions on a task that is done, and on one that is open."""
    pool = await open_pool(database_url, 4)
    try:
        async with PostgresUnitOfWork(pool, SUBSCRIPTIONS) as uow:
            await add(
                uow,
                an_instance("a"),
                a_pattern("a", id="p", usage_count=7, success_count=5),
                a_task(id="done", status=TaskStatus.DONE),
                a_task(id="open"),
                an_episode("done", "a", id="old", routed_at=later(-31 * DAY), completed_at=later(-31 * DAY)),
                an_episode("done", "a", id="heard-of", routed_at=later(-90 * DAY), completed_at=later(-1 * DAY)),
                an_episode("done", "a", id="set-right", routed_at=later(-90 * DAY), corrected_at=later(-1 * DAY)),
                an_episode("done", "a", id="new", routed_at=later(-29 * DAY)),
                an_episode("open", None, id="open-first", routed_at=later(-90 * DAY)),
                an_episode("open", "a", id="open-last", routed_at=later(-80 * DAY)),
                an_episode(None, None, id="summary", routed_at=later(-31 * DAY)),
            )
            await uow.vectors.put(VectorKind.EPISODE, "m", {"old": StoredVector(np.array([0.5], np.float32), "h")})
            await uow.commit()
        yield lambda: PostgresUnitOfWork(pool, SUBSCRIPTIONS)
    finally:
        await pool.close()


async def ids(units: UnitsOfWork, table: str = "routing_episodes", column: str = "id") -> list[str]:
    async with units() as uow:
        rows = await uow._connection.fetch(f"SELECT {column} AS id FROM {table} ORDER BY 1")
        return [row["id"] for row in rows]


async def test_what_is_old_goes_and_the_rest_stays(units: UnitsOfWork, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open task would lose why it is where it is, or a database would grow for ever."""
    monkeypatch.setattr(retention, "_BATCH", 2)
    assert await expired(A_MONTH, NOW, units) == {"episodes": 2}
    assert await prune(A_MONTH, NOW, units) == {"episodes": 2}
    assert await ids(units) == ["heard-of", "new", "open-first", "open-last", "set-right"]
    assert await ids(units, "episode_embeddings", "episode_id") == []
    async with units() as uow:
        pattern = await uow.patterns.get("p")
    assert (pattern.usage_count, pattern.success_count) == (7, 5)
    assert await prune(A_MONTH, NOW, units) == {"episodes": 0}


async def test_everything_stays_unless_days_are_set(units: UnitsOfWork) -> None:
    """An upgrade would remove what nobody asked to have removed."""
    before = await ids(units)
    assert await prune(Kept(), NOW, units) == {}
    assert await ids(units) == before


async def test_what_others_work_on_is_left_for_the_next_time(units: UnitsOfWork) -> None:
    """Feedback would wait for the cleaning, or be given on a decision that is going."""
    async with units() as other:
        await other._connection.execute("SELECT FROM routing_episodes WHERE id = 'old' FOR UPDATE")
        async with asyncio.timeout(5):
            assert await prune(A_MONTH, NOW, units) == {"episodes": 1}
    assert "old" in await ids(units)
    assert await prune(A_MONTH, NOW, units) == {"episodes": 1}


async def test_several_at_once_remove_each_once(units: UnitsOfWork, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers on one database would fail on each other."""
    monkeypatch.setattr(retention, "_BATCH", 1)
    removed = await asyncio.gather(*(prune(A_MONTH, NOW, units) for _ in range(3)))
    assert sum(one["episodes"] for one in removed) == 2


async def test_old_entries_of_logs_go(units: UnitsOfWork) -> None:
    """Logs would grow for ever, and say for ever who did what."""
    async with units() as uow:
        await uow._connection.execute(
            """INSERT INTO sync_sources (source_instance_id, name, contribution_cap) VALUES ('s', 'x', 1);
               INSERT INTO sync_log (id, source_instance_id, synced_at) VALUES
               ('old', 's', '2025-11-01'), ('new', 's', '2026-01-04')"""
        )
        await uow.commit()
    kept = Kept(logs=timedelta(days=30))
    nothing = dict.fromkeys(LOGS, 0)
    assert await expired(kept, NOW, units) == {**nothing, "sync_log": 1}
    assert await prune(kept, NOW, units) == {**nothing, "sync_log": 1}
    assert await ids(units, "sync_log") == ["new"]


async def test_the_command_tells_before_it_removes(units: UnitsOfWork, database_url: str, tmp_path: Path) -> None:
    """A person couldn't see what a setting would cost before it does."""
    config = tmp_path / "server.yaml"
    config.write_text("retention:\n  episodes_days: 1\n")
    environment = {**os.environ, "HOPPER_CONFIG": str(config)}

    def pruned(*options: str) -> dict[str, object]:
        said = run("db", "prune", "--json", "--database-url", database_url, *options, env=environment)
        answer: dict[str, object] = json.loads(said.stdout)
        return answer

    assert pruned("--dry-run") == {"dry_run": True, "removed": {"episodes": 5}}
    assert len(await ids(units)) == 7
    assert pruned() == {"dry_run": False, "removed": {"episodes": 5}}
    assert await ids(units) == ["open-first", "open-last"]


async def test_the_command_that_only_tells_changes_nothing(postgres_url: str) -> None:
    """Whoever only looks would upgrade the schema, beside servers of the version before."""
    async with fresh_database(postgres_url, "template1") as url:
        await migrate._with_alembic(url, partial(migrate._upgraded, "0018"))
        said = await asyncio.to_thread(run, "db", "prune", "--dry-run", "--database-url", url)
        assert said.returncode == 4
        assert "`hopper db upgrade`" in said.stderr and "Traceback" not in said.stderr
        assert await migrate.revision(url) == "0018"
