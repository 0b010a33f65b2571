"""The graph in Neo4j beside bare Cypher and SQL: questions, building it anew, its lag, and what it costs creates."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import Any
from urllib.request import Request, urlopen

import asyncpg
import numpy as np
import uvloop
from neo4j import READ_ACCESS, AsyncDriver, AsyncGraphDatabase

from bench import graph_world, servers
from bench.asking import KEYED
from bench.figures import Figure
from bench.load import Load, create_tasks
from bench.servers import Server
from hopper.adapters.neo4j import queries
from hopper.adapters.neo4j.driver import open_graph
from hopper.adapters.neo4j.queries import Neo4jGraph
from hopper.adapters.neo4j.store import Neo4jStore
from hopper.adapters.postgres import migrate
from hopper.app import graph
from hopper.app.graph_projection import rebuild
from hopper.app.lifecycle import create_task
from hopper.app.projections import GRAPH
from hopper.bootstrap import open_hopper
from hopper.config import load_settings
from hopper.domain.ids import new_id
from hopper.domain.task import Task
from hopper.ports import Ports
from hopper.ports.kept_answers import KeptAnswers
from hopper.services.neo4j import EmbeddedNeo4j
from hopper.services.neo4j_keeper import GraphConnection
from hopper.services.postgres import EmbeddedPostgres

LIMIT = 100
WRITES_A_SECOND = 500
WRITING_SECONDS = 20
CLIENTS = 16
ROUNDS = 5
REQUESTS = 10_000
_LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Question:
    """As it is asked of Hopper, and as the statement and parameters that it becomes; `label`: what it starts from."""

    name: str
    ask: Callable[..., Awaitable[object]]
    statement: str
    label: str = ""
    times: int = 100
    arguments: tuple[object, ...] = ()
    parameters: tuple[tuple[str, object], ...] = ()


_OPEN = ("open", ["pending", "in_progress"])

QUESTIONS = (
    Question("delegation chain", graph.delegation_chain, queries._DELEGATION_CHAIN, "Task"),
    Question("blocked", graph.blocked, queries._BLOCKED, "Task"),
    Question("impact", graph.impact, queries._BLOCKED, "Task"),
    Question("critical path", graph.critical_path, queries._NEEDED, "Task"),
    Question("lineage", graph.lineage, queries._LINEAGE, "Task"),
    Question("hierarchy", graph.hierarchy, queries._HIERARCHY, "Instance"),
    Question(
        "routing patterns",
        graph.routing_patterns,
        queries._ROUTING_PATTERNS,
        "Instance",
        arguments=(0.5,),
        parameters=(("min_confidence", 0.5),),
    ),
    Question(
        "co-occurrence",
        graph.co_occurrence,
        queries._CO_OCCURRENCE,
        times=20,
        arguments=(5,),
        parameters=(("more_than", 5), ("limit", LIMIT + 1)),
    ),
    Question(
        "ping-pong",
        graph.ping_pong,
        queries._PING_PONG,
        times=10,
        arguments=(1,),
        parameters=(("at_least", 1), ("limit", LIMIT + 1)),
    ),
    Question(
        "bottlenecks",
        graph.bottlenecks,
        queries._BOTTLENECKS,
        times=10,
        parameters=(_OPEN, ("limit", LIMIT + 1)),
    ),
    Question("tag hygiene", graph.hygiene, queries._TAGS, times=20),
)


def measure() -> list[Figure]:
    """Building and asking in one world, lag in the same, and two servers in turns."""
    with (
        TemporaryDirectory(prefix="hopper-bench-") as place,
        EmbeddedPostgres(Path(place), exclusive=False) as postgres,
        EmbeddedNeo4j(Path(place)) as neo4j,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        address = GraphConnection(neo4j.url, neo4j.username, neo4j.password)
        url = servers.create_database(postgres.url, "world")
        figures = runner.run(_world(url, address))
        figures += runner.run(_lag(url, address))
    return figures + _creates()


async def _world(url: str, address: GraphConnection) -> list[Figure]:
    await migrate.upgrade(url)
    connection = await asyncpg.connect(url)
    await graph_world.make(connection)
    await connection.close()
    auth = (address.username, address.password)
    async with (
        open_hopper(load_settings(), url) as ports,
        open_graph(address.url, *auth) as ours,
        AsyncGraphDatabase.driver(address.url, auth=auth) as bare,
    ):
        async with ports.unit_of_work() as uow:
            identity = await uow.projections.identity(GRAPH)
            await uow.projections.follow(GRAPH, ports.clock.now())
            await uow.commit()
        with_graph = replace(ports, graph=lambda: Neo4jGraph(ours), graph_store=Neo4jStore(ours, identity))
        began = perf_counter()
        await rebuild(ports=with_graph)
        took = perf_counter() - began
        nodes, edges = [
            (await _rows(bare, statement, {}))[0][0]
            for statement in ("MATCH (n) RETURN count(n)", "MATCH ()-[e]->() RETURN count(e)")
        ]
        figures = [
            Figure(name="rebuilding, nodes a second", value=nodes / took, unit="/s", goal=20_000),
            Figure(name="rebuilding, edges a second", value=edges / took, unit="/s"),
        ]
        for question in QUESTIONS:
            figures += await _asked(question, with_graph, ports, bare)
    return figures


async def _asked(question: Question, with_graph: Ports, without: Ports, bare: AsyncDriver) -> list[Figure]:
    """p50 in milliseconds: Hopper with Neo4j, the same statement alone, and Hopper without Neo4j, in turns."""
    random = Random(1)
    starts: list[list[str]] = [[]] * question.times
    if question.label:
        found = await _rows(bare, f"MATCH (n:{question.label}) RETURN n.id ORDER BY n.id", {})
        starts = [[random.choice(found)[0]] for _ in range(question.times)]
    times: dict[str, list[float]] = {"Neo4j": [], "bare": [], "SQL": []}
    for start in starts:
        parameters = dict(question.parameters) | ({"id": start[0]} if start else {})
        arguments = (*start, *question.arguments, LIMIT)
        for name, work in (
            ("bare", partial(_rows, bare, question.statement, parameters)),
            ("Neo4j", partial(_fresh, question, arguments, with_graph)),
            ("SQL", partial(_fresh, question, arguments, without)),
        ):
            began = perf_counter()
            await work()
            times[name].append(1000 * (perf_counter() - began))
    p50 = {name: median(taken) for name, taken in times.items()}
    ratio = p50["Neo4j"] / p50["bare"]
    return [
        Figure(name=f"{question.name}, against bare Cypher", value=ratio, goal=1.3, at_least=False),
        *(Figure(name=f"{question.name}, {name}", value=value, unit="ms") for name, value in p50.items()),
    ]


async def _fresh(question: Question, arguments: tuple[object, ...], ports: Ports) -> None:
    ports.memory.graph_answers = KeptAnswers()
    await question.ask(*arguments, ports=ports)


async def _rows(driver: AsyncDriver, statement: str, parameters: dict[str, object]) -> list[list[Any]]:
    async with driver.session(default_access_mode=READ_ACCESS) as session:
        return [record.values() async for record in await session.run(statement, parameters)]


async def _lag(url: str, address: GraphConnection) -> list[Figure]:
    """Creates at a pace, by a server's own parts; each waits to be seen in Neo4j."""
    unseen: dict[str, float] = {}
    lags: list[float] = []
    auth = (address.username, address.password)
    async with (
        open_hopper(load_settings(), url, lambda: address) as ports,
        AsyncGraphDatabase.driver(address.url, auth=auth) as bare,
    ):
        count = WRITES_A_SECOND * WRITING_SECONDS
        await asyncio.sleep(3)  # it looks at the graph first
        looking = asyncio.create_task(_look(bare, count, unseen, lags))
        began = perf_counter()
        async with asyncio.TaskGroup() as creating:
            filed: list[str] = []
            for number in range(count):
                if (ahead := began + number / WRITES_A_SECOND - perf_counter()) > 0:
                    await asyncio.sleep(ahead)
                task = _task(number, tuple(filed[-1:]) if number % 4 == 0 else (), ports)
                creating.create_task(_create(task, filed, unseen, ports))
        rate = count / (perf_counter() - began)
        await looking
    p50, p95 = (float(np.percentile(lags, share)) for share in (50, 95))
    return [
        Figure(name="writes a second while lag is measured", value=rate, unit="/s", goal=0.98 * WRITES_A_SECOND),
        Figure(name="lag, p50", value=p50, unit="s"),
        Figure(name="lag, p95", value=p95, unit="s", goal=1, at_least=False),
    ]


def _task(number: int, needed: tuple[str, ...], ports: Ports) -> Task:
    now = ports.clock.now()
    return Task(
        id=new_id(),
        title=f"The card payment number {number} is declined abroad",
        tags={"area": f"area {number % 50}", f"topic-{number % 199}": True, f"kind-{number % 8}": True},
        depends_on=needed,
        created_at=now,
        updated_at=now,
    )


async def _create(task: Task, filed: list[str], unseen: dict[str, float], ports: Ports) -> None:
    await create_task(task, ports=ports)
    filed.append(task.id)
    unseen[task.id] = perf_counter()


async def _look(driver: AsyncDriver, count: int, unseen: dict[str, float], lags: list[float]) -> None:
    while len(lags) < count:
        seen = await _rows(driver, "UNWIND $ids AS id MATCH (t:Task {id: id}) RETURN id", {"ids": list(unseen)})
        now = perf_counter()
        lags += [now - unseen.pop(str(id)) for (id,) in seen]
        await asyncio.sleep(_LOOK_SECONDS)


def _creates() -> list[Figure]:
    """As `bench create`, but beside the same server without a graph."""
    loads: dict[str, list[Load]] = {"without": [], "with": []}
    behind: list[float] = []
    with (
        TemporaryDirectory(prefix="hopper-bench-") as place,
        EmbeddedPostgres(Path(place), exclusive=False) as postgres,
        servers.hopper(servers.create_database(postgres.url, "without"), Path(place) / "without") as without,
        servers.hopper(servers.create_database(postgres.url, "with"), Path(place) / "with", "--with-graph") as graphed,
    ):
        sleep(20)  # Neo4j starts
        both = {"without": without, "with": graphed}
        for server in both.values():
            create_tasks(server, clients=CLIENTS, requests=1_000)
        for _ in range(ROUNDS):
            for name, server in both.items():
                sleep(2)
                behind += [_caught_up(each) for each in both.values()]
                loads[name].append(create_tasks(server, clients=CLIENTS, requests=REQUESTS))
    rates = {name: median(load.rate for load in each) for name, each in loads.items()}
    return [
        Figure(name="creates with a graph, against without", value=rates["with"] / rates["without"], goal=0.9),
        *(Figure(name=f"creates a second, {name} a graph", value=rate, unit="/s") for name, rate in rates.items()),
        Figure(name=f"until all was done after {REQUESTS:,} creates", value=max(behind), unit="s"),
    ]


def _caught_up(server: Server) -> float:
    """Wait until nothing waits for the server's workers: what was put off isn't to be done during another's load.

    Returns for how many seconds it had to.
    """
    began = perf_counter()
    while _waiting(server):
        sleep(0.5)
    return perf_counter() - began


def _waiting(server: Server) -> float:
    with urlopen(Request(f"http://{server.host}:{server.port}/metrics", headers=KEYED)) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("hopper_projection_waiting{"))
