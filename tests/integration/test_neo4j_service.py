"""The embedded Neo4j, the real one: starting, sharing, taking over, recovering, and refusing in plain words."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from neo4j import GraphDatabase
from tests.conftest import serving

from hopper import __version__
from hopper.services import neo4j_programs
from hopper.services.locks import FileLock
from hopper.services.neo4j import Cancelled, DataDirectoryUnusable, EmbeddedNeo4j, Neo4jFailed
from hopper.services.neo4j_keeper import GraphConnection


@pytest.fixture(scope="session")
def made(shared_path: Path) -> Path:
    """A home whose store was made and stopped, by the first process of the tests' that needs it; tests take copies."""
    home = shared_path / "made-neo4j"
    lock = FileLock(shared_path / "made-neo4j.lock")
    assert lock.acquire(seconds=600)
    if not (home / "neo4j" / "whole").exists():
        with EmbeddedNeo4j(home):
            pass
    lock.release()
    return home


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Path]:
    """A home that doesn't exist yet; no Neo4j of it outlives the test."""
    home = tmp_path / "home"
    yield home
    with suppress(FileNotFoundError, ProcessLookupError, ValueError):
        if EmbeddedNeo4j(home).is_running():
            os.kill(pid_of(home), signal.SIGKILL)


@pytest.fixture
def home(empty: Path, made: Path) -> Path:
    """A home with a store, not running, and with no port yet: that of the store it is copied from is another's."""
    shutil.copytree(made, empty)
    (empty / "neo4j" / "port").unlink()
    return empty


def query(server: EmbeddedNeo4j, text: str, password: str = "") -> Any:
    auth = (server.username, password or server.password)
    with GraphDatabase.driver(server.url, auth=auth) as driver, driver.session() as session:
        record = session.run(text).single()
        return record and record[0]


def pid_of(home: Path) -> int:
    return int((home / "neo4j" / "run" / "neo4j.pid").read_text())


def wait_for(condition: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it didn't happen in time"
        time.sleep(0.05)


@contextmanager
def owner(home: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that has started Neo4j."""
    script = """
import sys, time
from pathlib import Path
from hopper.services.neo4j import EmbeddedNeo4j
EmbeddedNeo4j(Path(sys.argv[1])).start()
print("started", flush=True)
time.sleep(120)
"""
    with subprocess.Popen([sys.executable, "-c", script, str(home)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "started\n"
            yield process
        finally:
            process.kill()


def elsewhere(script: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
    )


# Starting and stopping


def test_after_a_broken_off_first_start_it_is_made_anew_and_keeps_to_itself(empty: Path) -> None:
    """A Ctrl-C in the first start would spoil it for ever. Or others could read it, on the network or in its logs."""
    home = empty / 'a $HOME "b", `id` é%41?#'
    (home / "neo4j" / "data" / "dbms").mkdir(parents=True)
    (home / "neo4j" / "data" / "dbms" / "auth.ini").write_text("half")
    (home / "neo4j" / "password").touch()
    with EmbeddedNeo4j(home) as server:
        assert query(server, "CALL dbms.components() YIELD versions RETURN versions[0]") == neo4j_programs.VERSION
        listening = [at.laddr for at in psutil.Process(pid_of(home)).net_connections() if at.status == "LISTEN"]
        assert [f"bolt://127.0.0.1:{address.port}" for address in listening] == [server.url]
        assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
        assert (server.data / "password").stat().st_mode & 0o777 == 0o600
        assert server.data.stat().st_mode & 0o777 == 0o700
        assert not any(server.password in argument for argument in psutil.Process(pid_of(home)).cmdline())
        query(server, "CREATE (t:Task {title: 'Secret plans'})")
        with pytest.raises(Exception, match="Secret"):
            query(server, "RETURN 'Secret plans' SECRET")
        password = server.password
    assert not server.is_running()
    said = [log.read_text() for log in (server.data / "logs").iterdir()]
    assert said
    assert not any("Secret" in text or password in text for text in said)


def test_users_share_it_and_the_last_one_out_stops_it(home: Path) -> None:
    """A command's end would take the graph away from the server, or Neo4j would run for ever."""
    first, second = EmbeddedNeo4j(home), EmbeddedNeo4j(home)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(EmbeddedNeo4j.start, (first, second)))
    number = pid_of(home)
    first.stop()
    assert query(second, "RETURN 1") == 1
    first.start()
    second.stop()
    assert query(first, "RETURN 1") == 1
    assert pid_of(home) == number
    # A wrong password is tried once: more tries would lock out the right one.
    right = first.password
    (first.data / "password").write_text("wrong")
    with pytest.raises(Neo4jFailed, match="doesn't accept the password"):
        second.start()
    (first.data / "password").write_text(right)
    assert query(first, "RETURN 1") == 1
    first.stop()
    first.stop()
    assert not psutil.pid_exists(number)


# Being killed


def test_it_outlives_a_killed_hopper_and_recovers_when_killed_itself(home: Path) -> None:
    """After kill -9 or a power cut, with its number and port taken by others, the graph would be lost."""
    server = EmbeddedNeo4j(home)
    with owner(home) as process:
        process.kill()
        process.wait()
    left = pid_of(home)
    with server:
        assert pid_of(home) == left
        query(server, "CREATE (:Kept {answer: 42})")
        url = server.url
        os.kill(left, signal.SIGKILL)
        wait_for(lambda: not server.is_running())
    (home / "neo4j" / "run" / "neo4j.pid").write_text(str(os.getpid()))
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", int(url.rpartition(":")[2])))
        stranger.listen()
        with server:
            assert server.url != url
            assert query(server, "MATCH (n:Kept) RETURN n.answer") == 42
    assert not server.is_running()


# Refusing


def test_a_kill_while_it_starts_is_told_as_what_it_probably_is(home: Path) -> None:
    """On a machine with too little memory, nobody would know why the graph doesn't come."""
    server = EmbeddedNeo4j(home)
    number = home / "neo4j" / "run" / "neo4j.pid"
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(server.start)
        wait_for(lambda: number.exists() and number.read_text() != "")
        os.kill(pid_of(home), signal.SIGKILL)
        with pytest.raises(Neo4jFailed, match="want of memory"):
            starting.result()
    assert not server.is_running()


def test_a_port_that_is_lost_while_it_starts_is_given_up(
    home: Path, neo4j_server: EmbeddedNeo4j, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another Neo4j, faster on the same port, would be sent the password and taken for this one."""
    server = EmbeddedNeo4j(home)
    choose, lost = server._free_port, [int(neo4j_server.url.rpartition(":")[2])]

    def lose_the_first() -> int:
        if not lost:
            return choose()
        (server.data / "port").write_text(str(lost[0]))
        return lost.pop()

    monkeypatch.setattr(server, "_free_port", lose_the_first)
    with server:
        assert server.url != neo4j_server.url
        assert query(server, "RETURN 1") == 1


def test_a_start_under_way_can_be_broken_off(home: Path) -> None:
    """Ctrl-C of a server would wait for its graph, or leave Neo4j behind."""
    began = time.monotonic()
    server = EmbeddedNeo4j(home, cancelled=lambda: time.monotonic() > began + 0.5)
    with pytest.raises(Cancelled):
        server.start()
    assert not server.is_running()


def test_a_directory_that_cant_be_used_is_refused(tmp_path: Path, home: Path) -> None:
    """A traceback, or Neo4j's own pages of them, instead of what to do; or somebody's files would be removed."""
    (tmp_path / "file").touch()
    with pytest.raises(DataDirectoryUnusable, match="a file stands where a directory has to be"):
        EmbeddedNeo4j(tmp_path / "file" / "home").start()
    (tmp_path / "theirs" / "neo4j" / "photos").mkdir(parents=True)
    with pytest.raises(DataDirectoryUnusable, match="isn't Hopper's"):
        EmbeddedNeo4j(tmp_path / "theirs").start()
    full = elsewhere(
        """
import resource, sys
from pathlib import Path
from hopper.services.neo4j import DataDirectoryUnusable, EmbeddedNeo4j
resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))
try:
    EmbeddedNeo4j(Path(sys.argv[1])).start()
except DataDirectoryUnusable as error:
    print(error.message)
""",
        str(home),
    )
    assert "files may not grow" in full.stdout, full.stderr


_HIDDEN = """
import importlib.machinery, sys
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = lambda name, *rest: None if name == "jgo" else find(name, *rest)
from hopper.entrypoints.cli.main import main
sys.argv = ["hopper", "serve", "--with-graph"]
main()
"""


def test_without_the_extra_the_graph_is_refused_in_a_line(tmp_path: Path) -> None:
    """Somebody who installed Hopper alone would get a traceback, or a server that says nothing of its missing graph."""
    refused = elsewhere(_HIDDEN, HOPPER_HOME=str(tmp_path / "home"), PORT="0")
    assert refused.returncode == 4
    assert f"uv tool install --force 'hopper-{__version__}-py3-none-any.whl[graph]'" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "home").exists()


# Fetching


def test_without_a_network_the_first_start_says_so(tmp_path: Path) -> None:
    """The first start on a train would end in a traceback, or leave half a Neo4j that counts as whole."""
    script = """
from hopper.domain.errors import HopperError
from hopper.services.neo4j_programs import jars
try:
    jars(print)
except HopperError as error:
    print(error.message)
"""
    nowhere = "http://127.0.0.1:9"
    said = elsewhere(script, XDG_CACHE_HOME=str(tmp_path), HTTPS_PROXY=nowhere, https_proxy=nowhere, NO_PROXY="")
    assert "Fetching Neo4j" in said.stdout, said.stderr
    assert "needs the network this once" in said.stdout
    assert not (tmp_path / "hopper" / "neo4j-5.26.0").exists()


def test_what_isnt_neo4j_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy could hand out programs of its own, which would run beside everybody's tasks."""

    def other(repository: Path, *_: object) -> list[Path]:
        repository.mkdir()
        (repository / "neo4j-5.26.0.jar").write_bytes(b"something else")
        return [repository / "neo4j-5.26.0.jar"]

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(neo4j_programs, "_downloaded", other)
    for _attempt in range(2):
        with pytest.raises(Neo4jFailed, match=r"isn't Neo4j 5\.26\.0"):
            neo4j_programs.jars(lambda _sentence: None)
    assert not (tmp_path / "hopper" / "neo4j-5.26.0").exists()


# Beside a server


def test_a_server_has_its_graph_back_after_its_death(database_url: str, home: Path) -> None:
    """Neo4j's start or death would delay or end the server, or the graph would stay away until somebody looks."""
    neo4j = EmbeddedNeo4j(home)
    with serving(database_url, home, "--with-graph") as running:
        wait_for(lambda: answers(neo4j))
        first = pid_of(home)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: answers(neo4j, other_than=first))
        assert running.process.poll() is None
        running.process.terminate()
        assert running.process.wait(30) == 0
    assert not neo4j.is_running()


def answers(server: EmbeddedNeo4j, other_than: int = 0) -> bool:
    with suppress(Exception):
        return bool(query(server, "RETURN 1") == 1 and pid_of(server.home) != other_than)
    return False


# The tests' own


@pytest.mark.parametrize("number", [1, 2])
def test_each_test_of_the_graph_finds_it_empty(neo4j: GraphConnection, number: int) -> None:
    """What one test leaves in the one database of all would decide how another ends."""
    with (
        GraphDatabase.driver(neo4j.url, auth=(neo4j.username, neo4j.password)) as driver,
        driver.session() as session,
    ):
        assert session.run("MATCH (n) RETURN count(n)").single(strict=True)[0] == 0
        session.run("CREATE CONSTRAINT left_over FOR (t:Note) REQUIRE t.id IS UNIQUE").consume()
        session.run("CREATE INDEX left_over_too FOR (t:Task) ON (t.title)").consume()
        session.run("CREATE (:Note {id: $number})", number=number).consume()
