"""The real PostgreSQL that all tests of a process share, with a database of its own for each that writes."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from neo4j import GraphDatabase
from tests.asking import ADMIN_KEY
from tests.commands import COMMAND

from hopper.adapters.postgres import migrate
from hopper.adapters.postgres.unit_of_work import PostgresUnitOfWork, open_pool
from hopper.app.projections import SUBSCRIPTIONS
from hopper.bootstrap import open_hopper
from hopper.config import load_settings
from hopper.ports import Ports
from hopper.services.locks import FileLock
from hopper.services.neo4j import EmbeddedNeo4j
from hopper.services.neo4j_keeper import GraphConnection
from hopper.services.postgres import EmbeddedPostgres

TEMPLATE = "migrated"

# For the servers that tests start, and the commands that ask them.
os.environ |= {
    "HOPPER_ADMIN_KEY": ADMIN_KEY,
    "HOPPER_API_KEY": ADMIN_KEY,
    "HOPPER_AUTH__REQUESTS_PER_SECOND": "100000",
}


@dataclass(frozen=True)
class RunningServer:
    """A `hopper serve` of its own process; `url` is its address."""

    url: str
    process: "subprocess.Popen[str]"


def on(url: str, database: str) -> str:
    """The same PostgreSQL's other database."""
    return urlsplit(url)._replace(path=f"/{database}").geturl()


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def value(url: str, statement: str) -> Any:
    """The one value that a statement gives."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
async def postgres_url() -> AsyncIterator[str]:
    """An embedded PostgreSQL that forgoes safety for speed, with a migrated database to copy.

    Not in pytest's directory, which another run would close to PostgreSQL's own user.
    """
    with (
        TemporaryDirectory(prefix="hopper-tests-") as home,
        EmbeddedPostgres(Path(home), exclusive=False, durable=False) as postgres,
    ):
        await execute(postgres.url, f"CREATE DATABASE {TEMPLATE}")
        await migrate.upgrade(on(postgres.url, TEMPLATE))
        yield postgres.url


@pytest.fixture(scope="session")
def shared_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for what all processes of this run share, each of them a worker of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that take turns at the one Neo4j come first, and so into one process: no other waits for it meanwhile."""
    items.sort(
        key=lambda item: "neo4j_server" not in getattr(item, "fixturenames", ()) and "neo4j_graph" not in item.name
    )


@pytest.fixture(scope="session")
def neo4j_server(shared_path: Path) -> Iterator[EmbeddedNeo4j]:
    """One embedded Neo4j for all processes of this run, started by the first that needs it; the last stops it."""
    with EmbeddedNeo4j(shared_path / "shared-neo4j") as server:
        yield server


@pytest.fixture
def neo4j(neo4j_server: EmbeddedNeo4j) -> Iterator[GraphConnection]:
    """The real Neo4j, empty, for this test alone; at most Hopper's own constraints are there already.

    A Community edition has one database. So tests take turns, by a file lock between the processes that run them, and
    find neither nodes nor constraints nor indexes of another's. One Neo4j for each process would take 300 MB and seven
    seconds of the processor apiece; without the constraints it would plan every query anew for each test.
    """
    turn = FileLock(neo4j_server.home / "test.turn")
    assert turn.acquire(seconds=600), "another test has kept Neo4j for ten minutes"
    try:
        neo4j_server.start()  # a test may have killed it
        _empty(neo4j_server)
        yield GraphConnection(neo4j_server.url, neo4j_server.username, neo4j_server.password)
    finally:
        turn.release()


def _empty(server: EmbeddedNeo4j) -> None:
    auth = (server.username, server.password)
    with GraphDatabase.driver(server.url, auth=auth) as driver, driver.session() as session:
        session.run("MATCH (n) DETACH DELETE n").consume()
        for name in session.run("SHOW CONSTRAINTS YIELD name WHERE NOT name STARTS WITH 'constraint_'").value():
            session.run(f"DROP CONSTRAINT `{name}`").consume()
        ours = "type = 'LOOKUP' OR owningConstraint IS NOT NULL"
        for name in session.run(
            f"SHOW INDEXES YIELD name, type, owningConstraint WHERE NOT ({ours}) RETURN name"
        ).value():
            session.run(f"DROP INDEX `{name}`").consume()


@asynccontextmanager
async def fresh_database(url: str, template: str = TEMPLATE) -> AsyncIterator[str]:
    """A copy of the migrated database, or of an empty one (template1); dropped at the end."""
    name = f"t_{uuid4().hex}"
    # Writing all of it to PostgreSQL's log first, as is usual, costs twice as much.
    await execute(url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    try:
        yield on(url, name)
    finally:
        await execute(url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database_url(postgres_url: str) -> AsyncIterator[str]:
    """A database of the test's own, just migrated."""
    async with fresh_database(postgres_url) as url:
        yield url


@pytest.fixture
async def ports(database_url: str) -> AsyncIterator[Ports]:
    """The whole of Hopper over the test's own database, its worker included, as `hopper serve` has it."""
    async with open_hopper(load_settings(), database_url) as opened:
        yield opened


@pytest.fixture
async def uow(database_url: str) -> AsyncIterator[PostgresUnitOfWork]:
    """One open unit of work over the test's own database."""
    pool = await open_pool(database_url, 4)
    try:
        async with PostgresUnitOfWork(pool, SUBSCRIPTIONS) as opened:
            yield opened
    finally:
        await pool.close()


@contextmanager
def serving(database_url: str | None, home: Path, *options: str) -> Iterator[RunningServer]:
    """`hopper serve` on a free port, ready; ended at the end if the test hasn't."""
    environment = {**os.environ, "HOPPER_HOME": str(home), "PORT": "0", "DATABASE_URL": database_url or ""}
    command = [*COMMAND, "serve", "--json", *options]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said, "the server ended before it was ready"
            yield RunningServer(json.loads(said)["address"], process)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(30)


@pytest.fixture(scope="session")
async def migrated_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a migrated database, stopped; tests take copies."""
    home = tmp_path_factory.mktemp("migrated") / "home"
    with EmbeddedPostgres(home, durable=False) as postgres:
        await migrate.upgrade(postgres.url)
    return home


@pytest.fixture
def server_home(migrated_home: Path, tmp_path: Path) -> Iterator[Path]:
    """A data directory of the test's own, ready for `hopper serve`; no PostgreSQL of it outlives the test."""
    home = tmp_path / "home"
    shutil.copytree(migrated_home, home)
    owner = (migrated_home / "postgres").stat()
    for path in [home / "postgres", *(home / "postgres").rglob("*")]:
        os.chown(path, owner.st_uid, owner.st_gid)
    yield home
    with suppress(OSError, ValueError):
        os.kill(int((home / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0]), signal.SIGQUIT)


@pytest.fixture(scope="session")
async def server(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    """A server that many tests share: they make what they need under names of their own."""
    async with fresh_database(postgres_url) as url:
        with serving(url, tmp_path_factory.mktemp("server")) as running:
            yield running
