"""The graph in a real Neo4j: equal to what was put, whatever happened before, and nobody else's."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from time import monotonic
from urllib.parse import urlsplit

import pytest
from tests.integration.graph_worlds import World, a_task_unit, tag_graph_of

from hopper.adapters.neo4j.driver import GraphDriver, open_graph
from hopper.adapters.neo4j.queries import Neo4jGraph
from hopper.adapters.neo4j.store import Neo4jStore
from hopper.domain.errors import Conflict, Misconfigured, Unavailable
from hopper.domain.graph import Edge, EdgeType, Graph, Label, Node
from hopper.ports.graph import Unit
from hopper.services.neo4j_keeper import GraphConnection

EVERYTHING = "MATCH (n) OPTIONAL MATCH (n)-[e]->() RETURN elementId(n), properties(n), elementId(e), properties(e)"


@pytest.fixture
async def driver(neo4j: GraphConnection) -> AsyncIterator[GraphDriver]:
    async with open_graph(neo4j.url, neo4j.username, neo4j.password) as opened:
        yield opened


@pytest.fixture
async def store(driver: GraphDriver) -> Neo4jStore:
    prepared = Neo4jStore(driver, "ours")
    await prepared.prepare()
    return prepared


async def drop_constraints(driver: GraphDriver) -> None:
    for record in await driver.read("SHOW CONSTRAINTS YIELD name", {}):
        await driver.run(f"DROP CONSTRAINT `{record[0]}`", 5)


async def put(store: Neo4jStore, *units: Unit) -> None:
    async with store.writing() as writer:
        await writer.put(units)
    await store.weigh()


async def remove(store: Neo4jStore, label: Label, *ids: str) -> None:
    async with store.writing() as writer:
        await writer.remove(label, ids)
    await store.weigh()


async def held(store: Neo4jStore) -> list[Unit]:
    labels = (Label.INSTANCE, Label.PATTERN, Label.TASK)
    return [unit for label in labels for unit in await store.units(label, "", None)]


async def test_what_is_put_is_what_is_held(store: Neo4jStore) -> None:
    """The graph would answer with something else than the truth."""
    world = World(random.Random(1))
    for _ in range(40):
        world.change()
    await put(store, *world.units())
    assert await held(store) == world.units()
    assert await store.tag_graph() == tag_graph_of(world.units())


async def test_what_is_equal_is_not_written_again(store: Neo4jStore, driver: GraphDriver) -> None:
    """Each look at an unchanged task would cost Neo4j a write, and its log the room for it."""
    world = World(random.Random(2))
    for _ in range(40):
        world.change()
    await put(store, *world.units())
    before = sorted(map(str, await driver.read(EVERYTHING, {})))
    await put(store, *world.units())
    assert sorted(map(str, await driver.read(EVERYTHING, {}))) == before


async def test_what_changed_is_replaced_whole(store: Neo4jStore) -> None:
    """A project or a dependency that was taken away would stay in the graph for ever."""
    other, task = a_task_unit("o"), a_task_unit("t", tags=("a", "b"), project="web")
    task = Unit(task.node, (*task.edges, Edge(EdgeType.DEPENDS_ON, "t", "o"), Edge(EdgeType.BLOCKS, "o", "t")))
    await put(store, other, task)
    changed = a_task_unit("t", tags=("b", "c"), version=2)
    await put(store, changed)
    assert await held(store) == [other, changed]
    assert await store.tag_graph() == tag_graph_of([other, changed])


async def test_numbers_keep_their_kind_and_times_their_moment(store: Neo4jStore) -> None:
    """A check would find a difference in each delegation and each pattern, and mend it for ever."""
    moment = datetime(2026, 3, 29, 2, 30, 0, 123456, timezone(timedelta(hours=2)))
    edge = Edge(EdgeType.DELEGATED_TO, "t", "i", {"delegation_id": "d", "delegated_at": moment})
    pattern = Unit(Node(Label.PATTERN, "p", {"confidence": 1, "is_active": True}), ())
    await put(store, Unit(Node(Label.INSTANCE, "i", {"name": "i"}), ()), Unit(a_task_unit("t").node, (edge,)), pattern)
    await put(store, Unit(Node(Label.PATTERN, "p", {"confidence": 1.0, "is_active": True}), ()))
    _, found, task = await held(store)
    assert [type(found.node.properties[name]) for name in ("confidence", "is_active")] == [float, bool]
    assert task.edges[0].properties["delegated_at"] == moment
    assert task.edges[0].properties["delegated_at"].tzinfo is UTC  # type: ignore[union-attr]


async def test_an_end_that_was_not_put_yet_gets_its_properties_in_its_own_turn(store: Neo4jStore) -> None:
    """Tasks would have to come in the order of their dependencies, or lose these."""
    waits = Unit(a_task_unit("a").node, (Edge(EdgeType.BLOCKS, "b", "a"), Edge(EdgeType.DEPENDS_ON, "a", "b")))
    await put(store, waits)
    await put(store, a_task_unit("b"))
    assert await held(store) == [waits, a_task_unit("b")]


async def test_removing_again_is_no_error_and_takes_nothing_more(store: Neo4jStore) -> None:
    """A removal that is repeated after a crash would stop the projection, or count tags twice."""
    stays = a_task_unit("b", tags=("x", "y"))
    await put(store, a_task_unit("a", tags=("x", "y", "z")), stays)
    for _ in range(2):
        await remove(store, Label.TASK, "a", "never there")
    assert await held(store) == [stays]
    assert await store.tag_graph() == tag_graph_of([stays])


@pytest.mark.parametrize("seed", range(4))
async def test_any_history_ends_in_the_truth(store: Neo4jStore, seed: int) -> None:
    """Counts and weights of tags would drift, a little with each change, until nobody could trust them."""
    world = World(random.Random(seed))
    for _ in range(25):
        dirty = {world.change() for _ in range(world.rng.randrange(1, 8))}
        async with store.writing() as writer:
            there = [unit for unit in world.units() if unit.node.key in dirty]
            for label, id in dirty - {unit.node.key for unit in there}:
                await writer.remove(Label(label), [id])
            await writer.put(there)
        if world.rng.random() < 0.3:
            await store.weigh()
    assert await held(store) == world.units()
    await store.weigh()
    assert await store.tag_graph() == tag_graph_of(world.units())  # weights to the bit


async def test_a_rebuilt_graph_equals_one_that_was_followed(store: Neo4jStore) -> None:
    """Rebuilding, the remedy for everything, would itself make a graph that is wrong."""
    world = World(random.Random(7))
    for _ in range(120):
        world.change()
    await put(store, a_task_unit("old", tags=("a", "b")))
    await store.clear(12)
    units = world.units()
    loader = store.loading(12)
    for part in (units[:20], units[20:]):
        await loader.add(part)
    assert await store.position() is None
    await loader.finish()
    assert await store.position() == 12
    assert await held(store) == units
    assert await store.tag_graph() == tag_graph_of(units)


async def test_who_fills_the_graph_anew_stops_those_before(store: Neo4jStore) -> None:
    """Two servers that both rebuild would leave every edge twice, and edges between the wrong nodes."""
    await store.clear(12)
    before, after = store.loading(12), store.loading(13)
    await before.add([a_task_unit("t")])
    await store.clear(13)
    acts: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: before.add([a_task_unit("u")]),
        before.finish,
        lambda: store.clear(12),
    )
    for act in acts:
        with pytest.raises(Conflict):
            await act()
    assert await store.position() is None
    await after.add([a_task_unit("t")])
    await after.finish()
    assert await store.position() == 13
    assert await held(store) == [a_task_unit("t")]


async def test_edges_to_what_has_gone_meanwhile_are_left_out_of_a_rebuild(store: Neo4jStore) -> None:
    """A task that was deleted during a rebuild would come back as a ghost without a title."""
    task = a_task_unit("t", tags=("a",))
    gone = (Edge(EdgeType.BLOCKS, "gone", "t"), Edge(EdgeType.DEPENDS_ON, "t", "gone"))
    await store.clear(12)
    loader = store.loading(12)
    await loader.add([replace(task, edges=(*task.edges, *gone))])
    await loader.finish()
    assert await held(store) == [task]
    assert await store.tag_graph() == tag_graph_of([task])


async def test_pages_are_in_the_order_of_code_points(store: Neo4jStore) -> None:
    """A check that goes through both stores side by side would miss entities, or report ones that are fine."""
    ids = sorted(["a", "Z", "é", "\uff21", "\U0001f600", "zz", "-"])
    await put(store, *(a_task_unit(id) for id in ids))
    assert [unit.node.id for unit in await store.units(Label.TASK, "", None)] == ids
    assert [unit.node.id for unit in await store.units(Label.TASK, ids[1], ids[4])] == ids[2:5]


async def test_any_text_comes_back_as_it_was(store: Neo4jStore) -> None:
    """A task with a quote in a tag would break the projection, or say something else in the graph."""
    tags = ("größe", "日本", "\U0001f600", "\uff21", "it's", '"}) DETACH DELETE (n', "a\\b", "`", "$id", "x" * 200)
    task = a_task_unit("t", tags=tags, title="'; \" \\ \n\t{}" + "ü" * 100_000)
    await put(store, task)
    assert await held(store) == [task]
    assert await store.tag_graph() == tag_graph_of([task])


async def test_two_writers_at_once_lose_no_count(store: Neo4jStore, neo4j: GraphConnection) -> None:
    """With two servers, tags would be counted too low."""
    async with open_graph(neo4j.url, neo4j.username, neo4j.password) as driver:
        other = Neo4jStore(driver, "ours")

        async def write(one: Neo4jStore, name: str) -> None:
            for n in range(10):
                await put(one, a_task_unit(f"{name}{n}", tags=("a", "b", name)))

        await asyncio.gather(*(write(one, name) for one, name in ((store, "x"), (other, "y"), (store, "z"))))
    assert await store.tag_graph() == tag_graph_of(await held(store))
    assert len(await held(store)) == 30


async def test_who_waited_for_a_turn_sees_what_the_one_before_left(store: Neo4jStore) -> None:
    """Two servers could believe to be the one that has to bring a restored graph up to date."""
    begun = asyncio.Event()

    async def first() -> None:
        async with store.writing() as writer:
            begun.set()
            await asyncio.sleep(0.3)
            await writer.leave(5)

    async with asyncio.TaskGroup() as group:
        group.create_task(first())
        await begun.wait()
        async with store.writing() as writer:
            assert writer.position == 5


async def test_the_position_never_goes_back_by_a_writer(store: Neo4jStore) -> None:
    """A late writer would make the graph look older than it is; a graph from a backup has to look as old as it is."""
    assert await store.position() is None
    for left in (3, 7, 5):
        async with store.writing() as writer:
            await writer.leave(left)
    assert await store.position() == 7
    await store.clear(12)
    assert await store.position() is None


async def test_a_block_that_fails_or_is_cancelled_leaves_nothing_and_frees_the_turn(store: Neo4jStore) -> None:
    """Half a batch would stay in the graph, or everybody would wait for a writer that is gone."""

    async def never_ends() -> None:
        async with store.writing() as writer:
            await writer.put([a_task_unit("a", tags=("x", "y"))])
            await asyncio.sleep(3600)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(never_ends(), 1)
    with pytest.raises(RuntimeError):
        async with store.writing() as writer:
            await writer.put([a_task_unit("b", tags=("x", "y"))])
            raise RuntimeError
    for milliseconds in range(0, 60, 5):  # wherever it is just then
        cancelled = asyncio.create_task(put(store, a_task_unit("c", tags=("x", "y"))))
        await asyncio.sleep(milliseconds / 1000)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        await remove(store, Label.TASK, "c")
    async with asyncio.timeout(5):
        await put(store, a_task_unit("d"))
    assert await held(store) == [a_task_unit("d")]
    assert await store.tag_graph() == Graph()


async def test_clearing_takes_only_what_is_hoppers(store: Neo4jStore, driver: GraphDriver) -> None:
    """Somebody's notes in the same database would be gone after a rebuild."""
    await put(store, a_task_unit("a", tags=("x",)))
    await driver.run("CREATE (:Note {says: 'mine'})", 5)
    await store.clear(12)
    assert await held(store) == []
    assert await store.tag_graph() == Graph()
    assert len(await driver.read("MATCH (n:Note) RETURN n", {})) == 1


async def test_data_that_is_not_hoppers_is_left_alone(driver: GraphDriver) -> None:
    """A wrong address in the settings would mix Hopper's tasks with somebody's graph, or delete that."""
    await drop_constraints(driver)
    await driver.run("CREATE (:Task {id: 'theirs'})", 5)
    store = Neo4jStore(driver, "ours")
    for act in (store.prepare, store.position, lambda: store.clear(1), lambda: put(store, a_task_unit("a"))):
        with pytest.raises(Misconfigured, match=r"database\.neo4j\.url"):
            await act()
    assert len(await driver.read("MATCH (n) RETURN n", {})) == 1
    assert await driver.read("SHOW CONSTRAINTS", {}) == []


async def test_the_graph_of_another_database_is_left_alone(store: Neo4jStore, driver: GraphDriver) -> None:
    """Two Hoppers with one Neo4j would undo each other's graph in turns."""
    await put(store, a_task_unit("a"))
    other = Neo4jStore(driver, "another")
    for act in (other.prepare, other.position, lambda: other.clear(1), lambda: put(other, a_task_unit("b"))):
        with pytest.raises(Misconfigured, match="another Hopper database"):
            await act()
    assert await held(store) == [a_task_unit("a")]


async def test_a_graph_that_was_wiped_is_prepared_again(store: Neo4jStore, driver: GraphDriver) -> None:
    """After somebody emptied Neo4j the projection would fail until a restart, or do without its constraints."""
    async with store.writing() as writer:
        await writer.leave(9)
    await driver.run("MATCH (n) DETACH DELETE n", 5)
    await drop_constraints(driver)
    assert await store.position() is None
    async with store.writing() as writer:
        assert writer.position is None
    assert len(await driver.read("SHOW CONSTRAINTS", {})) == 5


async def test_a_wrong_password_is_said_once_and_does_not_lock_the_account(neo4j: GraphConnection) -> None:
    """A typing mistake in the settings would lock the account for everybody, again and again."""
    async with open_graph(neo4j.url, neo4j.username, "not-the-password") as driver:
        store = Neo4jStore(driver, "ours")
        refused = await asyncio.gather(*(store.position() for _ in range(8)), return_exceptions=True)
        refused += await asyncio.gather(*(store.position() for _ in range(8)), return_exceptions=True)
    for error in refused:
        assert isinstance(error, Misconfigured)
        assert "database.neo4j.password" in error.message
        assert "not-the-password" not in error.message
    async with open_graph(neo4j.url, neo4j.username, neo4j.password) as driver:
        assert await Neo4jStore(driver, "ours").position() is None


@pytest.mark.parametrize("url", ["localhost", "bolt://localhost:none"])
def test_an_address_that_is_none_of_neo4j_is_refused(url: str) -> None:
    """The server would end with a traceback of a library."""
    with pytest.raises(Misconfigured, match="bolt://"):
        open_graph(url, "neo4j", "secret")


async def test_a_server_that_is_gone_is_unavailable_at_once() -> None:
    """Whoever asks would wait, or get a traceback."""
    async with open_graph("bolt://127.0.0.1:9", "neo4j", "secret") as driver:
        began = monotonic()
        for act in (Neo4jStore(driver, "ours").position, Neo4jGraph(driver).tags):
            with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9"):
                await act()
        assert monotonic() - began < 4


class Way:
    """A way to a server that can be cut, and on which nothing may come back."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._to = (parts.hostname, parts.port)
        self._open = asyncio.Event()
        self._open.set()
        self._writers: list[asyncio.StreamWriter] = []
        self.url = ""

    def freeze(self) -> None:
        self._open.clear()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Way"]:
        server = await asyncio.start_server(self._lead, "127.0.0.1", 0)
        self.url = f"bolt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            self.cut()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._to)
        self._writers += [writer, there_writer]
        await asyncio.gather(self._pass(reader, there_writer), self._pass(there_reader, writer), return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            await self._open.wait()
            writer.write(data)
        writer.close()


async def test_a_lost_connection_is_made_again_for_who_asks(neo4j: GraphConnection) -> None:
    """After a restart of Neo4j the first to ask would be told that it is gone."""
    async with Way(neo4j.url).opened() as way, open_graph(way.url, neo4j.username, neo4j.password) as driver:
        store = Neo4jStore(driver, "ours")
        await store.prepare()
        way.cut()
        assert await store.position() is None


async def test_a_server_that_stops_answering_holds_nobody(neo4j: GraphConnection) -> None:
    """A Neo4j that hangs would hang all of Hopper's requests and its shutdown."""
    async with Way(neo4j.url).opened() as way, open_graph(way.url, neo4j.username, neo4j.password) as driver:
        store = Neo4jStore(driver, "ours")
        await store.prepare()
        began = monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), store.writing() as writer:
                way.freeze()
                await writer.put([a_task_unit("a")])
        assert monotonic() - began < 4
        with pytest.raises(Unavailable, match=r"no answer within 0\.5 seconds"):
            await driver.read("RETURN 1", {}, 0.5)
        with pytest.raises(Unavailable):
            await Neo4jGraph(driver).tags()
        assert monotonic() - began < 11


async def test_a_transaction_that_takes_too_long_is_ended_by_the_server(store: Neo4jStore, driver: GraphDriver) -> None:
    """A server that lost its network while writing would keep all others from their turns."""
    with pytest.raises(Unavailable):
        async with driver.transaction(1) as transaction:
            await transaction.run("MATCH (m:HopperProjection) SET m.locked = true")
            await asyncio.sleep(4)
            await transaction.run("RETURN 1")
    await put(store, a_task_unit("a"))


async def test_what_a_killed_neo4j_has_half_made_is_made_again(driver: GraphDriver) -> None:
    """A Neo4j that died while a constraint was made has its index alone, and would refuse to be filled for ever."""
    await drop_constraints(driver)
    await driver.run("CREATE INDEX FOR (n:Task) ON (n.id)", 10)
    await driver.run("CREATE INDEX somebodys_own FOR (n:Instance) ON (n.name)", 10)
    await Neo4jStore(driver, "ours").prepare()
    assert len(await driver.read("SHOW CONSTRAINTS", {})) == 5
    assert await driver.read("SHOW INDEXES YIELD name WHERE name = 'somebodys_own'", {})
