"""`hopper serve` with embeddings from a server over HTTP: found by similarity, and no key or text told to anyone."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from tests import provider as faulty
from tests.acceptance.test_cli import Cli
from tests.asking import KEYED
from tests.commands import COMMAND, run
from tests.conftest import serving
from tests.provider import DIMENSION, Provider, a_provider, status

KEY = "sk-planted-Quillon"
SERVE = [*COMMAND, "serve"]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Provider]:
    """A provider, and the configuration that leads to it."""
    with a_provider() as running:
        configured(monkeypatch, tmp_path, running.url)
        yield running


def configured(monkeypatch: pytest.MonkeyPatch, directory: Path, base_url: str | None) -> None:
    """The seed's file, with another server in place of OpenAI's."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HOPPER_CONFIG", str(directory / "server.yaml"))
    (directory / "server.yaml").write_text(f"""
database:
  pgvector:
    enabled: true
    embedding_model: text-embedding-ada-002
    embedding_dimension: 1536
embeddings:
  provider: openai
  model: text-embedding-ada-002
  batch_size: 100
  base_url: {base_url or ""}
  timeout_seconds: 3
""")


def client_of(url: str) -> httpx.Client:
    return httpx.Client(base_url=f"{url}/api/v1", headers=KEYED, trust_env=False, timeout=20)


def until(true: Callable[[], Any], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def waiting(client: httpx.Client) -> int:
    return int(client.get("/learning/statistics").json()["queue"].get("embedding", 0))


async def test_tasks_are_found_by_the_providers_vectors(database_url: str, tmp_path: Path, provider: Provider) -> None:
    """Whoever configures OpenAI as the seed says would have no similarity at all."""
    with serving(database_url, tmp_path / "home") as running, client_of(running.url) as client:
        cards = client.post("/instances", json={"name": "cards"}).json()["id"]
        client.post(f"/instances/{cards}/start")
        taught = client.post("/tasks", json={"title": "Card is declined abroad", "route": True}).json()["id"]
        client.put(f"/tasks/{taught}/feedback", json={"should_have_routed_to": cards}).raise_for_status()
        lines = "\n".join(json.dumps({"title": f"Another number {number}"}) for number in range(250))
        client.post("/tasks/bulk", content=lines, headers={"Content-Type": "application/x-ndjson"}).raise_for_status()
        until(lambda: waiting(client) == 0)
        answer = client.post("/tasks", json={"title": "Card is declined abroad again", "route": True}).json()
        assert answer["decision"]["chosen_instance"] == cards
        assert answer["decision"]["strategy"] == "similar_episodes"
    assert max(len(call.texts) for call in provider.calls) == 100
    assert {call.authorization for call in provider.calls} == {f"Bearer {KEY}"}
    connection = await asyncpg.connect(database_url)
    stored = await connection.fetch("SELECT DISTINCT model, vector_dims(embedding) FROM task_embeddings")
    assert [tuple(row) for row in stored] == [("text-embedding-ada-002", DIMENSION)]
    await connection.close()


@pytest.mark.parametrize("fault", [status(401), status(500), status(429), faulty.hang, faulty.truncated])
async def test_neither_key_nor_text_is_told(
    database_url: str, tmp_path: Path, provider: Provider, capfd: pytest.CaptureFixture[str], fault: faulty.Fault
) -> None:
    """A provider's own messages repeat the key and the text; both would lie about in log files."""
    provider.always = fault
    heard = ""
    with serving(database_url, tmp_path / "home") as running:
        with client_of(running.url) as client:
            for number in range(5):
                said = {"title": f"Quillon {number}", "route": True}
                heard += client.post("/tasks", json=said).raise_for_status().json()["decision"]["strategy"]
            connection = await asyncpg.connect(database_url)
            again = "SELECT count(*) FROM projection_queue WHERE last_error IS NOT NULL AND attempts > 1"
            async with asyncio.timeout(20):
                while True:
                    if await connection.fetchval(again):
                        break
                    await asyncio.sleep(0.1)
            await asyncio.sleep(0.3)  # the worker has tried again, and told of it
            for row in await connection.fetch("SELECT * FROM projection_queue"):
                heard += str(dict(row))
            await connection.close()
            heard += client.get("/learning/statistics").text
        running.process.terminate()
        running.process.wait(20)
        assert running.process.stdout is not None
        heard += running.process.stdout.read()
    logged = capfd.readouterr().err
    assert "embedding worker failed" in logged
    assert len([line for line in logged.splitlines() if '"level":"info"' not in line]) <= 3, logged
    assert "Traceback" not in logged
    assert "Quillon" not in heard + logged
    assert KEY not in heard + logged


def test_a_backfill_asks_the_provider_anew_and_says_whether_it_worked(
    tmp_path: Path, database_url: str, provider: Provider
) -> None:
    """A script would go on as if all were embedded, or stay with an error that is long mended."""
    provider.always = status(500)
    with serving(database_url, tmp_path / "home") as running, client_of(running.url) as client:
        hopper = Cli(running.url)
        client.post("/tasks", json={"title": "Here"}).raise_for_status()
        until(lambda: client.get("/embeddings/status").json()["queue"][0]["failing"])
        failed = hopper("embeddings", "backfill")
        assert failed.code == 1
        assert "couldn't be embedded" in failed.out
        provider.always = None
        assert "nothing lacks a vector" in hopper.ok("embeddings", "backfill")


async def test_a_server_starts_while_its_provider_is_away(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut the two would have to be started in the right order."""
    configured(monkeypatch, tmp_path, "http://127.0.0.1:9/v1")
    with serving(database_url, tmp_path / "home") as running, client_of(running.url) as client:
        task = client.post("/tasks", json={"title": "Here", "route": True}).raise_for_status().json()
        assert task["decision"]["strategy"] == "abstain"
        assert waiting(client) > 0


def told(url: str, *arguments: str) -> str:
    """What a command of hopper says."""
    done = run(*arguments, env=os.environ | {"HOPPER_SERVER": url, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_a_decision_without_similar_tasks_says_so_then_and_later(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hopper would seem to have forgotten what it was taught, and nobody would look at the provider."""
    configured(monkeypatch, tmp_path, "http://127.0.0.1:9/v1")
    missing = "similar past tasks: the embedder couldn't be reached"
    with serving(database_url, tmp_path / "home") as running, client_of(running.url) as client:
        told(running.url, "instance", "add", "cards")
        filed = told(running.url, "add", "Card is declined", "--route")
        assert missing in filed
        assert missing in told(running.url, "why", filed.splitlines()[0])
        task = client.post("/tasks", json={"title": "Card is declined abroad"}).json()["id"]
        assert client.post(f"/tasks/{task}/route").json()["degraded"] is True
        assert [decision["degraded"] for decision in client.get(f"/tasks/{task}/decisions").json()] == [True]
        told(running.url, "pattern", "add", "refunds", "--to", "cards", "--text", "refund")
        ruled = client.post("/tasks", json={"title": "A refund", "route": True}).json()["decision"]
        assert (ruled["strategy"], ruled["degraded"]) == ("manual_pattern", False)


@pytest.mark.parametrize("key", ["", "  "])
def test_openai_without_a_key_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """The server would run, embed nothing, and tell so in a log that nobody reads."""
    configured(monkeypatch, tmp_path, None)
    environment = os.environ | {"OPENAI_API_KEY": key, "PORT": "0", "HOPPER_HOME": str(tmp_path / "home")}
    done = subprocess.run(SERVE, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "OPENAI_API_KEY" in done.stderr
    assert not (tmp_path / "home").exists()


def test_the_key_isnt_passed_on_to_postgresql(server_home: Path, provider: Provider) -> None:
    """Whoever may look at the database's process could read the key."""
    with serving(None, server_home):
        process = (server_home / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0]
        assert KEY not in Path(f"/proc/{process}/environ").read_text(errors="replace")
    assert provider.calls == []
