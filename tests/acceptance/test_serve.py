"""Starting and stopping a server: what can't work is told in one line, and nothing is left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import asyncpg
import httpx
import pytest
from tests.asking import KEYED
from tests.commands import COMMAND, run
from tests.conftest import fresh_database, on, serving

from hopper.adapters.postgres import migrate
from hopper.services.postgres import EmbeddedPostgres

SERVE = [*COMMAND, "serve"]
NDJSON = {"Content-Type": "application/x-ndjson"}
SECRET = "Quillon"


@pytest.fixture
def home(server_home: Path) -> Path:
    return server_home


def runs(home: Path) -> bool:
    return (home / "postgres" / "postmaster.pid").exists()


def refused(*options: str, command: list[str] = SERVE, **environment: str) -> str:
    """What a server that can't start tells, in its only line that is more than a note."""
    done = subprocess.run(
        [*command, *options],
        env={**os.environ, "PORT": "0", "DATABASE_URL": "", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode not in {0, 1}, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert [line for line in lines if line.startswith("hopper: ")] == lines[-1:], done.stderr
    return lines[-1]


def test_a_second_server_on_one_data_directory_is_refused(home: Path) -> None:
    """Two servers would work on one database without knowing of each other."""
    with serving(None, home) as first:
        said = refused(HOPPER_HOME=str(home))
        for part in (first.url, str(first.process.pid), "HOPPER_HOME"):
            assert part in said
        assert httpx.get(f"{first.url}/readyz", trust_env=False).status_code == 200
    assert not runs(home)


def test_a_port_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    """A person would wait for a server that never comes, or find a database that nobody needs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused("--port", str(port), HOPPER_HOME=str(tmp_path / "home"))
    for part in (str(port), "in use", str(port + 1)):
        assert part in said
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("options", "names"),
    [(["--port", "70000"], "port"), (["--host", "999.1.1.1"], "999.1.1.1"), (["--host", ""], "host")],
)
def test_an_address_that_cant_be_is_told(tmp_path: Path, options: list[str], names: str) -> None:
    """A slip of the finger would end in a traceback."""
    assert names in refused(*options, HOPPER_HOME=str(tmp_path / "home"))


@pytest.mark.parametrize("command", [["backup"], ["db", "check"], ["db", "prune"], ["db", "upgrade"]], ids=" ".join)
def test_only_a_server_makes_a_database(tmp_path: Path, command: list[str]) -> None:
    """A slip in a nightly job's directory would leave a database there, and back up an empty one night after night."""
    home = tmp_path / "hmoe"
    environment = {**os.environ, "DATABASE_URL": "", "HOPPER_SERVER": "http://127.0.0.1:9"}
    done = run(*command, "--home", home, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (4, "", 1), done
    assert f"no database of Hopper's in {home}" in done.stderr
    for name in ("--home", "HOPPER_HOME", "DATABASE_URL"):
        assert name in done.stderr
    assert list(tmp_path.iterdir()) == []


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(home: Path) -> None:
    """Going back to an older version would damage what the newer one stored."""
    await newer(home)
    said = refused(HOPPER_HOME=str(home))
    for part in ("9999", "newer", "HOPPER_HOME"):
        assert part in said
    assert not runs(home)
    with EmbeddedPostgres(home, durable=False) as postgres:
        assert await migrate.revision(postgres.url) == "9999"


async def newer(home: Path) -> None:
    with EmbeddedPostgres(home, durable=False) as postgres:
        connection = await asyncpg.connect(postgres.url)
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
        await connection.close()


def test_a_data_directory_that_cant_be_written_is_told(tmp_path: Path) -> None:
    """On a read-only disk a start would end in a traceback."""
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    # Root may write anywhere: this has to be somebody who may not, once all that is needed has been read.
    script = """
import os
import hopper.config, hopper.entrypoints.cli.commands, hopper.services.postgres
from hopper.entrypoints.cli.main import main
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
main()
"""
    said = refused(command=[sys.executable, "-c", script, "serve"], HOPPER_HOME=str(locked / "home"))
    for part in (str(locked / "home"), "permission is denied", "HOPPER_HOME"):
        assert part in said


def nobody_there(_url: str) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"postgresql://hopper:pass-word@127.0.0.1:{free.getsockname()[1]}/hopper"


def no_such_database(url: str) -> str:
    return on(url, "missing-database")


def no_such_user(url: str) -> str:
    return url.replace("postgres@", "missing-user:pass-word@")


@pytest.mark.parametrize("wrong", [nobody_there, no_such_database, no_such_user])
def test_a_database_that_cant_be_reached_is_told(
    postgres_url: str, tmp_path: Path, wrong: Callable[[str], str]
) -> None:
    """A mistyped DATABASE_URL would end in a traceback, with the password in it."""
    said = refused(HOPPER_HOME=str(tmp_path / "home"), DATABASE_URL=wrong(postgres_url))
    assert "DATABASE_URL" in said
    assert "pass-word" not in said


def test_something_else_at_the_databases_address_is_told(tmp_path: Path) -> None:
    """A DATABASE_URL with the port of another service would end in a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    client, _ = other.accept()
                    with client:
                        client.recv(1024)
                        client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        Thread(target=answer, daemon=True).start()
        url = f"postgresql://hopper:pass-word@127.0.0.1:{other.getsockname()[1]}/hopper"
        said = refused(HOPPER_HOME=str(tmp_path / "home"), DATABASE_URL=url)
    assert "DATABASE_URL" in said
    assert "pass-word" not in said


async def test_an_external_database_is_used_alone(postgres_url: str, tmp_path: Path) -> None:
    """Whoever has a PostgreSQL would get a second one, and look for their tasks in the wrong place."""
    async with fresh_database(postgres_url, "template1") as url:
        with serving(url, tmp_path / "home") as running:
            file_one(running.url)
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SELECT title FROM tasks") == "Here"
        await connection.close()
    assert not (tmp_path / "home").exists()


def file_one(url: str) -> None:
    httpx.post(f"{url}/api/v1/tasks", json={"title": "Here"}, headers=KEYED, trust_env=False).raise_for_status()


@pytest.mark.parametrize(
    ("sent", "codes"), [(signal.SIGTERM, {0, -signal.SIGTERM, 143}), (signal.SIGINT, {0, 130})], ids=["kill", "Ctrl-C"]
)
def test_a_server_stops_cleanly(home: Path, capfd: pytest.CaptureFixture[str], sent: int, codes: set[int]) -> None:
    """A PostgreSQL that nobody uses would go on running, or the next start would have to recover."""
    with serving(None, home) as running, httpx.Client(base_url=running.url, headers=KEYED, trust_env=False) as idle:
        idle.get("/healthz").raise_for_status()  # a client that stays connected holds nobody up
        began = time.monotonic()
        running.process.send_signal(sent)
        assert running.process.wait(20) in codes
        assert time.monotonic() - began < 8
    assert not runs(home)
    assert "Traceback" not in capfd.readouterr().err
    assert (home / "postgres.log").read_text().splitlines()[-1].endswith("database system is shut down")


def test_work_in_hand_is_finished_when_a_server_stops(home: Path) -> None:
    """A person's import would break off in the middle whenever the server is updated."""
    with serving(None, home) as running:

        def lines() -> Iterator[bytes]:
            yield b'{"title": "First"}\n'
            running.process.send_signal(signal.SIGTERM)
            time.sleep(1)
            yield b'{"title": "Second"}\n'

        kind = KEYED | {"Content-Type": "application/x-ndjson"}
        answer = httpx.post(
            f"{running.url}/api/v1/tasks/bulk", content=lines(), headers=kind, timeout=20, trust_env=False
        )
        assert answer.json()["created"] == 2
        running.process.wait(20)
    assert not runs(home)


def test_a_person_is_told_where_and_what_next(home: Path) -> None:
    """The first thing that people see would leave them alone."""
    environment = {**os.environ, "HOPPER_HOME": str(home), "PORT": "0", "DATABASE_URL": ""}
    with subprocess.Popen(SERVE, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C" in line:
                break
        process.send_signal(signal.SIGINT)
        process.wait(20)
    for part in ("http://127.0.0.1:", str(home), "/docs", "hopper add"):
        assert part in said


@contextmanager
def watched(home: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[tuple[httpx.Client, list[str]]]:
    """A client of a server, and what that has said by its end: output, errors, PostgreSQL's log."""
    heard: list[str] = []
    with serving(None, home) as running:
        with httpx.Client(base_url=f"{running.url}/api/v1", headers=KEYED, trust_env=False, timeout=20) as client:
            yield client, heard
        running.process.wait(20)
        assert running.process.stdout is not None
        heard.append(running.process.stdout.read())
    heard += [capfd.readouterr().err, (home / "postgres.log").read_text()]


def test_nothing_that_a_task_says_is_logged(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What people entrust to Hopper would lie about in log files, which others read and send around."""
    said: dict[str, Any] = {"title": f"About {SECRET}", "description": SECRET, "tags": {SECRET: SECRET}}
    nobody = "0198c0de-0000-7000-8000-00000000dead"
    with watched(home, capfd) as (client, heard):
        task = client.post("/tasks", json={**said, "route": True}).json()["id"]
        for wrong in (
            {"parent_task_id": nobody},
            {"depends_on": [nobody]},
            {"priority": SECRET},
            {SECRET: SECRET},
            {"title": SECRET + "\0"},
        ):
            assert client.post("/tasks", json={**said, **wrong}).status_code == 422
        for content in (SECRET.encode(), b'{"title": "' + SECRET.encode(), b'["' + SECRET.encode() + b'"]'):
            assert client.post("/tasks", content=content).status_code == 422
        lines = [json.dumps({**said, "id": SECRET}), json.dumps({**said, "instance_id": nobody}), SECRET]
        kind = KEYED | {"Content-Type": "application/x-ndjson"}
        report = client.post("/tasks/bulk", content="\n".join(lines * 2).encode(), headers=kind).json()
        assert report["created"] == 1
        client.put(f"/tasks/{task}/feedback", json={"routing_feedback": SECRET, "was_good_match": True})
        client.patch(f"/tasks/{task}", json={"description": SECRET * 2, "project": SECRET})
        for query in (
            {"q": SECRET},
            {"q": SECRET, "cursor": "WyIwLjUiLCAiXHUwMDAwIl0"},
            {"q": SECRET, "limit": SECRET},
        ):
            client.get("/search", params=query)
        client.get("/tasks", params={"tag": SECRET, "project": SECRET})
        client.get(f"/tasks/{SECRET}")
        os.kill(int((home / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0]), signal.SIGKILL)
        with suppress(httpx.TransportError):  # until the server follows its database
            while True:
                client.post("/tasks", json=said)
    announced, logged, postgres_log = heard
    assert "PostgreSQL ended" in logged
    assert announced == ""  # what was said at the start is all: scripts read it as JSON
    assert SECRET not in logged + postgres_log
