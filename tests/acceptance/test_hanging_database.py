"""A PostgreSQL that is there and says nothing, as on a disk that hangs: its processes are stopped."""

import asyncio
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import asyncpg
import httpx
import psutil
import pytest
from tests.asking import KEYED
from tests.conftest import RunningServer, execute, serving, value
from tests.problems import problem
from tests.replicas import Cluster, clusters


@pytest.fixture(scope="module")
def database() -> Iterator[Cluster]:
    with clusters() as made:
        server = made.make("hanging")
        asyncio.run(execute(server.url(), "CREATE DATABASE hopper"))
        yield server


@pytest.fixture
def server(database: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    monkeypatch.setenv("HOPPER_REQUEST_TIMEOUT_SECONDS", "2")
    with serving(database.url("hopper"), tmp_path) as running:
        yield running


@contextmanager
def locked_tasks(url: str) -> Iterator[None]:
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(url))
        try:
            runner.run(connection.execute("BEGIN; SELECT FROM tasks FOR NO KEY UPDATE"))
            yield
        finally:
            connection.terminate()
            runner.run(asyncio.sleep(0))


def test_a_change_is_given_up_and_leaves_nothing_behind(server: RunningServer, database: Cluster) -> None:
    """Requests would wait for ever, each with a connection, and the server with them after PostgreSQL is back."""
    api = httpx.Client(base_url=f"{server.url}/api/v1", headers=KEYED, timeout=30, trust_env=False)
    task = f"/tasks/{api.post('/tasks', json={'title': 'One'}).raise_for_status().json()['id']}"
    url = database.url("hopper")
    with ThreadPoolExecutor() as clients, locked_tasks(url):
        # It waits for a lock, and PostgreSQL is told to leave it.
        problem(api.patch(task, json={"title": "Two"}), 503)
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        until = monotonic() + 5
        while asyncio.run(value(url, waiting)):
            assert monotonic() < until, "what was given up holds a place in the queue for the lock"
            sleep(0.1)

        # It waits while PostgreSQL hangs.
        began = monotonic()
        changes = [clients.submit(api.patch, task, json={"title": "Three"}) for _ in range(3)]
        sleep(0.5)
        with database.halted():
            for change in changes:
                problem(change.result(), 503)
            assert monotonic() - began < 15
    assert api.get(task).raise_for_status().json()["title"] == "One"
    assert api.patch(task, json={"title": "Four"}).is_success


def test_a_server_can_be_ended_meanwhile(server: RunningServer, database: Cluster) -> None:
    """Whoever manages services would have to kill it, after minutes."""
    process = psutil.Process(server.process.pid)
    with database.halted():
        os.kill(process.pid, signal.SIGTERM)
        assert server.process.wait(30) == 0
