"""Growing in stages, and back, while people work: PostgreSQL alone, pgvector, Neo4j, other Hoppers."""

import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import httpx
import pytest
import yaml
from tests.asking import KEYED
from tests.conftest import RunningServer, on, serving
from tests.problems import problem
from tests.sync import a_push, registered
from tests.visitors import SUBJECTS, Visitors

from hopper.adapters.postgres import migrate
from hopper.services.neo4j_keeper import GraphConnection

TASKS = 3_000
"""As many as were there before; so many that embedding them can be killed half-way."""

SOON = 120.0
"""For a busy machine; mostly it takes seconds."""

MEANT = {"q": "payment refused", "mode": "semantic"}


@pytest.fixture
async def bare_url(postgres_url: str) -> AsyncIterator[str]:
    """An empty database of a user who may do everything in it but bring extensions along."""
    name = f"bare_{uuid4().hex}"
    await sql(postgres_url, f"CREATE ROLE {name} LOGIN")
    await sql(postgres_url, f"CREATE DATABASE {name} OWNER {name}")
    yield urlsplit(on(postgres_url, name))._replace(netloc=f"{name}@").geturl()
    await sql(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")
    await sql(postgres_url, f"DROP ROLE {name}")


async def sql(url: str, statement: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(statement))
    finally:
        await connection.close()


class Stages:
    """A server that is started with one stage's settings after another's."""

    def __init__(self, database_url: str, neo4j: GraphConnection, home: Path, file: Path) -> None:
        self._database_url = database_url
        self._neo4j = neo4j
        self._home = home
        self._file = file
        self.visitors: Visitors | None = None
        self.token: dict[str, str] = {}
        self._came = 0

    @contextmanager
    def running(self, stage: int) -> Iterator[RunningServer]:
        """The config change, and the command."""
        neo4j = {"url": self._neo4j.url, "username": self._neo4j.username, "password": self._neo4j.password}
        settings = {
            "database": {"pgvector": {"enabled": stage >= 2}, "neo4j": neo4j if stage >= 3 else {"enabled": False}},
            "sync": {"northbound": {"enabled": stage >= 4}, "min_sources": 1},
        }
        self._file.write_text(yaml.safe_dump(settings))
        with serving(self._database_url, self._home) as server:
            if self.visitors:
                self.visitors.url = server.url
            yield server

    async def walk(self, stage: int) -> None:
        """Start with a stage's settings, and look at everything once it has come to its end."""
        with self.running(stage) as server:
            await self.look(stage, server)

    async def look(self, stage: int, server: RunningServer) -> None:
        assert self.visitors
        self.visitors.more()
        with api(server) as client:
            eventually(lambda: stage < 2 or client.get("/search", params=MEANT).is_success, "no search by meaning")
            with self.visitors.resting():
                await as_it_should_be(stage, self._database_url, client, self.visitors)
                shared = await sql(self._database_url, "SELECT FROM routing_patterns WHERE source = 'northbound'")
                assert len(shared) == self._came
                if stage == 4:
                    push(client, self.token).raise_for_status()
                    self._came = 1
                else:
                    assert "sync.northbound.enabled" in problem(push(client, self.token), 403)["detail"]

    async def until(self, is_so: str) -> None:
        """Wait, as the server works, for what a statement tells."""
        until = time.monotonic() + SOON
        while not (await sql(self._database_url, is_so))[0][0]:
            assert time.monotonic() < until, is_so


def api(server: RunningServer) -> httpx.Client:
    return httpx.Client(base_url=f"{server.url}/api/v1", headers=KEYED, timeout=30, trust_env=False)


def kill(server: RunningServer) -> None:
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait(30)


def eventually(is_so: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + SOON
    while not is_so():
        assert time.monotonic() < until, what
        time.sleep(0.1)


def compared(client: httpx.Client, path: str, wrong: tuple[str, ...]) -> list[str]:
    """All that a check finds."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        part = client.get(path, params={"cursor": cursor} if cursor else {}).raise_for_status().json()
        found += [f"{name} {id}" for name in wrong for id in part[name]]
        cursor = part["next_cursor"]
        if cursor is None:
            return found


def push(client: httpx.Client, token: dict[str, str]) -> httpx.Response:
    return client.post("/sync/northbound", json=a_push("laptop"), headers=token)


async def as_it_should_be(stage: int, url: str, client: httpx.Client, visitors: Visitors) -> None:
    """Whatever holds in a stage."""
    assert visitors.odd == []
    await nothing_is_lost(url, visitors)
    await migrate.check(url, pgvector=stage >= 2)
    embeddings_are_whole(stage, client)
    graph_is_whole(stage, client)
    work_goes_on(stage, client, visitors.instances["payments"])


def work_goes_on(stage: int, client: httpx.Client, payments: str) -> None:
    task = client.post("/tasks", json={"title": f"{SUBJECTS['payments']} again"}).raise_for_status().json()["id"]
    decision = client.post(f"/tasks/{task}/route", json={}).raise_for_status().json()
    assert (decision["degraded"], decision["chosen_instance"]) == (False, payments)
    if stage < 2:
        assert "database.pgvector.enabled" in problem(client.get("/search", params=MEANT), 409)["detail"]
        assert problem(client.get(f"/tasks/{task}/similar"), 409)
    else:
        assert client.get("/search", params=MEANT).json()["items"]


async def nothing_is_lost(url: str, visitors: Visitors) -> None:
    statuses = {row["id"]: row["status"] for row in await sql(url, "SELECT id, status FROM tasks")}
    told = {row["task_id"] for row in await sql(url, "SELECT task_id FROM task_feedback")}
    assert len(statuses) >= TASKS + len(visitors.filed)
    assert [id for id in visitors.filed if id not in statuses] == []
    assert [id for id in visitors.done if statuses[id] != "done"] == []
    assert visitors.told <= told


def embeddings_are_whole(stage: int, client: httpx.Client) -> None:
    status = client.get("/embeddings/status").json()
    if stage < 2:
        assert (status["searched"], status["wanted"]) == (None, None)
        assert sum(kind["waiting"] for kind in status["queue"]) == 0
        assert problem(client.get("/embeddings/check"), 409)
        return
    # What the server learns by itself meanwhile has its vector a moment later.
    wrong = ("missing", "stale", "wrong_dimension", "outdated_outcome", "orphaned")
    eventually(lambda: compared(client, "/embeddings/check", wrong) == [], "the vectors don't follow")


def graph_is_whole(stage: int, client: httpx.Client) -> None:
    if stage < 3:
        assert problem(client.get("/graph/check"), 409)
        return
    eventually(lambda: has_everything(client.get("/graph/status").json()), "the graph doesn't follow")
    wrong = ("missing", "extra", "different")
    eventually(lambda: compared(client, "/graph/check", wrong) == [], "the graph isn't equal to the truth")


def has_everything(graph: Any) -> bool:
    return bool(graph["is_followed"] and not (graph["is_rebuilding"] or graph["waiting"] or graph["trouble"]))


def begun(client: httpx.Client) -> dict[str, str]:
    """What was there before anything of this: instances, a rule and many tasks. Returns the instances' ids."""
    made = {name: client.post("/instances", json={"name": name, "scope": "PROJECT"}).json()["id"] for name in SUBJECTS}
    rule = {"name": "cards", "pattern_type": "text", "text_criteria": {"any": ["card"]}, "confidence": 0.9}
    client.post("/patterns", json=rule | {"target_instance": made["payments"]}).raise_for_status()
    lines = "".join(f'{{"title": "An old matter, number {number} of many"}}\n' for number in range(TASKS))
    client.post("/tasks/bulk", content=lines, headers={"Content-Type": "application/x-ndjson"}).raise_for_status()
    return made


async def test_growing_in_four_stages_and_back_loses_nothing(
    bare_url: str, postgres_url: str, neo4j: GraphConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever started small would have to begin anew for each part, or lose what was filed on the way."""
    file = tmp_path / "server.yaml"
    monkeypatch.setenv("HOPPER_CONFIG", str(file))
    stages = Stages(bare_url, neo4j, tmp_path / "home", file)
    with ExitStack() as working:
        with stages.running(1) as server:
            with api(server) as client:
                visitors, stages.token = Visitors(begun(client), server.url), registered(client, "laptop")
            stages.visitors = working.enter_context(visitors)
            await stages.look(1, server)

        await sql(on(postgres_url, urlsplit(bare_url).path[1:]), "CREATE EXTENSION vector")
        with stages.running(2) as server:
            await stages.until("SELECT count(*) BETWEEN 1 AND 2900 FROM task_embeddings")
            kill(server)
        await stages.walk(2)

        writing = await asyncpg.connect(bare_url)
        await writing.execute("BEGIN; SELECT pg_current_xact_id()")  # who fills the graph waits for all who write
        with stages.running(3) as server:
            await stages.until("SELECT rebuilding AND reserved > 0 FROM projections WHERE projection = 'graph'")
            kill(server)
        await writing.close()
        assert (await sql(bare_url, "SELECT rebuilding FROM projections WHERE projection = 'graph'"))[0][0]
        for stage in (3, 4, 3, 2, 1, 4):
            await stages.walk(stage)
