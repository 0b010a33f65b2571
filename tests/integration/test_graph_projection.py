"""The graph in a real Neo4j is equal to the truth, whatever happens on the way."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any, TextIO

import asyncpg
import pytest
import structlog
from tests.builders import a_task
from tests.graphs import caught_up, differences, following
from tests.steps import filed, joined
from tests.worlds import NAMES, World

from hopper import bootstrap
from hopper.adapters.neo4j.driver import open_graph
from hopper.adapters.neo4j.queries import Neo4jGraph
from hopper.adapters.neo4j.store import Neo4jStore
from hopper.app.graph import _found_in_neo4j as in_neo4j
from hopper.app.graph import blocked, co_occurrence
from hopper.app.graph_projection import (
    Outdated,
    ask_for_rebuild,
    forget,
    graph_store,
    project_one,
    project_some,
    rebuild,
)
from hopper.app.graph_sync import GraphSync
from hopper.app.lifecycle import create_task, delegate_task
from hopper.app.projections import GRAPH
from hopper.app.tasks import delete_task, edit_task
from hopper.domain.errors import NotFound
from hopper.domain.graph import Graph, Label, Standing
from hopper.domain.graph_answer_models import AnsweredBy
from hopper.domain.task import TaskStatus
from hopper.entrypoints.logs import log_to_stderr
from hopper.ports import Ports
from hopper.ports.graph import GraphQueries
from hopper.ports.memory import Memory
from hopper.services.neo4j_keeper import GraphConnection


@pytest.fixture
async def by_hand(ports: Ports, neo4j: GraphConnection) -> AsyncIterator[Ports]:
    """With a graph that is only written when the test says so."""
    async with open_graph(neo4j.url, neo4j.username, neo4j.password) as driver:
        yield replace(ports, graph=lambda: Neo4jGraph(driver), graph_store=Neo4jStore(driver, "tests"))


async def followed(ports: Ports) -> None:
    async with ports.unit_of_work() as uow:
        await uow.projections.follow(GRAPH, ports.clock.now())
        await uow.commit()
    assert await rebuild(ports=ports)


async def drained(ports: Ports) -> None:
    for _ in range(200):
        async with ports.unit_of_work() as uow:  # what a killed one had claimed comes back with its lease's end
            await uow._connection.execute("UPDATE projection_queue SET not_before = now()")  # type: ignore[attr-defined]
            await uow.commit()
        if await project_some(ports) == 0:
            await graph_store(ports).weigh()
            return
    raise AssertionError("the queue is never empty")


async def asked(graph: GraphQueries, tasks: list[str]) -> dict[str, Any]:
    """Every question about everything."""
    answers: dict[str, Any] = {}

    async def ask(name: str, *arguments: Any) -> None:
        try:
            answers[f"{name}{arguments}"] = await getattr(graph, name)(*arguments)
        except NotFound:
            answers[f"{name}{arguments}"] = None

    for task in tasks:
        for name in ("delegation_chain", "blocked", "needed", "lineage"):
            await ask(name, task)
    for instance in NAMES:
        await ask("hierarchy", instance)
        await ask("routing_patterns", instance, 0.2)
    for name, arguments in {"co_occurrence": (1, 5), "ping_pong": (1, 5), "bottlenecks": (5,), "tags": ()}.items():
        await ask(name, *arguments)
    await ask("standings", NAMES)
    return answers


@pytest.mark.parametrize("seed", range(3))
async def test_any_history_with_crashes_ends_equal_and_both_stores_answer_alike(seed: int, by_hand: Ports) -> None:
    """The graph would drift from the truth, and answers would depend on which store gave them."""
    rng = Random(seed)
    world = World(by_hand, rng.choice)
    await followed(by_hand)
    for _ in range(200):
        await world.step()
        if rng.random() < 0.4:
            projecting = asyncio.ensure_future(project_some(by_hand, rng.choice([1, 3, 100])))
            if rng.random() < 0.5:
                await asyncio.wait([projecting], timeout=rng.random() * 0.03)
                projecting.cancel()
            with suppress(asyncio.CancelledError):
                await projecting
    await drained(by_hand)
    assert await differences(by_hand) == []
    tasks = [f"t{number}" for number in range(200)]
    assert by_hand.graph is not None
    async with by_hand.reading() as uow:
        truth = await asked(uow.graph, tasks)
    assert sum(isinstance(answer, Graph) for answer in truth.values()) > 10
    assert await asked(by_hand.graph(), tasks) == truth


async def test_a_rebuild_while_writes_go_on_ends_equal(by_hand: Ports) -> None:
    """Whatever was written during a rebuild would be missing, and nobody would know."""
    world = World(by_hand, Random(7).choice)
    for _ in range(60):
        await world.step()
    await followed(by_hand)
    for _ in range(3):
        await ask_for_rebuild(ports=by_hand)
        rebuilding = asyncio.ensure_future(rebuild(ports=by_hand))
        while not rebuilding.done():
            await world.step()
        assert await rebuilding
    await drained(by_hand)
    assert await differences(by_hand) == []


async def test_a_rebuild_that_was_broken_off_is_begun_again(by_hand: Ports) -> None:
    """Half a graph would be taken for the whole."""
    for number in range(30):
        await create_task(a_task(id=f"t{number}", tags={"ui": True}), ports=by_hand)
    await followed(by_hand)
    for seconds in (0.0, 0.02, 0.05, 0.1):
        await ask_for_rebuild(ports=by_hand)
        rebuilding = asyncio.ensure_future(rebuild(ports=by_hand))
        await asyncio.wait([rebuilding], timeout=seconds)
        if rebuilding.cancel():
            with suppress(asyncio.CancelledError):
                await rebuilding
            await create_task(a_task(), ports=by_hand)
            async with by_hand.reading() as uow:
                unfinished = (await uow.projections.state(GRAPH)).rebuilding  # its last step may have been done
            with pytest.raises(Outdated) if unfinished else nullcontext():
                await project_some(by_hand)
    assert await rebuild(ports=by_hand)
    await drained(by_hand)
    assert await differences(by_hand) == []


async def test_what_the_graph_lacks_has_or_says_otherwise_is_found(by_hand: Ports, neo4j: GraphConnection) -> None:
    """A check that finds nothing would prove nothing."""
    await joined(by_hand, "a")
    for number in range(3):
        await create_task(a_task(id=f"t{number}", tags={"ui": True, "api": True}, instance_id="a"), ports=by_hand)
    await followed(by_hand)
    assert await differences(by_hand) == []
    async with open_graph(neo4j.url, neo4j.username, neo4j.password) as driver:
        for statement in (
            "MATCH (t:Task {id: 't0'}) DETACH DELETE t",
            "MATCH (t:Task {id: 't1'}) SET t.title = 'otherwise'",
            "MATCH (:Task {id: 't2'})<-[r:MANAGES]-() DELETE r",
            "CREATE (:Instance {id: 'nobody', name: 'nobody'})",
            "MATCH (:Tag)-[r:CO_OCCURS_WITH]->(:Tag) SET r.weight = 0.5",
        ):
            await driver.run(statement, 10)
    found = await differences(by_hand)
    assert {
        "missing Task t0",
        "different Task t1",
        "missing MANAGES a t2",
        "extra Instance nobody",
        "different CO_OCCURS_WITH api ui",
    } <= set(found)


async def test_several_servers_share_one_graph(database_url: str, neo4j: GraphConnection) -> None:
    """Two servers would count tags twice, or undo each other's work."""
    async with following(database_url, lambda: neo4j) as one, following(database_url, lambda: neo4j) as other:
        await caught_up(one)
        worlds = [World(server, Random(seed).choice) for seed, server in ((1, one), (1, other))]
        for _ in range(60):
            await asyncio.gather(*(world.step() for world in worlds), return_exceptions=True)
        await caught_up(one)
        assert await differences(one) == []


async def test_a_write_is_in_the_graph_when_it_returns_if_that_is_wanted(
    database_url: str, neo4j: GraphConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever chose sync_on_write would read an answer older than their own write."""
    monkeypatch.setattr(bootstrap, "_SYNC_SECONDS", 20.0)  # the machine may have much else to do
    async with following(database_url, lambda: neo4j, sync_on_write=True, async_sync=False) as ports:
        await caught_up(ports)
        assert ports.graph is not None
        for _ in range(10):
            task = await filed(ports, tags={"ui": True})
            assert [node.id for node in (await ports.graph().blocked(task.id)).nodes] == [task.id]
        await delete_task(task.id, ports=ports)
        with pytest.raises(NotFound):
            await ports.graph().blocked(task.id)


def full() -> TextIO:
    return Path("/dev/full").open("w")


def closed() -> TextIO:
    file = StringIO()
    file.close()
    return file


@pytest.mark.parametrize("log", [full, closed])
async def test_a_log_that_cannot_be_written_stops_no_worker(
    log: Callable[[], TextIO], database_url: str, neo4j: GraphConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the log's disk was full, or its terminal gone, there would be no graph until the server's next start."""
    file = log()
    log_to_stderr()
    monkeypatch.setattr(sys, "stderr", file)
    try:
        async with following(database_url, lambda: neo4j) as ports:
            await filed(ports)
            await caught_up(ports)
    finally:
        structlog.reset_defaults()
        with suppress(OSError):
            file.close()


async def test_nobody_waits_for_a_transaction_of_another_database(
    postgres_url: str, database_url: str, neo4j: GraphConnection
) -> None:
    """While some other application on the same PostgreSQL is in the middle of something, there would be no graph."""
    elsewhere = await asyncpg.connect(postgres_url)
    try:
        async with elsewhere.transaction():
            await elsewhere.execute("SELECT pg_current_xact_id()")
            async with following(database_url, lambda: neo4j) as ports:
                await filed(ports)
                await caught_up(ports)
    finally:
        await elsewhere.close()


async def test_a_graph_is_followed_from_the_first_write_on(
    database_url: str, ports: Ports, neo4j: GraphConnection
) -> None:
    """What a server without a graph wrote would be missing from the graph that another one fills."""
    before = await filed(ports)
    async with following(database_url, lambda: neo4j) as other:
        await caught_up(other)
        after = await filed(ports)  # by the server that has no graph
        await caught_up(other)
        assert await differences(other) == []
        assert other.graph_store is not None
        held = await other.graph_store.units(Label.TASK, "", None)
        assert {unit.node.id for unit in held} == {before.id, after.id}


async def test_one_entity_can_be_brought_to_the_graph_at_once(by_hand: Ports) -> None:
    """Whoever knows what they have changed would have to wait for everything that was queued before."""
    await followed(by_hand)
    sync = GraphSync(by_hand)
    instance = await joined(by_hand, "a")
    task = await filed(by_hand, tags={"ui": True, "api": True})
    delegation = await delegate_task(task.id, "a", ports=by_hand)
    assert by_hand.graph is not None
    await sync.sync_instance(instance)
    assert [node.id for node in (await by_hand.graph().hierarchy("a")).nodes] == ["a"]
    await sync.sync_delegation(delegation)
    chain = await by_hand.graph().delegation_chain(task.id)
    assert [edge.properties["delegation_id"] for edge in chain.edges] == [delegation.id]
    changed = await edit_task(task.id, {"tags": {"api": True}}, ports=by_hand)
    await sync.sync_task_tags(changed)
    assert [(tag.name, tag.tasks) for tag in await by_hand.graph().tags()] == [("api", 1)]
    await drained(by_hand)
    assert await differences(by_hand) == []


async def test_tasks_with_many_tags_are_written_a_few_at_a_time(by_hand: Ports) -> None:
    """One batch of them would be more than the graph database can hold in memory, again and again."""
    await followed(by_hand)
    for number in range(40):
        await create_task(a_task(id=f"t{number}", tags={f"n{at}": True for at in range(60)}), ports=by_hand)
    assert await project_some(by_hand) == 40
    async with by_hand.reading() as uow:
        assert await uow.queue.depth(GRAPH) == 0
    assert await differences(by_hand) == []


async def test_how_often_tags_come_together_is_right_before_weights_are_worked_out(by_hand: Ports) -> None:
    """Whoever asks Neo4j would be told other weights than PostgreSQL tells, for half a minute after each write."""
    await followed(by_hand)
    for tags in (("api", "ui"), ("api", "ui", "db"), ("api",)):
        await create_task(a_task(tags=dict.fromkeys(tags, True)), ports=by_hand)
    await project_some(by_hand)
    assert by_hand.graph is not None
    async with by_hand.reading() as uow:
        truth = await uow.graph.co_occurrence(0, 10)
    assert len(truth.edges) == 3
    assert await by_hand.graph().co_occurrence(0, 10) == truth


async def test_what_is_half_written_is_no_answer(by_hand: Ports) -> None:
    """Neo4j shows a commit record by record. Somebody would be told what never was true, for as long as it is kept."""
    await joined(by_hand, "a")
    await followed(by_hand)
    number = 400
    ids = [(await filed(by_hand, instance_id="a")).id for _ in range(number)]
    await drained(by_hand)

    async def asked_while(writing: "asyncio.Future[int]", remembered: int | None, truth: int) -> list[int]:
        found = []
        while not writing.done():
            asking = replace(by_hand, memory=Memory())  # another server, which asked last before this
            asking.memory.graph_applied = remembered
            told = await in_neo4j(late_standings, asking)
            if told is not None:
                found.append(told[0]["a"].open_tasks)
            await asyncio.sleep(0.002)
        assert set(found) <= {truth}
        return found

    async def late_standings(graph: GraphQueries) -> Mapping[str, Standing]:
        found = await graph.standings(["a"])
        await asyncio.sleep(0.03)
        return found

    for turn in range(8):
        async with by_hand.reading() as uow:
            remembered = (await uow.projections.state(GRAPH)).applied
        status = TaskStatus.DONE if turn % 2 == 0 else TaskStatus.PENDING
        async with by_hand.unit_of_work() as uow:
            connection = uow._connection  # type: ignore[attr-defined]
            await connection.execute("UPDATE tasks SET status = $1 WHERE instance_id = 'a'", status)
            await uow.queue.enqueue([(GRAPH, "task", id) for id in ids])
            await uow.commit()
        writing = asyncio.ensure_future(project_some(by_hand))
        await asked_while(writing, remembered, 0 if turn % 2 == 0 else number)
        assert await writing == number


async def test_after_forget_the_graph_answers_nothing(by_hand: Ports) -> None:
    """What is written from then on isn't put on its queue, so that it would answer from the past for ever."""
    await joined(by_hand, "a")
    await followed(by_hand)
    task = await filed(by_hand)
    await drained(by_hand)
    await forget(ports=by_hand)
    await filed(by_hand, depends_on=(task.id,))
    await project_one(Label.INSTANCE, "a", ports=by_hand)
    answer = await blocked(task.id, 10, ports=by_hand)
    assert (answer.total, answer.answered_by) == (1, AnsweredBy.POSTGRESQL)


async def test_an_answer_that_is_empty_is_neo4js_too(by_hand: Ports) -> None:
    """Both stores would be asked each time that there is nothing to tell."""
    await followed(by_hand)
    assert (await co_occurrence(5, 10, ports=by_hand)).answered_by is AnsweredBy.NEO4J


async def test_a_graph_that_is_ahead_of_the_truth_is_not_written_on(by_hand: Ports, neo4j: GraphConnection) -> None:
    """After PostgreSQL was restored from a backup, the next write would make what was lost there part of the graph."""
    await followed(by_hand)
    async with open_graph(neo4j.url, neo4j.username, neo4j.password) as driver:
        await driver.run("MATCH (p:HopperProjection) SET p.position = p.position + 1", 10)
    await filed(by_hand)
    with pytest.raises(Outdated):
        await project_some(by_hand)


async def test_what_is_there_twice_is_found(by_hand: Ports, neo4j: GraphConnection) -> None:
    """A check that looks at names alone would call a graph equal that counts everything twice."""
    await create_task(a_task(id="t", tags={"ui": True}), ports=by_hand)
    await followed(by_hand)
    async with open_graph(neo4j.url, neo4j.username, neo4j.password) as driver:
        await driver.run("MATCH (t:Task)-[:HAS_TAG]->(g:Tag) CREATE (t)-[:HAS_TAG]->(g)", 10)
    assert await differences(by_hand) == ["extra HAS_TAG t ui"]
