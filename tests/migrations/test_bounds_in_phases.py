"""Keys that are bound to a part of the tree while the schema changes under both versions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from tests.conftest import fresh_database
from tests.migrations.bound import HIDDEN, Seen, make_older_views, plant, seen_by_older, seen_by_this
from tests.migrations.previous import ADD_EPISODE
from tests.migrations.test_phases import CHANGE, killed_at

from hopper.adapters.postgres import bounds, migrate
from hopper.adapters.postgres.schema import metadata
from hopper.adapters.postgres.unit_of_work import open_pool
from hopper.domain.errors import Unavailable


@pytest.fixture
async def before(postgres_url: str) -> AsyncIterator[str]:
    """A database of 0018."""
    async with fresh_database(postgres_url, "template1") as url:
        await migrate._with_alembic(url, partial(migrate._upgraded, "0018"))
        async with pool_of(url) as pool:
            await plant(pool)
        yield url


@asynccontextmanager
async def pool_of(url: str) -> AsyncIterator[Any]:
    pool = await open_pool(url, 2)
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def older_server(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the version before, just started."""
    connection = await asyncpg.connect(url, server_settings={"application_name": "hopper", "lock_timeout": "5s"})
    try:
        await make_older_views(connection)
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def keeps_seeing(see: Callable[[Any], Awaitable[Seen]], by: Any, expected: Seen) -> AsyncIterator[None]:
    """The same all the while, without a request that fails."""
    stopped = asyncio.Event()

    async def look() -> int:
        times = 0
        while not stopped.is_set():
            assert await see(by) == expected
            times += 1
        return times

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        stopped.set()
        assert await looking > 1


async def test_a_bound_key_sees_the_same_before_in_each_phase_and_after(before: str) -> None:
    """Bound keys would be refused for as long as an older server runs, or see what is others'."""
    async with older_server(before) as older:
        known = await seen_by_older(older)
        assert [row for found in known.values() for row in found if HIDDEN in row] == []
        assert {"tasks", "routing_episodes", "task_delegations", "routing_patterns"} <= {
            k for k, v in known.items() if v
        }
        async with keeps_seeing(seen_by_older, older, known):
            assert await asyncio.to_thread(killed_at, before, "decisions copied")
            async with pool_of(before) as new:
                expected = await seen_by_this(new)
                assert {name: expected[name] for name in known} == known
                assert HIDDEN not in repr(expected)
                async with keeps_seeing(seen_by_this, new, expected):
                    assert await asyncio.to_thread(killed_at, before, "their embeddings copied")
                    await migrate.upgrade(before)
                    assert await migrate.revision(before) == "0018"
    async with pool_of(before) as new, keeps_seeing(seen_by_this, new, expected):
        assert await migrate.upgrade(before) is True
        assert await migrate.revision(before) == migrate.HEAD
    await migrate.check(before)


async def test_views_of_a_version_before_are_not_read(before: str) -> None:
    """An older server that is started meanwhile makes its views; a table that they lack would be seen as it is."""
    async with older_server(before) as older:
        known = await seen_by_older(older)
        await migrate.upgrade(before)
        async with pool_of(before) as new:
            expected = await seen_by_this(new)
            await make_older_views(older)
            with pytest.raises(Unavailable, match="db upgrade"):
                await seen_by_this(new)
            assert await seen_by_older(older) == known
            await migrate.upgrade(before)  # as every server of this version does after some seconds
            assert await seen_by_this(new) == expected
            assert await seen_by_older(older) == known


async def test_a_later_version_s_views_are_left_to_it(database_url: str) -> None:
    """A server of this version that is started while a later one changes the schema would refuse its bound keys."""
    later = bounds.views(metadata.tables, "9999")
    connection = await asyncpg.connect(database_url)
    async with connection.transaction():
        await later.make(connection)
    assert await migrate.upgrade(database_url) is False
    await migrate.check(database_url)
    assert await connection.fetchval(bounds.SAID) == later.said
    await connection.close()
    async with pool_of(database_url) as pool:
        assert (await seen_by_this(pool))["tasks"] == []


async def test_views_that_name_what_comes_later_hold_nothing_up(before: str) -> None:
    """Whoever skips a release would have a change that can't be ended, or older servers that bound keys can't ask."""
    views = bounds.views([*metadata.tables, "made_later"], migrate.HEAD)
    said: list[str] = []
    new = await asyncpg.connect(before)
    async with older_server(before) as older:
        known = await seen_by_older(older)
        assert await CHANGE.carry_out(new, views, said.append) is False
        assert await seen_by_older(older) == known
    assert await CHANGE.carry_out(new, views, said.append) is True
    await new.close()
    assert await migrate.upgrade(before) is True
    await migrate.check(before)


async def test_a_user_of_its_own_is_let_in_all_the_while(before: str) -> None:
    """Where servers' user isn't the tables' owner, they couldn't store a decision, and bound keys would be refused."""
    user = f"limited_{uuid4().hex[:8]}"
    owner = await asyncpg.connect(before)
    await make_older_views(owner)
    try:
        await owner.execute(f"CREATE ROLE {user}; GRANT USAGE ON SCHEMA hopper_bound TO {user}")
        for schema in ("public", bounds.SCHEMA):
            await owner.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user}")
        await owner.execute(
            f"""ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO {user};
                ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {user}"""
        )
        settings = {"application_name": "hopper", "role": user}
        older = await asyncpg.connect(before, server_settings=settings)
        known = await seen_by_older(older)
        await migrate.upgrade(before)
        assert await seen_by_older(older) == known
        await older.execute(ADD_EPISODE, "late", f"{HIDDEN}-task", HIDDEN)
        async with pool_of(f"{before}&role={user}") as new:
            expected = await seen_by_this(new)
            await older.close()
            await migrate.upgrade(before)
            assert await seen_by_this(new) == expected
    finally:
        await owner.execute(f"DROP OWNED BY {user}; DROP ROLE {user}")
        await owner.close()
