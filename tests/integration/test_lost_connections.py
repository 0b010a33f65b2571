"""What a connection that breaks off in the middle of work ends in."""

import random
import socket
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from tests.builders import a_task
from tests.conftest import execute
from tests.torture.wires import wired

from hopper.adapters.postgres.sql import BROKEN
from hopper.adapters.postgres.turns import PostgresTurns
from hopper.adapters.postgres.unit_of_work import open_pool
from hopper.domain.errors import Unavailable
from hopper.ports import Ports


async def terminated(url: str, database: str | None = None) -> None:
    """End all of Hopper's sessions in a database, the address's own or another one, as an administrator may, or a
    PostgreSQL that goes down."""
    connection = await asyncpg.connect(url)
    await connection.fetch(
        """SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
           WHERE datname = coalesce($1, current_database()) AND application_name ~ '^hopper( [0-9]+)?$'""",
        database,
    )
    await connection.close()


@pytest.mark.parametrize("noticed", [False, True])
async def test_a_unit_of_work_says_that_the_database_is_away(ports: Ports, database_url: str, noticed: bool) -> None:
    """People would be told of a bug in Hopper, and programs wouldn't try again."""
    with pytest.raises(Unavailable):
        async with ports.unit_of_work() as uow:
            await uow.tasks.add(a_task(id="t"))
            await terminated(database_url)
            if noticed:  # the pool has taken the connection back by now
                with suppress(*BROKEN):
                    await uow.tasks.missing(["t"])
            await uow.tasks.missing(["t"])
    async with ports.unit_of_work() as uow:
        assert await uow.tasks.missing(["t"]) == {"t"}


async def test_a_turn_ends_with_its_connection(ports: Ports, database_url: str) -> None:
    """Whoever had worked undisturbed would be told that it failed, or nobody would ever have a turn again."""
    async with ports.turns.take("work", 0) as taken:
        assert taken
        await terminated(database_url)
    async with ports.turns.take("work", 0) as taken:
        assert taken


async def test_who_goes_on_without_a_turn_holds_no_connection_for_it(database_url: str) -> None:
    """Imports that have waited for long would have two connections each, until nobody else had one."""
    pool = await open_pool(database_url, 2)
    try:
        turns = PostgresTurns(pool)
        async with turns.take("work", 0) as first, turns.take("work", 0) as second:
            assert (first, second) == (True, False)
            async with pool.acquire(timeout=1):
                pass
    finally:
        await pool.close()


async def test_a_database_that_lets_nobody_in_is_away(ports: Ports, postgres_url: str, database_url: str) -> None:
    """People would be told of a bug in Hopper while somebody keeps the database closed, or its disk is full."""
    name = urlsplit(database_url).path.lstrip("/")
    entry = f"ALTER DATABASE {name} ALLOW_CONNECTIONS"
    await execute(postgres_url, f"{entry} false")
    await terminated(postgres_url, name)
    with pytest.raises(Unavailable):
        async with ports.unit_of_work():
            pass
    await execute(postgres_url, f"{entry} true")
    async with ports.unit_of_work() as uow:
        assert await uow.tasks.missing(["t"]) == {"t"}


async def test_a_connection_over_the_network_is_asked_whether_it_lives(postgres_url: str) -> None:
    """After a router forgot them, or a machine lost its power, each of the pool's connections would keep a request
    until that is given up. (With two network namespaces and a black hole between them: 20 seconds, all at once.)"""
    directory = parse_qs(urlsplit(postgres_url).query)["host"][0]
    async with wired(f"{directory}/.s.PGSQL.5432", random.Random(1)) as wires:
        pool = await open_pool(wires.url, 1)
        try:
            async with pool.acquire() as connection:
                transport = connection._transport  # asyncpg has no public way to it
                end = transport.get_extra_info("socket")
                assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 5
        finally:
            await pool.close()
