"""Whatever happens to the graph database, no write fails or waits for it, and afterwards it is equal to the truth."""

import asyncio
import resource
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urlsplit

import psutil
import pytest
from tests.builders import a_task
from tests.graphs import caught_up, differences, following
from tests.steps import filed, joined

from hopper.adapters.neo4j.driver import open_graph
from hopper.app import graph_projection
from hopper.app.graph import blocked
from hopper.app.graph_audit import graph_status
from hopper.app.lifecycle import create_task, delegate_task
from hopper.domain.errors import Conflict
from hopper.domain.graph_answer_models import AnsweredBy
from hopper.ports import Ports
from hopper.ports.graph import GraphLoader
from hopper.ports.memory import Progress
from hopper.services.neo4j import EmbeddedNeo4j
from hopper.services.neo4j_keeper import GraphConnection

BOUND = 2.0
"""Seconds that a write takes at most, whatever the graph does: it waits half a second for the graph, and the machine
may be busy."""


@asynccontextmanager
async def written_along(database_url: str, address: Callable[[], GraphConnection | None]) -> AsyncIterator[Ports]:
    """With every write waiting for the graph, as long as that may be."""
    async with following(database_url, address, sync_on_write=True) as ports:
        yield ports


async def write(ports: Ports, times: int = 5) -> None:
    """Writes of every kind, none of which may fail or be slow."""
    for _ in range(times):
        began = monotonic()
        task = await filed(ports, tags={"ui": True, "api": "v2"})
        assert monotonic() - began < BOUND
        began = monotonic()
        await delegate_task(task.id, "a", ports=ports)
        assert monotonic() - began < BOUND


async def troubled(ports: Ports, by: str = "") -> str:
    """What the graph's trouble is, once there is one that says this."""
    until = monotonic() + 30
    while not (trouble := (await graph_status(ports=ports)).trouble) or by not in trouble:
        assert monotonic() < until, "nobody noticed"
        await asyncio.sleep(0.05)
    return trouble


def killed(server: EmbeddedNeo4j) -> None:
    """As by the kernel, for want of memory."""
    process = psutil.Process(int((server.data / "run" / "neo4j.pid").read_text()))
    process.kill()
    with suppress(psutil.Error):
        process.wait(10)
    while server.is_running():
        sleep(0.05)


async def test_it_may_be_down_at_the_start(
    database_url: str, neo4j: GraphConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server would depend on a graph database that it can do without, or would tell for minutes, while that is being
    filled, that it isn't there."""
    filled_with: list[str | None] = []
    load = graph_projection._load

    async def loading(graph: GraphLoader, progress: Progress, ports: Ports) -> None:
        filled_with.append((await graph_status(ports=ports)).trouble)
        await load(graph, progress, ports)

    monkeypatch.setattr(graph_projection, "_load", loading)
    where: list[GraphConnection | None] = [None]
    async with written_along(database_url, lambda: where[0]) as ports:
        await joined(ports, "a")
        await write(ports)
        task = await filed(ports)
        assert (await blocked(task.id, 10, ports=ports)).answered_by is AnsweredBy.POSTGRESQL
        where[0] = GraphConnection("bolt://127.0.0.1:9", "neo4j", "nobody is there")
        assert "can't be reached" in await troubled(ports, "Neo4j at")
        await write(ports)
        where[0] = neo4j
        await caught_up(ports)
        assert await differences(ports) == []
        assert (await blocked(task.id, 11, ports=ports)).answered_by is AnsweredBy.NEO4J
    assert filled_with == [None]


async def killed_in_a_batch(ports: Ports, server: EmbeddedNeo4j, pause: float) -> None:
    tasks = [create_task(a_task(tags={"ui": True, f"n{at % 7}": True}), ports=ports) for at in range(300)]
    writing = asyncio.gather(*tasks)
    await asyncio.sleep(pause)
    await asyncio.to_thread(killed, server)
    await writing
    await write(ports)


async def test_it_may_be_killed_during_a_batch_and_come_back_as_an_older_copy(
    database_url: str, neo4j: GraphConnection, neo4j_server: EmbeddedNeo4j, tmp_path: Path
) -> None:
    """A batch would be half there, or be counted twice. Or what was written since a copy would be missing for good: it
    isn't in the queue any more."""
    async with written_along(database_url, lambda: neo4j) as ports:
        await caught_up(ports)
        await joined(ports, "a")
        await killed_in_a_batch(ports, neo4j_server, 0.1)
        shutil.copytree(neo4j_server.data / "data", tmp_path / "copy")
        await asyncio.to_thread(neo4j_server.start)
        assert neo4j_server.url == neo4j.url
        await caught_up(ports, 60)
        assert await differences(ports) == []
        await killed_in_a_batch(ports, neo4j_server, 0.3)
        shutil.rmtree(neo4j_server.data / "data")
        shutil.copytree(tmp_path / "copy", neo4j_server.data / "data")
        await asyncio.to_thread(neo4j_server.start)
        await caught_up(ports, 60)
        assert await differences(ports) == []


async def test_it_may_be_wiped(database_url: str, neo4j: GraphConnection) -> None:
    """Somebody who emptied it would have to know that it needs a rebuild."""
    async with written_along(database_url, lambda: neo4j) as ports:
        await joined(ports, "a")
        await write(ports)
        await caught_up(ports)
        async with open_graph(neo4j.url, neo4j.username, neo4j.password) as driver:
            await driver.run("MATCH (n) DETACH DELETE n", 30)
            until = monotonic() + 30
            while not await driver.read("MATCH (t:Task) RETURN t.id LIMIT 1", {}):  # nobody writes meanwhile
                assert monotonic() < until
                await asyncio.sleep(0.1)
            await caught_up(ports)
            assert await differences(ports) == []
            await driver.run("MATCH (n) DETACH DELETE n", 30)
            await write(ports)
            await caught_up(ports)
            assert await differences(ports) == []


async def test_it_may_be_newer_than_the_truth(database_url: str, neo4j: GraphConnection) -> None:
    """After PostgreSQL was restored from a backup, what was lost there would live on in the graph."""
    async with written_along(database_url, lambda: neo4j) as ports:
        await filed(ports)
        await caught_up(ports)
        async with open_graph(neo4j.url, neo4j.username, neo4j.password) as driver:
            await driver.run("MATCH (p:HopperProjection) SET p.position = p.position + 1000", 10)
            await driver.run("CREATE (:Task {id: 'lost'})", 10)
        until = monotonic() + 30
        while not await is_equal(ports):
            assert monotonic() < until
            await asyncio.sleep(0.2)


async def is_equal(ports: Ports) -> bool:
    try:
        return not await differences(ports)
    except Conflict:  # it is being built anew
        return False


async def test_it_may_take_five_seconds_for_an_answer(database_url: str, neo4j: GraphConnection) -> None:
    """Every write would take five seconds, too."""
    async with slow(neo4j) as (through, delay), written_along(database_url, lambda: through) as ports:
        await joined(ports, "a")
        await caught_up(ports)
        delay[0] = 5.0
        began = monotonic()
        await write(ports, times=10)
        assert monotonic() - began < 8  # twenty that each waited half a second would take ten
        delay[0] = 0.0
        await caught_up(ports, 60)
        assert await differences(ports) == []


async def test_its_disk_may_be_full(database_url: str, neo4j: GraphConnection, neo4j_server: EmbeddedNeo4j) -> None:
    """A full disk of the graph's would stop the work of everyone."""
    async with written_along(database_url, lambda: neo4j) as ports:
        await joined(ports, "a")
        await caught_up(ports)
        process = psutil.Process(int((neo4j_server.data / "run" / "neo4j.pid").read_text()))
        before = resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        try:
            await write(ports, times=20)
            assert await troubled(ports)
            await write(ports)
            assert neo4j_server.is_broken()
        finally:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, before)
            # There is room again, but it has stopped working; so the keeper does this.
            await asyncio.to_thread(neo4j_server.restart)
        await caught_up(ports, 60)
        assert await differences(ports) == []


async def test_it_may_refuse_the_credentials(database_url: str, neo4j: GraphConnection) -> None:
    """Trying a wrong password again and again would lock the account."""
    where = [GraphConnection(neo4j.url, neo4j.username, "wrong-Quillon")]
    async with written_along(database_url, lambda: where[0]) as ports:
        await joined(ports, "a")
        trouble = await troubled(ports)
        assert "database.neo4j.password" in trouble
        assert "Quillon" not in trouble
        await write(ports)
        where[0] = neo4j
        await caught_up(ports, 60)
        assert await differences(ports) == []


@asynccontextmanager
async def slow(neo4j: GraphConnection) -> AsyncIterator[tuple[GraphConnection, list[float]]]:
    """The same Neo4j, whose every answer is so many seconds late."""
    delay = [0.0]
    server = urlsplit(neo4j.url)
    piping: set[asyncio.Task[None]] = set()

    async def pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter, late: Callable[[], float]) -> None:
        with suppress(OSError, asyncio.CancelledError):
            while data := await source.read(65_536):
                await asyncio.sleep(late())
                target.write(data)
                await target.drain()
        target.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(server.hostname, server.port)
        for source, target, late in ((reader, back, lambda: 0.0), (there, writer, lambda: delay[0])):
            task = asyncio.create_task(pipe(source, target, late))
            piping.add(task)
            task.add_done_callback(piping.discard)

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield GraphConnection(f"bolt://127.0.0.1:{port}", neo4j.username, neo4j.password), delay
    finally:
        listening.close()
        for task in tuple(piping):
            task.cancel()
