"""/readyz while PostgreSQL is stopped, hangs, and comes back under a running server."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory

import asyncpg
import httpx
import psutil
import pytest
from tests.asking import ADMIN_KEY, KEYED
from tests.commands import COMMAND
from tests.conftest import serving
from tests.problems import problem

from hopper.adapters.postgres import migrate
from hopper.entrypoints.doctor import server as doctor
from hopper.services.postgres import EmbeddedPostgres

GOAL_SECONDS = 5.0
LONGEST_ANSWER = 2.0


@pytest.fixture(scope="module")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL of these tests' own, which they may stop and start; to the server it is an external one."""
    with TemporaryDirectory(prefix="hopper-tests-") as home:
        own = EmbeddedPostgres(Path(home), exclusive=False, durable=False)
        own.start()
        try:
            yield own
        finally:
            with suppress(ValueError):
                own.stop()


@pytest.fixture(scope="module")
def client(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Talks to a server over it."""
    home = tmp_path_factory.mktemp("server")
    with serving(postgres.url, home) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        client.timeout = 20
        yield client


def until_ready(client: httpx.Client) -> float:
    """Seconds until the server says that it is ready, and takes a task."""
    began = time.monotonic()
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() - began < 30, "it doesn't become ready"
        time.sleep(0.05)
    seconds = time.monotonic() - began
    assert client.post("/api/v1/tasks", json={"title": "After"}, headers=KEYED).status_code == 201
    return seconds


def test_the_log_tells_what_has_gone_without_being_asked(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    """Who reads the log would find that all kinds of work fail, and not why."""
    environment = {**os.environ, "HOPPER_HOME": str(tmp_path / "home"), "PORT": "0", "DATABASE_URL": postgres.url}
    environment["HOPPER_LOGGING__FORMAT"] = "json"
    log = tmp_path / "log"
    with (
        log.open("w") as file,
        subprocess.Popen([*COMMAND, "serve", "--json"], env=environment, stdout=PIPE, stderr=file) as server,
    ):
        try:
            assert server.stdout
            assert server.stdout.readline()
            postgres.stop()
            deadline = time.monotonic() + 20
            while '"part":"postgres","state":"down"' not in log.read_text().replace(" ", ""):
                assert time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            postgres.start()
            server.terminate()
            assert server.wait(30) == 0


def seconds_until_told(client: httpx.Client) -> float:
    """How long it takes to be told, without a key, that PostgreSQL is down."""
    began = time.monotonic()
    assert problem(client.get("/readyz"), 503)["parts"]["postgres"]["state"] == "down"
    return time.monotonic() - began


def test_it_is_ready_soon_after_postgresql_returns(postgres: EmbeddedPostgres, client: httpx.Client) -> None:
    """A load balancer would keep people away from a server that could answer them, or send them to one that can't."""
    until_ready(client)
    assert client.get("/readyz").json()["parts"]["postgres"]["state"] == "up"
    postgres.stop()
    down = problem(client.get("/readyz"), 503)
    assert "PostgreSQL can't be reached" in down["detail"]
    assert down["parts"]["schema"]["advice"].startswith("The schema ")
    assert {name: part["state"] for name, part in down["parts"].items()} == {
        "postgres": "down",
        "schema": "down",
        "pool": "up",
        "embeddings": "up",
    }
    time.sleep(0.5)
    assert problem(client.get("/readyz"), 503)["parts"]["postgres"]["seconds"] > 0.4
    postgres.start()
    assert until_ready(client) <= GOAL_SECONDS


def test_another_schema_is_told(postgres: EmbeddedPostgres, client: httpx.Client) -> None:
    """After a restore of an old dump, requests would fail for no reason that anybody sees."""
    asyncio.run(set_revision(postgres.url, "0001"))
    told = client.get("/readyz").json()
    asyncio.run(set_revision(postgres.url, migrate.HEAD))
    assert (told["status"], told["parts"]["schema"]["state"]) == ("degraded", "degraded")
    assert "hopper db upgrade" in told["parts"]["schema"]["advice"]
    assert client.get("/readyz").json()["parts"]["schema"]["advice"] is None


async def set_revision(url: str, revision: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE alembic_version SET version_num = $1", revision)
    await connection.close()


def test_a_graph_database_that_is_down_is_no_reason_to_stay_away(
    postgres: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People would be kept from a server that only answers more slowly."""
    monkeypatch.setenv("NEO4J_URL", "bolt://127.0.0.1:1")
    with serving(postgres.url, tmp_path) as server:
        answer = httpx.get(f"{server.url}/readyz", trust_env=False, timeout=20)
    assert answer.status_code == 200
    assert answer.json()["parts"]["neo4j"]["state"] == "degraded"


def test_a_postgresql_that_hangs_is_told_within_two_seconds(
    postgres: EmbeddedPostgres, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks would hang as well, and learn nothing, or from the doctor to restart a server that needn't be."""
    monkeypatch.setenv("HOPPER_API_KEY", ADMIN_KEY)
    monkeypatch.setattr(doctor, "_SECONDS", 3.0)
    until_ready(client)
    postmaster = psutil.Process(int((postgres.data / "postmaster.pid").read_text().split("\n", 1)[0]))
    frozen = [postmaster, *postmaster.children()]
    try:
        for process in frozen:
            os.kill(process.pid, signal.SIGSTOP)
        assert min(seconds_until_told(client) for _ in range(3)) < LONGEST_ANSWER
        assert client.get("/healthz").status_code == 200
        *_, last = doctor.server(str(client.base_url), None, "")
        assert "gives no answer within 3 seconds" in last.message
        assert last.advice
        assert "goes on by itself" in last.advice
    finally:
        for process in frozen:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
    assert until_ready(client) <= GOAL_SECONDS
