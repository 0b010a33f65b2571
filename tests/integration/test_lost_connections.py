"""What a connection that breaks off in the middle of work ends in."""

from contextlib import suppress

import asyncpg
import pytest
from tests.builders import a_task

from hopper.adapters.postgres.sql import BROKEN
from hopper.domain.errors import Unavailable
from hopper.ports import Ports


async def terminated(database_url: str) -> None:
    """End all of Hopper's sessions, as an administrator may, or a PostgreSQL that goes down."""
    connection = await asyncpg.connect(database_url)
    await connection.fetch(
        """SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
           WHERE datname = current_database() AND application_name = 'hopper'"""
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
