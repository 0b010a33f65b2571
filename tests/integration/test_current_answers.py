"""Answers about the graph: kept while they are current, never older than a write."""

import asyncio

import pytest
from tests.builders import a_task
from tests.graphs import caught_up, following
from tests.steps import filed, joined

from hopper.adapters.neo4j.driver import open_graph
from hopper.app.graph import blocked, co_occurrence, hierarchy
from hopper.app.lifecycle import create_task
from hopper.domain.errors import NotFound
from hopper.domain.graph_answer_models import AnsweredBy
from hopper.ports import Ports
from hopper.services.neo4j_keeper import GraphConnection


async def hits(ports: Ports) -> int:
    return ports.memory.graph_answers.hits


async def test_an_answer_is_kept_and_never_older_than_a_write(ports: Ports) -> None:
    """A person would add a dependency and not see it, or the same question would cost the same each time."""
    first = await filed(ports)
    for number in range(1, 6):
        await create_task(a_task(id=f"n{number}", depends_on=(first.id,)), ports=ports)
        for _ in range(3):
            assert (await blocked(first.id, 100, ports=ports)).total == number
    assert await hits(ports) == 10


async def test_another_servers_write_counts_at_once(database_url: str, ports: Ports, neo4j: GraphConnection) -> None:
    """Which server answers would matter."""
    first = await filed(ports)
    assert (await blocked(first.id, 100, ports=ports)).total == 0
    async with following(database_url, lambda: neo4j) as other:
        await filed(other, depends_on=(first.id,))
        assert (await blocked(first.id, 100, ports=ports)).total == 1


async def test_writers_and_readers_at_the_same_time_never_see_the_past(ports: Ports) -> None:
    """An answer that was worked out while somebody wrote could be kept as if it were newer."""
    first = await filed(ports)
    written = 0

    async def write() -> None:
        nonlocal written
        for number in range(40):
            await create_task(a_task(id=f"n{number}", depends_on=(first.id,)), ports=ports)
            written += 1

    async def read() -> None:
        while written < 40:
            before = written
            assert (await blocked(first.id, 100, ports=ports)).total >= before

    await asyncio.gather(write(), *(read() for _ in range(4)))


async def test_a_graph_that_lags_behind_keeps_nothing_old(database_url: str, neo4j: GraphConnection) -> None:
    """What Neo4j didn't know yet would be kept as the truth."""
    async with following(database_url, lambda: neo4j) as ports:
        await joined(ports, "a")
        await caught_up(ports)
        answer = await hierarchy("a", 10, ports=ports)
        assert answer.answered_by is AnsweredBy.NEO4J
        first = await filed(ports)
        for number in range(1, 31):
            await create_task(a_task(depends_on=(first.id,)), ports=ports)
            assert (await blocked(first.id, 100, ports=ports)).total == number
        await caught_up(ports)
        assert (await blocked(first.id, 99, ports=ports)).answered_by is AnsweredBy.NEO4J
        with pytest.raises(NotFound):
            await blocked("nobody", 10, ports=ports)


async def test_an_emptied_graph_answers_nothing(database_url: str, neo4j: GraphConnection) -> None:
    """Until somebody notices, and for as long as nothing changes, there would be nothing to tell of any tag."""
    async with following(database_url, lambda: neo4j) as ports:
        for _ in range(3):
            await filed(ports, tags={"ui": True, "api": True})
        await caught_up(ports)
        async with open_graph(neo4j.url, neo4j.username, neo4j.password) as driver:
            await driver.run("MATCH (n) DETACH DELETE n", 30)
        answer = await co_occurrence(1, 10, ports=ports)
        assert len(answer.pairs) == 1
