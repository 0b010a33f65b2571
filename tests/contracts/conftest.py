"""Every backend that the ports' contracts are held against."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest
from tests.contracts.graphs import AskedGraph
from tests.contracts.working import Backend, UnitOfWorkFactory

from hopper.adapters.markdown.schema import connect
from hopper.adapters.markdown.unit_of_work import MarkdownUnitOfWork
from hopper.adapters.markdown.upkeep import NoVectorIndexes
from hopper.adapters.neo4j.driver import open_graph
from hopper.adapters.neo4j.queries import Neo4jGraph
from hopper.adapters.neo4j.store import Neo4jStore
from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork, open_pool
from hopper.adapters.postgres.vector_indexes import PostgresVectorIndexes
from hopper.app.projections import SUBSCRIPTIONS
from hopper.bootstrap_local import LOCAL_SUBSCRIPTIONS, unread_files
from hopper.domain.graph import Label
from hopper.ports.graph import GraphQueries
from hopper.ports.unit_of_work import UnitOfWork
from hopper.services.neo4j_keeper import GraphConnection

BACKENDS = ["postgres", "markdown"]
"""Names of fixtures, each of which gives an empty store."""

GRAPHS = ["postgres_graph", "neo4j_graph", "markdown_graph"]
"""Names of fixtures, each of which gives an empty graph."""


@pytest.fixture
async def postgres(database_url: str) -> AsyncIterator[Backend]:
    pool = await open_pool(database_url, 8)
    try:
        yield Backend(lambda: PostgresUnitOfWork(pool, SUBSCRIPTIONS), PostgresVectorIndexes(pool))
    finally:
        await pool.close()


@pytest.fixture
async def markdown(tmp_path: Path) -> AsyncIterator[Backend]:
    """Whatever a test has stored there, the files alone say the same."""
    directory = tmp_path / ".hopper"
    yield Backend(lambda: MarkdownUnitOfWork(directory, LOCAL_SUBSCRIPTIONS), NoVectorIndexes())
    indexed = await _rows(directory)
    (directory / ".index" / "hopper.db").unlink()
    assert await _rows(directory) == indexed
    assert unread_files(directory) == ()


_FROM_FILES = (
    "tasks",
    "task_dependencies",
    "hopper_instances",
    "task_delegations",
    "task_leases",
    "routing_episodes",
    "routing_patterns",
    "pattern_derivations",
    "rejected_rules",
    "task_feedback",
    "task_origins",
)


async def _rows(directory: Path) -> dict[str, set[tuple[object, ...]]]:
    """What stands in the index, brought up to date."""
    async with MarkdownUnitOfWork(directory, LOCAL_SUBSCRIPTIONS) as uow:
        await uow.instances.names()
    with closing(connect(directory / ".index" / "hopper.db")) as connection:
        return {table: set(map(tuple, connection.execute(f"SELECT * FROM {table}"))) for table in _FROM_FILES}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what asks of files what they haven't; it isn't skipped, since nothing is missing."""
    left_out = [
        item
        for item in items
        if "[markdown" in item.name and (item.get_closest_marker("row_locks") or item.get_closest_marker("server_only"))
    ]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    """An empty store."""
    found: Backend = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def uow_factory(backend: Backend) -> UnitOfWorkFactory:
    """Opens units of work over an empty store."""
    return backend.unit_of_work


@pytest.fixture
async def uow(uow_factory: UnitOfWorkFactory) -> AsyncIterator[UnitOfWork]:
    """One open unit of work over an empty store."""
    async with uow_factory() as opened:
        yield opened


@pytest.fixture
async def postgres_graph(postgres: Backend) -> AsyncIterator[AskedGraph]:
    """Asked without a projection: it is always settled."""
    async with postgres.unit_of_work() as asking:

        async def settled() -> GraphQueries:
            return asking.graph

        yield AskedGraph(postgres.unit_of_work, settled)


@pytest.fixture
async def markdown_graph(markdown: Backend) -> AsyncIterator[AskedGraph]:
    """Asked of the files, which another unit may have changed."""
    async with AsyncExitStack() as units:

        async def settled() -> GraphQueries:
            return (await units.enter_async_context(markdown.unit_of_work())).graph

        yield AskedGraph(markdown.unit_of_work, settled)


@pytest.fixture
async def neo4j_graph(postgres: Backend, neo4j: GraphConnection) -> AsyncIterator[AskedGraph]:
    """Settled by making everything that the graph holds equal to the truth."""
    async with open_graph(neo4j.url, neo4j.username, neo4j.password) as driver:
        store = Neo4jStore(driver, "contracts")

        async def settled() -> GraphQueries:
            async with postgres.unit_of_work() as uow, store.writing() as writer:
                for label in (Label.INSTANCE, Label.TASK, Label.PATTERN):
                    units = await uow.graph_source.page(label, "", 10_000)
                    gone = {unit.node.id for unit in await store.units(label, "", None)} - {
                        unit.node.id for unit in units
                    }
                    await writer.remove(label, sorted(gone))
                    await writer.put(units)
            return Neo4jGraph(driver)

        yield AskedGraph(postgres.unit_of_work, settled)


@pytest.fixture(params=GRAPHS)
def graph(request: pytest.FixtureRequest) -> AskedGraph:
    """An empty graph."""
    found: AskedGraph = request.getfixturevalue(request.param)
    return found
